"""`GET /v1/whoami`: the first call to make with a key tells what it may do."""

from apikeys.edge.formats import Value
from apikeys.verdict import KeyRecord


def whoami(record: KeyRecord) -> dict[str, Value]:
    """The documented shape, and nothing beside it."""
    return {
        "data": {
            "tenant_id": str(record.tenant_id),
            "name": record.tenant_name,
            "scopes": record.scopes,
            "sport_allowlist": record.sports,
            "rate_limit_rpm": record.limit_rpm,
        }
    }
