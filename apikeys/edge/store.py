"""What Postgres knows of a secret, in one indexed query, or that it cannot be asked just now."""

from typing import Any

from apikeys.catalogue import in_order
from apikeys.edge.database import Database, DatabaseAway
from apikeys.verdict import KeyRecord, Versions
from portal.lib.address import unmapped_network
from portal.lib.crypto import digest

# A call that cannot be decided is answered within 250 ms; the rest is for a busy event loop.
PATIENCE_SECONDS = 0.15

_LOOKUP = """
SELECT key.id, tenant.id, tenant.slug, tenant.name,
       tenant.suspended_at IS NOT NULL, secret.retired_at IS NOT NULL, key.revoked_at IS NOT NULL,
       key.scopes, coalesce(contract.scopes, '{}'), key.sports, coalesce(contract.sports, '{}'),
       coalesce(contract.limit_rpm, 0), key.allowlist,
       tenant.version, coalesce(contract.version, 0), key.version, secret.version
FROM apikeys_apikeysecret AS secret
JOIN apikeys_apikey AS key ON key.id = secret.key_id
JOIN accounts_tenant AS tenant ON tenant.id = key.tenant_id
LEFT JOIN apikeys_contract AS contract ON contract.tenant_id = tenant.id
WHERE secret.sha256 = %s
"""


class Store:
    """Finds the record of a secret."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def key_record(self, secret: str) -> KeyRecord | None:
        """The record, or None for a secret that we never made. Raises DatabaseAway, in time."""
        rows = await self._database.ask(_LOOKUP, [digest(secret)], seconds=PATIENCE_SECONDS)
        return _record(rows[0]) if rows else None

    async def is_ready(self) -> bool:
        """Whether a record could be found just now."""
        try:
            await self._database.ask("SELECT 1", seconds=PATIENCE_SECONDS)
        except DatabaseAway:
            return False
        return True


def _record(row: tuple[Any, ...]) -> KeyRecord:
    """A row of _LOOKUP. Without a contract a key may do nothing, but is known all the same."""
    (key_id, tenant_id, slug, name, *row_rest) = row
    (is_suspended, is_retired, is_revoked, *row_rest) = row_rest
    (key_scopes, contract_scopes, key_sports, contract_sports, *row_rest) = row_rest
    (limit_rpm, allowlist, *versions) = row_rest
    return KeyRecord(
        key_id=key_id,
        tenant_id=tenant_id,
        tenant_slug=slug,
        tenant_name=name,
        is_tenant_suspended=is_suspended,
        is_secret_retired=is_retired,
        is_key_revoked=is_revoked,
        scopes=tuple(in_order(set(key_scopes) & set(contract_scopes))),
        sports=tuple(sport for sport in key_sports if sport in contract_sports),
        limit_rpm=limit_rpm,
        networks=tuple(unmapped_network(network) for network in allowlist),
        versions=Versions(*versions),
    )
