"""`migrate` as the owner role, with a lock timeout; then the application's role has its rights."""

from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandParser
from django.core.management.commands import migrate


class Command(migrate.Command):
    """Django's migrate on the connection that owns the tables."""

    def add_arguments(self, parser: CommandParser) -> None:
        """The owner's connection is the default one here."""
        super().add_arguments(parser)
        parser.set_defaults(database="owner")

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate, then grant."""
        super().handle(*args, **options)
        if not options.get("check_unapplied") and not options.get("plan"):
            call_command("grant_rights")
