"""What staff do to tenants and users."""

import uuid

from django.db import transaction

from accounts.audit import record
from accounts.models import Action, Tenant, User
from accounts.origin import Origin
from accounts.services.self_service import end_all_sessions
from portal.lib import clock


@transaction.atomic
def create_tenant(*, slug: str, name: str, actor: User | None, origin: Origin) -> Tenant:
    """A new tenant; ValidationError for a slug that is malformed or taken."""
    tenant = Tenant(slug=slug, name=name)
    tenant.full_clean()
    tenant.save(force_insert=True)
    record(Action.TENANT_CREATED, actor=actor, origin=origin, tenant=tenant, target=tenant)
    return tenant


@transaction.atomic
def rename_tenant(*, tenant: Tenant, name: str, actor: User | None, origin: Origin) -> None:
    """Change the name; the slug never changes."""
    before, tenant.name = tenant.name, name
    tenant.save(update_fields=["name"])
    record(
        Action.TENANT_CHANGED,
        actor=actor,
        origin=origin,
        tenant=tenant,
        target=tenant,
        name=[before, name],
    )


@transaction.atomic
def set_tenant_active(
    *, tenant_id: uuid.UUID, is_active: bool, actor: User | None, origin: Origin
) -> Tenant:
    """Suspend or reactivate. Doing what is already done changes and records nothing."""
    tenant = Tenant.objects.select_for_update().get(pk=tenant_id)
    if tenant.is_active != is_active:
        tenant.suspended_at = None if is_active else clock.now()
        tenant.save(update_fields=["suspended_at"])
        action = Action.TENANT_REACTIVATED if is_active else Action.TENANT_SUSPENDED
        record(action, actor=actor, origin=origin, tenant=tenant, target=tenant)
    return tenant


@transaction.atomic
def set_user_active(
    *, user_id: uuid.UUID, is_active: bool, actor: User | None, origin: Origin
) -> User:
    """Disable or enable a user; disabling ends their sessions at once."""
    user = User.objects.select_for_update().get(pk=user_id)
    if user.is_active != is_active:
        user.is_active = is_active
        user.save(update_fields=["is_active"])
        if not is_active:
            end_all_sessions(user)
        action = Action.USER_ENABLED if is_active else Action.USER_DISABLED
        record(action, actor=actor, origin=origin, target=user)
    return user
