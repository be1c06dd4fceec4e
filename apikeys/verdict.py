"""May this key make this call? A pure function of a record and a call: no I/O, no Django.

The checks are made in the order of the table of answers, and the first that fails decides: one
key is there (1), it is one of ours and alive (2), its tenant is active (3), the caller's address is
allowed (4), the route is in the table (6), the method (7), an acceptable format (9).
"""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from portal.lib.address import Address, Network, is_covered

# What there is behind this door, by raw path, and the methods of each. Nothing else is open.
ROUTES: Mapping[bytes, tuple[str, ...]] = {b"/v1/whoami": ("GET", "HEAD")}

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
    catalogue's order. networks is the allowlist; an empty one allows every address.
    """

    key_id: uuid.UUID
    tenant_id: uuid.UUID
    tenant_slug: str
    tenant_name: str
    is_tenant_suspended: bool
    is_secret_retired: bool
    is_key_revoked: bool
    scopes: tuple[str, ...]
    sports: tuple[str, ...]
    limit_rpm: int
    networks: tuple[Network, ...]
    versions: Versions


@dataclass(frozen=True, slots=True)
class Call:
    """What a caller sent, as far as the verdict depends on it.

    keys: the values of all `X-API-Key` lines. address: the caller's, None where it cannot be read.
    path: as it came, before any decoding. is_format_acceptable: some format that we have was
    asked for.
    """

    keys: Sequence[str]
    address: Address | None
    method: str
    path: bytes
    is_format_acceptable: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """Allowed (200), or refused with a status, a code for programs and a sentence for people.

    headers: those that belong to this very refusal, such as `Allow`.
    """

    status: int
    code: str = ""
    detail: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def is_allowed(self) -> bool:
        """Not refused."""
        return self.status == 200


_ASK_FOR_KEY = ((b"www-authenticate", b"ApiKey"),)

ALLOWED = Verdict(200)
KEY_MISSING = Verdict(
    401,
    "key_missing",
    "No API key was sent: put it in the X-API-Key header.",
    _ASK_FOR_KEY,
)
KEY_AMBIGUOUS = Verdict(
    401,
    "key_ambiguous",
    "More than one X-API-Key header was sent: send exactly one.",
    _ASK_FOR_KEY,
)
KEY_INVALID = Verdict(
    403,
    "key_invalid",
    "This API key is not known. Check that it was copied whole.",
)
KEY_ROTATED = Verdict(
    403,
    "key_revoked",
    "This API key was rotated: use the secret that replaced it.",
)
KEY_REVOKED = Verdict(
    403,
    "key_revoked",
    "This API key was revoked.",
)
TENANT_SUSPENDED = Verdict(
    403,
    "tenant_suspended",
    "The account that this API key belongs to is suspended. Contact your account manager.",
)
ADDRESS_UNREADABLE = Verdict(
    403,
    "ip_not_allowed",
    "This API key has an IP allowlist, and the address that you call from could not be read.",
)
NOT_FOUND = Verdict(
    404,
    "not_found",
    "There is nothing at this path.",
)
NOT_ACCEPTABLE = Verdict(
    406,
    "not_acceptable",
    "Neither JSON nor XML was asked for: accept application/json, application/xml or text/xml.",
)
UNAVAILABLE = Verdict(
    503,
    "unavailable",
    "Your API key could not be checked just now. Try again in a second.",
    ((b"retry-after", b"1"),),
)


def secret_to_look_up(call: Call) -> str | None:
    """The secret whose record `judge` needs; None where it refuses the call without one.

    What is no secret by its form is never asked about.
    """
    return None if _refuse_presentation(call) else call.keys[0]


def judge(call: Call, record: KeyRecord | None) -> Verdict:
    """The verdict on a call, given the record of the secret that it presents.

    record: that of `secret_to_look_up(call)`, None where there is none.
    """
    if refusal := _refuse_presentation(call):
        return refusal
    if record is None:
        return KEY_INVALID
    return (
        _refuse_dead_key(record)
        or _refuse_suspended_tenant(record)
        or _refuse_address(call, record)
        or _refuse_route(call)
        or _refuse_method(call)
        or _refuse_format(call)
        or ALLOWED
    )


def _refuse_presentation(call: Call) -> Verdict | None:
    """1, and of 2 what can be seen by looking at the secret."""
    if len(call.keys) > 1:
        return KEY_AMBIGUOUS
    if not call.keys or not call.keys[0]:
        return KEY_MISSING
    return None if _SECRET.fullmatch(call.keys[0]) else KEY_INVALID


def _refuse_dead_key(record: KeyRecord) -> Verdict | None:
    if record.is_key_revoked:
        return KEY_REVOKED
    return KEY_ROTATED if record.is_secret_retired else None


def _refuse_suspended_tenant(record: KeyRecord) -> Verdict | None:
    return TENANT_SUSPENDED if record.is_tenant_suspended else None


def _refuse_address(call: Call, record: KeyRecord) -> Verdict | None:
    if not record.networks:
        return None
    if call.address is None:
        return ADDRESS_UNREADABLE
    if is_covered(call.address, record.networks):
        return None
    return Verdict(
        403,
        "ip_not_allowed",
        f"You call from {call.address}, which is not in the IP allowlist of this API key.",
    )


def _refuse_route(call: Call) -> Verdict | None:
    return None if call.path in ROUTES else NOT_FOUND


def _refuse_method(call: Call) -> Verdict | None:
    methods = ROUTES[call.path]
    if call.method in methods:
        return None
    return Verdict(
        405,
        "method_not_allowed",
        f"This path can be asked with {' or '.join(methods)} only.",
        ((b"allow", ", ".join(methods).encode("ascii")),),
    )


def _refuse_format(call: Call) -> Verdict | None:
    return None if call.is_format_acceptable else NOT_ACCEPTABLE
