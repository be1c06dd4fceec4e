"""What Postgres says about a secret, in two parts: what its tenant's keys share, and its own."""

import ipaddress
import sys
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from apikeys.catalogue import in_order
from apikeys.edge.held import Held
from apikeys.verdict import Versions
from portal.lib.address import Network, unmapped_network

_SHARED = """
tenant.id, tenant.slug, tenant.name, tenant.suspended_at IS NOT NULL, tenant.version,
coalesce(contract.scopes, '{}'), coalesce(contract.sports, '{}'),
coalesce(contract.limit_rpm, 0), coalesce(contract.max_streams, 0), coalesce(contract.version, 0)
"""
_OWN = """
key.id, secret.id, secret.retired_at IS NOT NULL, key.revoked_at IS NOT NULL,
key.scopes, key.sports, key.allowlist::text[], key.version, secret.version
"""
_TABLES = """
apikeys_apikeysecret AS secret
JOIN apikeys_apikey AS key ON key.id = secret.key_id
JOIN accounts_tenant AS tenant ON tenant.id = key.tenant_id
LEFT JOIN apikeys_contract AS contract ON contract.tenant_id = tenant.id
"""
# Of everything in a part: where it is the same, the part is. Our own words, in all of these.
_OF_SHARED = f"hashtextextended(ROW({_SHARED})::text, 0)"
_OF_OWN = f"hashtextextended(ROW({_OWN})::text, 0)"
_READ = f"""
SELECT secret.sha256, {_SHARED}, {_OF_SHARED}, {_OWN}, {_OF_OWN}
FROM {_TABLES} WHERE secret.sha256 =
"""  # noqa: S608
LOOKUP = f"{_READ} ANY(%s)"
# Of a list of one. Postgres cannot know how long a list is, takes it for longer, and so would plan
# anew each time, which takes as long as the rest of it.
LOOKUP_ONE = f"{_READ} (%s::bytea[])[1]"
FINGERPRINTS = f"""
SELECT string_agg(int8send({_OF_SHARED}) || int8send({_OF_OWN}), '' ORDER BY asked.number)
FROM unnest(%b::bytea[]) WITH ORDINALITY AS asked(sha256, number)
LEFT JOIN ({_TABLES}) ON secret.sha256 = asked.sha256
"""  # noqa: S608
_SHARED_COLUMNS = slice(1, 12)
_OWN_COLUMNS = slice(12, None)


@dataclass(frozen=True, slots=True)
class Shared:
    """A tenant and its contract. Without one (version 0) its keys are known and may do nothing."""

    tenant_id: uuid.UUID
    slug: str
    name: str
    is_suspended: bool
    tenant_version: int
    scopes: tuple[str, ...]
    sports: tuple[str, ...]
    limit_rpm: int
    max_streams: int
    contract_version: int
    fingerprint: int = 0


@dataclass(frozen=True, slots=True)
class Own:
    """A key, by its id, and one of its secrets. networks: its allowlist, separated by commas."""

    key: bytes
    secret_id: int
    is_secret_retired: bool
    is_key_revoked: bool
    scopes: tuple[str, ...]
    sports: tuple[str, ...]
    networks: str
    key_version: int
    secret_version: int
    fingerprint: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """Both parts, from one snapshot."""

    shared: Shared
    own: Own

    def record(self) -> Held:
        """What the verdict is made from."""
        return record_of(self.shared, self.own)


def parse_row(columns: tuple[Any, ...]) -> Row:
    """A row of LOOKUP, which begins with the SHA-256 of the secret."""
    tenant_id, slug, name, is_suspended, version, scopes, sports, *rest = columns[_SHARED_COLUMNS]
    shared = Shared(
        tenant_id, slug, name, is_suspended, version, _words(scopes), _words(sports), *rest
    )
    key_id, secret_id, is_retired, is_revoked, scopes, sports, allowlist, *versions = columns[
        _OWN_COLUMNS
    ]
    own = Own(
        key_id.bytes,
        secret_id,
        is_retired,
        is_revoked,
        _words(scopes),
        _words(sports),
        ",".join(allowlist),
        *versions,
    )
    return Row(shared, own)


def _words(of_row: Iterable[str]) -> tuple[str, ...]:
    """Few words in many rows: each is held once."""
    return tuple(map(sys.intern, of_row))


def record_of(shared: Shared, own: Own) -> Held:
    """Of scopes and sports those that the contract still holds, scopes in catalogue order."""
    return Held(
        key=own.key,
        tenant_id=shared.tenant_id,
        tenant_slug=shared.slug,
        tenant_name=shared.name,
        is_tenant_suspended=shared.is_suspended,
        is_secret_retired=own.is_secret_retired,
        is_key_revoked=own.is_key_revoked,
        scopes=_granted_scopes(own.scopes, shared.scopes),
        sports=_granted_sports(own.sports, shared.sports),
        limit_rpm=shared.limit_rpm,
        max_streams=shared.max_streams,
        networks=_parse_networks(own.networks),
        versions=_versions(
            shared.tenant_version, shared.contract_version, own.key_version, own.secret_version
        ),
        secret_id=own.secret_id,
    )


@lru_cache(maxsize=4096)
def _granted_scopes(of_key: tuple[str, ...], of_contract: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(in_order(set(of_key) & set(of_contract)))


@lru_cache(maxsize=4096)
def _granted_sports(of_key: tuple[str, ...], of_contract: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sport for sport in of_key if sport in of_contract)


@lru_cache(maxsize=4096)
def _versions(tenant: int, contract: int, key: int, secret: int) -> Versions:
    return Versions(tenant, contract, key, secret)


@lru_cache(maxsize=4096)
def _parse_networks(text: str) -> tuple[Network, ...]:
    return tuple(unmapped_network(ipaddress.ip_network(each)) for each in text.split(",") if each)
