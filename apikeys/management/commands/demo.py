"""`demo`: a tenant to try the portal with, and links that work. `bin/run` prints them."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts.models import Invitation, Role, Tenant, User
from accounts.origin import COMMAND_LINE
from accounts.services.invitations import invite, resend_invitation
from apikeys.services import open_tenant

SLUG = "acme"


class Command(BaseCommand):
    """Development only. Every start prints a link for somebody who has not yet accepted one."""

    help = "Makes the demo tenant and prints `operator <link>` and `staff <link>`."

    def handle(self, *args: Any, **options: Any) -> None:
        """Two lines on standard output."""
        if not settings.DEVELOPMENT:
            raise CommandError("The demo tenant is for PORTAL_ENV=development.")
        tenant = Tenant.objects.filter(slug=SLUG).first() or open_tenant(
            slug=SLUG, name="Acme Sportsbook", actor=None, origin=COMMAND_LINE
        )
        self.stdout.write(f"operator {_link(tenant)}")
        self.stdout.write(f"staff {_link(None)}")


def _link(tenant: Tenant | None) -> str:
    """A link that works: the waiting invitation sent again, else one for the next person."""
    mailbox = "operator" if tenant else "staff"
    waiting = Invitation.objects.filter(
        email__startswith=mailbox,
        email__endswith="@demo.example",
        accepted_at=None,
        revoked_at=None,
    ).first()
    if waiting:
        return resend_invitation(
            invitation_id=waiting.pk, actor=None, origin=COMMAND_LINE, send_mail=False
        ).link
    number = User.objects.filter(email__startswith=mailbox, email__endswith="@demo.example").count()
    username = mailbox if number == 0 else f"{mailbox}{number + 1}"
    return invite(
        actor=None,
        origin=COMMAND_LINE,
        email=f"{username}@demo.example",
        username=username,
        tenant=tenant,
        role=Role.OWNER if tenant else "",
        send_mail=False,
    ).link
