"""A tenant's team as its page shows it: plain rows, each rendered once for what it says."""

import datetime as dt
import uuid
from typing import Any, NamedTuple

from django.db.models import Exists, OuterRef, QuerySet, Value

from accounts.models import Authenticator, Invitation, Membership, Role, Tenant
from portal.lib import clock
from portal.lib.compiled import ask, compiled


class Member(NamedTuple):
    """Who belongs to the tenant. id: the membership's."""

    id: uuid.UUID
    username: str
    name: str
    email: str
    role: str
    is_active: bool
    has_second_factor: bool
    last_login: dt.datetime | None

    @property
    def display_name(self) -> str:
        """The name, or the username of somebody without one."""
        return self.name or self.username

    @property
    def role_label(self) -> str:
        """In the reader's language."""
        return str(Role(self.role).label)


class Guest(NamedTuple):
    """An invitation that was neither accepted nor revoked. is_late: its link is over."""

    id: uuid.UUID
    email: str
    username: str
    role: str
    expires_at: dt.datetime
    has_mail_failed: bool
    is_late: bool

    @property
    def role_label(self) -> str:
        """In the reader's language."""
        return str(Role(self.role).label)

    @property
    def state_label(self) -> str:
        """In the reader's language."""
        state = Invitation.State.EXPIRED if self.is_late else Invitation.State.PENDING
        return str(state.label)


def team_of(tenant: Tenant) -> tuple[tuple[Member, ...], tuple[Guest, ...]]:
    """Members by username, and the latest guests first."""
    members, guests = ask(_members.of(tenant_id=tenant.pk), _guests.of(tenant_id=tenant.pk))
    now = clock.now()
    return tuple(members), tuple(
        Guest(id_, email, username, role, expires_at, bool(mail_error), expires_at <= now)
        for id_, email, username, role, expires_at, mail_error in guests
    )


@compiled(Member._make)
def _members(tenant_id: Value) -> QuerySet[Any, Any]:
    confirmed = Authenticator.objects.filter(user=OuterRef("user"), confirmed=True)
    return (
        Membership.objects.filter(tenant=tenant_id)
        .annotate(has_second_factor=Exists(confirmed))
        .order_by("user__username")
        .values_list(
            "pk",
            "user__username",
            "user__name",
            "user__email",
            "role",
            "user__is_active",
            "has_second_factor",
            "user__last_login",
        )
    )


@compiled(tuple)
def _guests(tenant_id: Value) -> QuerySet[Any, Any]:
    mine = Invitation.objects.filter(tenant=tenant_id, accepted_at=None, revoked_at=None)
    return mine.values_list("pk", "email", "username", "role", "expires_at", "mail_error")
