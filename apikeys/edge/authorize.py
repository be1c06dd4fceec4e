"""Forward auth: a proxy asks whether a call may pass to a feed that does not ask by itself.

The call is told in one of three ways, each of them the way of one proxy, and is then judged and
counted as if it had come here. Nothing that the caller wrote may stand in for what the proxy says:
a question that can be read in two ways is answered 503 and logged. deploy/README.md has the
proxies' side.
"""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic

from apikeys.edge.answers import Answer, Headers, refusal
from apikeys.edge.calls import Reading, Scope, read_call
from apikeys.edge.gate import Gate
from apikeys.edge.judging import judge
from apikeys.refusals import UNAVAILABLE, Verdict
from apikeys.verdict import KeyRecord

PATH = b"/internal/authorize"
UNDERSTOOD_BY_NGINX = (401, 403)  # of refusals; every other would become a 500
COMPLAINT_SECONDS = 10  # at most one line in so long a time

_TELLS_NGINX = (b"x-original-uri", b"x-original-method")
_TELLS_TRAEFIK = (b"x-forwarded-uri", b"x-forwarded-method")
# Kept out of X-Auth-Detail, which nginx copies into JSON and XML.
_UNSAFE = re.compile(r'[^ -~]|["\\<>&]')

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Question:
    """The call that a proxy asks about. uri: path and query as they came."""

    method: str
    uri: bytes
    is_from_nginx: bool = False


class Unreadable(Exception):
    """Nobody can tell which call is meant; the message says why."""


class ForwardAuth:
    """Answers proxies with what the gate decides."""

    def __init__(self, gate: Gate, proxies: int) -> None:
        """proxies: how many of ours write into `X-Forwarded-For`, the one that asks included."""
        self._gate = gate
        self._proxies = proxies
        self._complained_at = float("-inf")

    async def answer(self, scope: Scope, request_id: str) -> Answer:
        """200 with whose call it is, or the refusal that the machine door would have given."""
        try:
            question = read_question(scope)
        except Unreadable as error:
            self._complain(error)
            return refusal(UNAVAILABLE, None, request_id)
        reading = read_original(question, scope, self._proxies)
        decision, switched = await judge(self._gate, reading.call, request_id)
        if decision.record is not None and switched is not None:
            said = _identity(decision.record, switched.revision)
            if question.is_from_nginx:
                said += ((b"x-auth-status", b"200"),)  # for its log
            return _allowed((*said, *decision.headers), request_id)
        verdict = decision.verdict
        answer = refusal(verdict, reading.chosen, request_id, decision.headers)
        return _for_nginx(answer, verdict) if question.is_from_nginx else answer

    def _complain(self, error: Unreadable) -> None:
        """Callers may be able to cause it, so not each time."""
        if monotonic() >= self._complained_at + COMPLAINT_SECONDS:
            self._complained_at = monotonic()
            _log.error("A proxy's question cannot be read: %s", error)


def read_question(scope: Scope) -> Question:
    """Which call is asked about. Raises Unreadable.

    Envoy appends the path to ours and keeps the method; the others name both in headers, of which
    a caller may have sent more.
    """
    below = scope["raw_path"][len(PATH) :]
    if below:
        query = scope["query_string"]
        return Question(scope["method"], below + b"?" + query if query else below)
    told: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        if name in _TELLS_NGINX or name in _TELLS_TRAEFIK:
            told.setdefault(name, []).append(value)
    for names in (_TELLS_NGINX, _TELLS_TRAEFIK):
        if sorted(told) == sorted(names) and all(len(values) == 1 for values in told.values()):
            uri, method = (told[name][0] for name in names)
            return Question(method.decode("latin-1"), uri, names is _TELLS_NGINX)
    there = b", ".join(sorted(told)).decode("ascii") or "neither"
    raise Unreadable(
        "it should name the call by X-Original-URI and X-Original-Method (nginx), or by "
        f"X-Forwarded-Uri and X-Forwarded-Method (Traefik), each once; there is {there}"
    )


def read_original(question: Question, scope: Scope, proxies: int) -> Reading:
    """The call itself, as the machine door would have read it.

    `Sec-WebSocket-Key` tells a handshake: `Upgrade` is the proxy's own affair and does not come
    here. Who sends it without a handshake is let into nothing but to the door of a stream.
    """
    path, _, query = question.uri.partition(b"?")
    names = {name for name, _ in scope["headers"]}
    is_handshake = question.method == "GET" and b"sec-websocket-key" in names
    original = {
        "type": "websocket" if is_handshake else "http",
        "method": question.method,
        "raw_path": path,
        "query_string": query,
        "headers": [*_one_key_a_line(scope["headers"])],
        "client": scope.get("client"),
    }
    return read_call(original, proxies)


def _one_key_a_line(headers: Headers) -> Iterable[tuple[bytes, bytes]]:
    """Envoy writes several lines of a header as one, with commas between."""
    for name, value in headers:
        if name == b"x-api-key":
            for key in value.split(b","):
                yield name, key
        else:
            yield name, value


def _identity(record: KeyRecord, revision: int) -> tuple[tuple[bytes, bytes], ...]:
    """Whose call it is. All are there, if only empty: they replace what the caller sent."""
    said = {
        b"x-tenant-id": str(record.tenant_id),
        b"x-tenant-slug": record.tenant_slug,
        b"x-key-id": str(record.key_id),
        b"x-key-scopes": ",".join(record.scopes),
        b"x-key-sports": ",".join(record.sports),
        b"x-markets-revision": str(revision),
    }
    return tuple((name, value.encode("ascii")) for name, value in said.items())


def _allowed(more: Headers, request_id: str) -> Answer:
    headers = [
        (b"content-length", b"0"),
        (b"cache-control", b"no-store"),
        (b"x-request-id", request_id.encode("ascii")),
    ]
    return Answer(200, [*headers, *more], b"")


def _for_nginx(answer: Answer, verdict: Verdict) -> Answer:
    """What nginx can pass on; deploy/nginx makes of it what it was."""
    status = answer.status if answer.status in UNDERSTOOD_BY_NGINX else 403
    headers = [
        *answer.headers,
        (b"x-auth-status", str(answer.status).encode("ascii")),
        (b"x-auth-code", verdict.code.encode("ascii")),
        (b"x-auth-detail", safe_in_header(verdict.detail).encode("ascii")),
    ]
    return Answer(status, headers, answer.body)


def safe_in_header(text: str) -> str:
    """The text without what no header can hold, and what JSON or XML would stumble over."""
    return _UNSAFE.sub("", text)
