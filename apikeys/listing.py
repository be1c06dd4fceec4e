"""The keys of a tenant as **API Access** lists them: one statement, read only to be shown anew."""

import datetime as dt
import ipaddress
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from django.db import connection

from accounts.models import Tenant
from apikeys.waiting import PLACE, WAITING
from portal.lib.address import network_text

_PLACE = PLACE.format(key="key.id")

# One statement, so that a page shows one moment; what is in it as one text, so that a page that was
# rendered of the same text is found without reading it. Of the secrets the live one is shown, or
# the one that was retired last; of last uses, the key's own or a later one that is to be merged.
_LISTING = f"""
SELECT EXISTS (SELECT FROM apikeys_apikey WHERE tenant_id = contract.tenant_id
               AND revoked_at IS NULL),
       json_build_object('most', contract.max_keys, 'scopes', contract.scopes, 'keys', (
           SELECT coalesce(json_agg(listed ORDER BY listed.created_at DESC), '[]') FROM (
               SELECT key.id, key.label, key.scopes, key.allowlist, key.created_at, key.revoked_at,
                      (SELECT first_4 || '…' || last_4 FROM apikeys_apikeysecret
                       WHERE key_id = key.id ORDER BY retired_at DESC NULLS FIRST LIMIT 1) AS shown,
                      (SELECT username FROM accounts_user
                       WHERE id = key.created_by_id) AS created_by,
                      (SELECT username FROM accounts_user
                       WHERE id = key.revoked_by_id) AS revoked_by,
                      use.at AS last_used_at, use.address AS last_address
               FROM apikeys_apikey AS key LEFT JOIN LATERAL (
                   SELECT last_used_at AS at, last_address AS address
                   FROM apikeys_keyuse WHERE key_id = key.id
                   UNION ALL
                   SELECT to_timestamp(waiting.used_at[{_PLACE}] / 1000.0),
                          waiting.addresses[{_PLACE}]
                   FROM {WAITING.format(key="key.id")} AND waiting.used_at[{_PLACE}] > 0
                   ORDER BY at DESC LIMIT 1
               ) AS use ON true
               WHERE key.tenant_id = contract.tenant_id
           ) AS listed
       ))::text
FROM apikeys_contract AS contract WHERE contract.tenant_id = %s
"""  # noqa: S608 - texts of our own


class KeyFacts(NamedTuple):
    """What lasts of a key. scopes: how many of the contract's the key has."""

    id: str
    label: str
    shown: str  # of its secret
    scopes: int
    contract_scopes: int
    allowlist: tuple[str, ...]
    created_at: dt.datetime
    created_by: str | None
    revoked_at: dt.datetime | None
    revoked_by: str | None

    @property
    def networks(self) -> list[str]:
        """The allowlist as people write it."""
        return [network_text(ipaddress.ip_network(network)) for network in self.allowlist]


class KeyRow(NamedTuple):
    """A key, and apart from it what may change with every call."""

    key: KeyFacts
    last_used_at: dt.datetime | None
    last_address: str | None


@dataclass(frozen=True)
class Listing:
    """All keys of a tenant. Two are equal where they read the same."""

    has_live: bool
    facts: str

    @property
    def most(self) -> int:
        """Live keys that the contract allows."""
        return int(self._read["most"])

    @cached_property
    def live(self) -> tuple[KeyRow, ...]:
        """The newest first."""
        return tuple(row for row in self._rows if row.key.revoked_at is None)

    @cached_property
    def revoked(self) -> tuple[KeyFacts, ...]:
        """The newest first."""
        return tuple(row.key for row in self._rows if row.key.revoked_at is not None)

    @cached_property
    def _rows(self) -> list[KeyRow]:
        return [_row(each, self._read["scopes"]) for each in self._read["keys"]]

    @cached_property
    def _read(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(self.facts)
        return read


def listing_of(tenant: Tenant) -> Listing | None:
    """The keys as they are now; None for a tenant without a contract."""
    with connection.cursor() as cursor:
        cursor.execute(_LISTING, [tenant.pk])
        row = cursor.fetchone()
    return Listing(*row) if row else None


def _row(read: dict[str, Any], contract_scopes: list[str]) -> KeyRow:
    """Of a key as JSON has it."""
    key = KeyFacts(
        id=read["id"],
        label=read["label"],
        shown=read["shown"],
        scopes=sum(scope in contract_scopes for scope in read["scopes"]),
        contract_scopes=len(contract_scopes),
        allowlist=tuple(read["allowlist"]),
        created_at=dt.datetime.fromisoformat(read["created_at"]),
        created_by=read["created_by"],
        revoked_at=_moment(read["revoked_at"]),
        revoked_by=read["revoked_by"],
    )
    return KeyRow(key, _moment(read["last_used_at"]), read["last_address"])


def _moment(text: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(text) if text else None
