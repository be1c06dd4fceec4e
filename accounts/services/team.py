"""What owners do to their team. A tenant is never left without an owner."""

import uuid

from django.db import transaction

from accounts.access import require_role
from accounts.audit import record
from accounts.models import Action, Membership, Role, Session, Tenant, User
from accounts.notices import notify
from accounts.origin import Origin

OWNERS = frozenset({Role.OWNER})


class LastOwner(Exception):
    """The act would leave the tenant without an owner."""


@transaction.atomic
def change_role(
    *, tenant: Tenant, membership_id: uuid.UUID, role: Role, actor: User, origin: Origin
) -> Membership:
    """Give a member another role, in force from their next request."""
    membership = _locked(tenant, membership_id, actor)
    before = membership.role
    if before == role:
        return membership
    _keep_an_owner(membership)
    membership.role = role
    membership.save(update_fields=["role"])
    record(
        Action.MEMBER_ROLE_CHANGED,
        actor=actor,
        origin=origin,
        tenant=tenant,
        target=membership.user,
        role=[before, str(role)],
    )
    notify(
        "role_changed",
        users=[membership.user],
        origin=origin,
        tenant=tenant.name,
        role=str(role),
        by=actor.username,
    )
    return membership


@transaction.atomic
def remove_member(
    *, tenant: Tenant, membership_id: uuid.UUID, actor: User, origin: Origin
) -> Membership:
    """End a membership. Somebody who belongs to nothing else is signed out everywhere."""
    membership = _locked(tenant, membership_id, actor)
    _keep_an_owner(membership)
    user = membership.user
    membership.delete()
    if not Membership.objects.filter(user=user).exists():
        Session.objects.filter(user=user).delete()
    record(
        Action.MEMBER_REMOVED,
        actor=actor,
        origin=origin,
        tenant=tenant,
        target=user,
        role=membership.role,
        since=membership.created_at.isoformat(),
    )
    return membership


@transaction.atomic
def set_require_2fa(*, tenant: Tenant, is_required: bool, actor: User, origin: Origin) -> None:
    """Whether every member must have a second factor. Doing it twice records it once."""
    require_role(actor, tenant, OWNERS)
    stored = Tenant.objects.select_for_update().get(pk=tenant.pk)
    if stored.require_2fa == is_required:
        return
    stored.require_2fa = is_required
    stored.save(update_fields=["require_2fa"])
    action = Action.TWO_FACTOR_REQUIRED if is_required else Action.TWO_FACTOR_OPTIONAL
    record(action, actor=actor, origin=origin, tenant=stored, target=stored)


def _locked(tenant: Tenant, membership_id: uuid.UUID, actor: User) -> Membership:
    """The membership, under the tenant's lock: two owners cannot demote each other at once."""
    Tenant.objects.select_for_update().get(pk=tenant.pk)
    require_role(actor, tenant, OWNERS)
    return Membership.objects.select_related("user").get(tenant=tenant, pk=membership_id)


def _keep_an_owner(membership: Membership) -> None:
    others = Membership.objects.filter(
        tenant=membership.tenant, role=Role.OWNER, user__is_active=True
    )
    if membership.role == Role.OWNER and not others.exclude(pk=membership.pk).exists():
        raise LastOwner
