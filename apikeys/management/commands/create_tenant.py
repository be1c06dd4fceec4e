"""`create_tenant --slug S --name N`: a tenant with the contract that every tenant starts with."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.origin import COMMAND_LINE
from apikeys.services import open_tenant


class Command(BaseCommand):
    """Makes a tenant; one that is there already is an error."""

    help = "Creates a tenant and its contract."

    def add_arguments(self, parser: CommandParser) -> None:
        """Slug and name."""
        parser.add_argument("--slug", required=True)
        parser.add_argument("--name", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        """Create, and print the slug."""
        try:
            tenant = open_tenant(
                slug=options["slug"], name=options["name"], actor=None, origin=COMMAND_LINE
            )
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        self.stdout.write(tenant.slug)
