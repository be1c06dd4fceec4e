"""`invite`: sends an invitation and prints its link, alone, on standard output."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.forms import InvitationForm
from accounts.models import Role, Tenant
from accounts.origin import COMMAND_LINE
from accounts.services.invitations import InvitationError, invite


class Command(BaseCommand):
    """Invites an operator's person, or, with --staff, one of ours."""

    help = "Invites somebody and prints the link, which is good for 72 hours."

    def add_arguments(self, parser: CommandParser) -> None:
        """Either a tenant and a role, or --staff."""
        where = parser.add_mutually_exclusive_group(required=True)
        where.add_argument("--tenant", help="the tenant's slug")
        where.add_argument("--staff", action="store_true")
        parser.add_argument("--email", required=True)
        parser.add_argument("--username", required=True)
        parser.add_argument("--role", choices=Role.values)
        parser.add_argument("--name", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        """Invite, and print the link."""
        tenant = None
        if not options["staff"]:
            tenant = Tenant.objects.filter(slug=options["tenant"]).first()
            if tenant is None:
                raise CommandError(f"There is no tenant “{options['tenant']}”.")
            if not options["role"]:
                raise CommandError(f"--role is needed: one of {', '.join(Role.values)}.")
        elif options["role"]:
            raise CommandError("Staff have no role in a tenant: leave --role out.")
        form = InvitationForm(
            {key: options[key] for key in ("email", "username", "name")}
            | {"role": options["role"] or "", "tenant": tenant and tenant.pk}
        )
        if not form.is_valid():
            raise CommandError(" ".join(_sentences(form.errors.get_json_data())))
        try:
            sent = invite(actor=None, origin=COMMAND_LINE, **form.cleaned_data)
        except (InvitationError, ValidationError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(sent.link)


def _sentences(errors: dict[str, Any]) -> list[str]:
    return [
        entry["message"] if field == "__all__" else f"{field}: {entry['message']}"
        for field, entries in errors.items()
        for entry in entries
    ]
