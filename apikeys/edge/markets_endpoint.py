"""`GET /internal/tenants/{id}/markets`: the switched-off codes, for feeds in other languages.

A feed keeps them, and asks again with their `ETag` in `If-None-Match`: 304 as long as nothing has
changed. With `?wait=20` that answer comes after so many seconds, and a change at once.
"""

import re
import uuid
from time import monotonic
from urllib.parse import parse_qs

from apikeys.edge.answers import Answer, content, plain, refusal
from apikeys.edge.calls import Scope
from apikeys.edge.formats import Value, negotiate
from apikeys.edge.gate import Gate
from apikeys.edge.markets import Markets, Switched, UnknownTenant
from apikeys.refusals import NOT_ACCEPTABLE, NOT_FOUND, Verdict

LONGEST_WAIT_SECONDS = 60
ASKED_AGAIN_SECONDS = 1.0  # also without an announcement, which a broken listener does not hear

_PATH = re.compile(rb"/internal/tenants/([0-9a-f-]{36})/markets")
_TAG = re.compile(r'(?:W/)?"([^"]*)"')
_ONLY_GET = Verdict(
    405, "method_not_allowed", "This path can be asked with GET only.", ((b"allow", b"GET, HEAD"),)
)


async def answer_markets(gate: Gate, scope: Scope, request_id: str) -> Answer:
    """200 with the codes, or 304. Raises DatabaseAway, which is a 503."""
    chosen = negotiate(
        [value.decode("latin-1") for name, value in scope["headers"] if name == b"accept"]
    )
    found = _PATH.fullmatch(scope["raw_path"])
    if found is None:
        return refusal(NOT_FOUND, chosen, request_id)
    if scope["method"] not in ("GET", "HEAD"):
        return refusal(_ONLY_GET, chosen, request_id)
    if chosen is None:
        return refusal(NOT_ACCEPTABLE, chosen, request_id)
    known = _known_tags(scope)
    try:
        tenant_id = uuid.UUID(found[1].decode("ascii"))
        switched = await _wait(gate.markets, tenant_id, known, _seconds(scope))
    except (ValueError, UnknownTenant):
        return refusal(NOT_FOUND, chosen, request_id)
    tag = ((b"etag", f'"{switched.tag}"'.encode("ascii")),)
    if switched.tag in known or "*" in known:
        empty = plain(304, "", request_id)
        kept = [each for each in empty.headers if not each[0].startswith(b"content-")]
        return Answer(304, [*kept, *tag], b"")
    told: dict[str, Value] = {
        "tenant_id": str(tenant_id),
        "revision": switched.revision,
        "catalogue_version": switched.catalogue_version,
        "disabled": sorted(switched.disabled),
    }
    return content({"data": told}, chosen, request_id, tag)


async def _wait(
    markets: Markets, tenant_id: uuid.UUID, known: set[str], seconds: float
) -> Switched:
    """What is new to whoever knows these tags, or the same after so many seconds."""
    deadline = monotonic() + seconds
    while True:
        switched = await markets.of(tenant_id)
        left = deadline - monotonic()
        if switched.tag not in known or left <= 0:
            return switched
        await markets.wait_for_change(min(left, ASKED_AGAIN_SECONDS))


def _known_tags(scope: Scope) -> set[str]:
    lines = [value for name, value in scope["headers"] if name == b"if-none-match"]
    text = b",".join(lines).decode("latin-1")
    return {"*"} if text.strip() == "*" else set(_TAG.findall(text))


def _seconds(scope: Scope) -> float:
    """Of `?wait=`; what is no number of seconds is none."""
    given = parse_qs(scope["query_string"].decode("latin-1")).get("wait", ["0"])[-1]
    is_number = given.isascii() and given.isdecimal()
    return min(int(given), LONGEST_WAIT_SECONDS) if is_number and len(given) < 9 else 0
