"""May this key make this call? A pure function of a record and a call: no I/O, no Django.

The checks are made in the order of the table of answers, and the first that fails decides: one
key is there (1), it is one of ours and alive (2), its tenant is active (3), the caller's address is
allowed (4), the path's sport is (5), the route is in the table and its scope is granted (6), the
method (7), the rate limit (8, kept by `apikeys.edge.gate`), an acceptable format (9).
What is refused before the limit is not counted; what is refused after it has been.
"""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from apikeys.refusals import (
    ADDRESS_UNREADABLE,
    ALLOWED,
    KEY_AMBIGUOUS,
    KEY_INVALID,
    KEY_MISSING,
    KEY_REVOKED,
    KEY_ROTATED,
    NO_STREAM,
    NOT_ACCEPTABLE,
    NOT_FOUND,
    STREAM_KEY_AMBIGUOUS,
    STREAM_KEY_MISSING,
    STREAM_ONLY,
    TENANT_SUSPENDED,
    Verdict,
    address_not_allowed,
    method_not_allowed,
    scope_not_granted,
    sport_not_allowed,
)
from apikeys.routes import find_route, sport_of
from portal.lib.address import Address, Network, is_covered

_SECRET = re.compile(r"vbk_[0-9A-Za-z]{24}")


@dataclass(frozen=True, slots=True)
class Versions:
    """How often each row behind a record has been written, counted by the database."""

    tenant: int
    contract: int
    key: int
    secret: int


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is known of a secret: its key, the key's tenant, and what both may do.

    scopes and sports are those of the key that its tenant's contract still holds, scopes in the
    catalogue's order. limit_rpm: calls in any 60 seconds; max_streams: WebSockets that the tenant
    may hold open. networks is the allowlist; an empty one allows every address. secret_id: which
    of the key's secrets it was found by. key: the key's id as 16 bytes, of which Python remembers
    the hash: what is kept by key is looked up by it.
    """

    key: bytes
    tenant_id: uuid.UUID
    tenant_slug: str
    tenant_name: str
    is_tenant_suspended: bool
    is_secret_retired: bool
    is_key_revoked: bool
    scopes: tuple[str, ...]
    sports: tuple[str, ...]
    limit_rpm: int
    max_streams: int
    networks: tuple[Network, ...]
    versions: Versions
    secret_id: int

    @property
    def key_id(self) -> uuid.UUID:
        """The key's id, as everybody else has it."""
        return uuid.UUID(bytes=self.key)


class Call(NamedTuple):
    """What a caller sent, as far as the verdict depends on it.

    keys: the values of all `X-API-Key` lines, and for a WebSocket those of `api_key` in the query.
    address: the caller's, None where it cannot be read. path: as it came, before any decoding.
    is_format_acceptable: some format that we have was asked for. wants_stream: it is the handshake
    of a WebSocket.
    """

    keys: Sequence[str]
    address: Address | None
    method: str
    path: bytes
    is_format_acceptable: bool = True
    wants_stream: bool = False


def secret_to_look_up(call: Call) -> str | None:
    """The secret whose record `judge` needs; None where it refuses the call without one.

    What is no secret by its form is never asked about.
    """
    return None if refuse_presentation(call) else call.keys[0]


def judge(call: Call, record: KeyRecord | None) -> Verdict:
    """The verdict on a call, but for the rate limit, given the record of the secret it presents.

    record: that of `secret_to_look_up(call)`, None where there is none.
    """
    return (
        refuse_presentation(call)
        or refuse_uncounted(call, record)
        or refuse_counted(call)
        or ALLOWED
    )


def refuse_presentation(call: Call) -> Verdict | None:
    """Step 1, and of 2 what can be seen by looking at the secret."""
    if len(call.keys) > 1:
        return STREAM_KEY_AMBIGUOUS if call.wants_stream else KEY_AMBIGUOUS
    if not call.keys or not call.keys[0]:
        return STREAM_KEY_MISSING if call.wants_stream else KEY_MISSING
    return None if _SECRET.fullmatch(call.keys[0]) else KEY_INVALID


def refuse_uncounted(call: Call, record: KeyRecord | None) -> Verdict | None:
    """The rest of steps 2 to 7. What they refuse costs no quota; what they pass is counted."""
    if record is None:
        return KEY_INVALID
    if record.is_key_revoked:
        return KEY_REVOKED
    if record.is_secret_retired:
        return KEY_ROTATED
    if record.is_tenant_suspended:
        return TENANT_SUSPENDED
    if record.networks and (refusal := _refuse_address(call, record)):
        return refusal
    return _refuse_route(call, record)


def refuse_counted(call: Call) -> Verdict | None:
    """Step 9, for a call that has been counted."""
    return None if call.is_format_acceptable else NOT_ACCEPTABLE


def _refuse_address(call: Call, record: KeyRecord) -> Verdict | None:
    if call.address is None:
        return ADDRESS_UNREADABLE
    if is_covered(call.address, record.networks):
        return None
    return address_not_allowed(call.address)


def _refuse_route(call: Call, record: KeyRecord) -> Verdict | None:
    """5, 6 and 7: whose sport, which route, with what scope, by which method."""
    route = find_route(call.path)
    sport = route.sport if route else sport_of(call.path)
    if sport is not None and sport not in record.sports:
        return sport_not_allowed(sport)
    if route is None:
        return NOT_FOUND
    if route.is_stream is not call.wants_stream:
        return STREAM_ONLY if route.is_stream else NO_STREAM
    if route.scopes and not any(scope in record.scopes for scope in route.scopes):
        return scope_not_granted(route)
    return None if call.method in route.methods else method_not_allowed(route)
