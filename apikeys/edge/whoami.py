"""`GET /v1/whoami`: the first call to make with a key tells what it may do."""

import uuid
from functools import lru_cache

from apikeys.edge.formats import Format, Value, render
from apikeys.verdict import KeyRecord

MOST_HELD = 10_000  # answers; the keys of a tenant mostly share one


def whoami(record: KeyRecord, chosen: Format) -> bytes:
    """The documented shape, and nothing beside it."""
    return _rendered(
        record.tenant_id.int,
        record.tenant_name,
        record.scopes,
        record.sports,
        record.limit_rpm,
        chosen,
    )


@lru_cache(maxsize=MOST_HELD)
def _rendered(
    tenant_id: int,
    name: str,
    scopes: tuple[str, ...],
    sports: tuple[str, ...],
    limit_rpm: int,
    chosen: Format,
) -> bytes:
    """By all that the answer is made of: what has changed is rendered anew."""
    data: dict[str, Value] = {
        "tenant_id": str(uuid.UUID(int=tenant_id)),
        "name": name,
        "scopes": scopes,
        "sport_allowlist": sports,
        "rate_limit_rpm": limit_rpm,
    }
    return render({"data": data}, chosen)
