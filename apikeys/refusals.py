"""What the verdict on a call may be: each refusal with its status, code and sentence. No Django."""

from dataclasses import dataclass

from apikeys.routes import Route
from portal.lib.address import Address
from portal.lib.redact import redacted


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
STREAM_KEY_MISSING = Verdict(
    401,
    "key_missing",
    "No API key was sent: put it in the query as api_key, or in the X-API-Key header.",
    _ASK_FOR_KEY,
)
STREAM_KEY_AMBIGUOUS = Verdict(
    401,
    "key_ambiguous",
    "More than one API key was sent: send one, as api_key in the query or as X-API-Key header.",
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
STREAM_ONLY = Verdict(
    404,
    "not_found",
    "There is a WebSocket at this path, and nothing for other requests.",
)
NO_STREAM = Verdict(
    404,
    "not_found",
    "There is no WebSocket at this path.",
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
TOO_MANY_STREAMS = Verdict(
    429,
    "too_many_streams",
    "As many WebSockets as the contract allows are open: close one before you open another.",
)


def address_not_allowed(address: Address) -> Verdict:
    """Step 4. The caller is told which address was seen."""
    return Verdict(
        403,
        "ip_not_allowed",
        f"You call from {address}, which is not in the IP allowlist of this API key.",
    )


def sport_not_allowed(sport: str) -> Verdict:
    """Step 5. sport: as the path names it, which may be a key in the wrong place."""
    return Verdict(
        403,
        "sport_not_allowed",
        f"Sport '{redacted(sport)}' is not in the sport allowlist of this API key. "
        "Contact your account manager to extend the key's sports.",
    )


def scope_not_granted(route: Route) -> Verdict:
    """Step 6, for a route that asks for scopes."""
    *others, last = (f"'{scope}'" for scope in route.scopes)
    scopes = f"{', '.join(others)} or {last}" if others else last
    return Verdict(
        403,
        "scope_not_granted",
        f"Required scope {scopes} is not granted to this API key. "
        "Contact your account manager to extend the key's scopes.",
    )


def method_not_allowed(route: Route) -> Verdict:
    """Step 7. RFC 9110 §15.5.6 asks for `Allow`."""
    return Verdict(
        405,
        "method_not_allowed",
        f"This path can be asked with {' or '.join(route.methods)} only.",
        ((b"allow", ", ".join(route.methods).encode("ascii")),),
    )


def rate_limited(limit: int, seconds: int) -> Verdict:
    """Step 8. limit: calls in any 60 seconds. seconds: until one more will be let in."""
    wait = "a second" if seconds == 1 else f"{seconds} seconds"
    return Verdict(
        429,
        "rate_limited",
        f"The limit of this API key is {limit} calls in 60 seconds. Try again in {wait}.",
        ((b"retry-after", b"%d" % seconds),),
    )
