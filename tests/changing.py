"""Somebody at work on the portal: `python -m tests.changing` does what each line of JSON orders.

The answer to each says when its transaction began and had been committed, on the clock of
time.monotonic, which Linux keeps for all processes alike.
"""

import json
import os
import sys
import time
import uuid
from typing import Any

import django

LIMIT = 1_000_000  # calls a minute: what is looked at here is no limit


def main() -> None:
    """One answer a line, until the orders end."""
    from django.db import connections

    for line in sys.stdin:
        order = json.loads(line)
        connections.close_all()  # Postgres may have been restarted meanwhile
        began_at = time.monotonic()
        answer = globals()[f"_{order.pop('act')}"](**order) or {}
        answer |= {"began_at": began_at, "done_at": time.monotonic()}
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()


def _prepare(tenants: int, keys: int) -> dict[str, Any]:
    """So many tenants with so many keys each."""
    from accounts.models import Membership, Role, User
    from accounts.origin import COMMAND_LINE
    from apikeys.services import change_contract, create_key, open_tenant

    made = []
    act: dict[str, Any] = {"actor": None, "origin": COMMAND_LINE}
    for number in range(tenants):
        tenant = open_tenant(slug=f"tenant-{number}", name=f"Tenant {number}", **act)
        change_contract(tenant=tenant, terms={"max_keys": keys, "limit_rpm": LIMIT}, **act)
        owner = User.objects.create(username=f"Owner{number}", email=f"{number}@example.com")
        Membership.objects.create(tenant=tenant, user=owner, role=Role.OWNER)
        for _ in range(keys):
            issued = create_key(
                tenant=tenant,
                actor=owner,
                origin=COMMAND_LINE,
                nonce=uuid.uuid4(),
                label="Pricing",
                allowlist=[],
                scopes=tenant.contract.scopes,
            )
            made.append([str(tenant.pk), str(issued.key.pk), issued.secret])
    return {"keys": made}


def _revoke(key_id: str) -> None:
    from apikeys.services import revoke_key

    revoke_key(**_about(key_id))


def _rotate(key_id: str) -> dict[str, str]:
    from apikeys.services import rotate_key

    return {"secret": rotate_key(**_about(key_id)).secret}


def _allow(key_id: str, networks: list[str]) -> None:
    from apikeys.services import edit_key

    edit_key(label="Pricing", allowlist=networks, **_about(key_id))


def _limit(tenant_id: str, limit_rpm: int) -> None:
    from accounts.models import Tenant
    from accounts.origin import COMMAND_LINE
    from apikeys.services import change_contract

    tenant = Tenant.objects.get(pk=tenant_id)
    change_contract(tenant=tenant, actor=None, origin=COMMAND_LINE, terms={"limit_rpm": limit_rpm})


def _activate(tenant_id: str, is_active: bool) -> None:
    from accounts.origin import COMMAND_LINE
    from accounts.services.tenants import set_tenant_active

    set_tenant_active(
        tenant_id=uuid.UUID(tenant_id), is_active=is_active, actor=None, origin=COMMAND_LINE
    )


def _about(key_id: str) -> dict[str, Any]:
    from accounts.origin import COMMAND_LINE
    from apikeys.models import ApiKey

    key = ApiKey.objects.select_related("tenant", "created_by").get(pk=key_id)
    return {
        "tenant": key.tenant,
        "key_id": key.pk,
        "version": key.version,
        "actor": key.created_by,
        "origin": COMMAND_LINE,
    }


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    django.setup()
    main()
