"""Recording what happened: one row an act, in the act's own transaction."""

import uuid
from typing import Any

from django.db import models

from accounts.models import Action, AuditEvent, Tenant, User
from accounts.origin import Origin


def record(
    action: Action,
    *,
    actor: User | None,
    origin: Origin,
    tenant: Tenant | None = None,
    target: models.Model | None = None,
    **detail: Any,
) -> AuditEvent:
    """Write the event. `detail` is what changed, as plain JSON; never a secret."""
    target_id = target.pk if target is not None and isinstance(target.pk, uuid.UUID) else None
    return AuditEvent.objects.create(
        action=action,
        actor_id=actor.pk if actor else None,
        actor_name=actor.username if actor else "",
        tenant_id=tenant.pk if tenant else None,
        target_type=target._meta.model_name or "" if target is not None else "",
        target_id=target_id,
        target_name=str(target)[:254] if target is not None else "",
        address=origin.address,
        agent=origin.agent,
        detail=detail,
    )
