"""A call as the feed sees it, without the key; and its answer as the caller gets it."""

from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from apikeys.edge.calls import Scope
from apikeys.edge.formats import Format
from apikeys.edge.sockets import Message, Send
from apikeys.edge.tenant import Tenant

Header = tuple[bytes, bytes]

_STARTS = ("http.response.start", "websocket.http.response.start", "websocket.accept")
# Ours, whatever the feed says: an answer is for one tenant alone.
_OURS = frozenset(
    {
        b"cache-control",
        b"x-request-id",
        b"x-content-type-options",
        b"ratelimit",
        b"ratelimit-policy",
    }
)


def disguised(scope: Scope, tenant: Tenant, chosen: Format, request_id: str) -> Scope:
    """The scope without the key in header or query, and with who calls.

    In its state are also `format`, which the client prefers, and `request_id`.
    """
    state = {
        **(scope.get("state") or {}),
        "tenant": tenant,
        "format": chosen,
        "request_id": request_id,
    }
    return {
        **scope,
        "headers": [each for each in scope["headers"] if each[0] != b"x-api-key"],
        "query_string": _without_key(scope["query_string"]),
        "tenant": tenant,
        "state": state,
    }


def carrying(send: Send, request_id: str, more: Iterable[Header] = ()) -> Send:
    """A `send` whose answers carry what every answer of this door carries."""
    added = [
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"x-request-id", request_id.encode("ascii")),
        *more,
    ]

    async def send_on(message: Message) -> None:
        if message["type"] in _STARTS:
            message = {**message, "headers": _joined(message.get("headers", ()), added)}
        await send(message)

    return send_on


def _joined(feeds: Iterable[Iterable[bytes]], added: list[Header]) -> list[Header]:
    kept: list[Header] = []
    varies = [b"Accept"]
    for name, value in feeds:
        lowered = bytes(name).lower()
        if lowered == b"vary":
            parts = [part.strip() for part in bytes(value).split(b",")]
            varies += [part for part in parts if part and part.lower() != b"accept"]
        elif lowered not in _OURS:
            kept.append((lowered, bytes(value)))
    return [*kept, (b"vary", b", ".join(varies)), *added]


def _without_key(query: bytes) -> bytes:
    """A parameter is the key's by its decoded name, whatever way it is written."""
    if not query:
        return query
    return b"&".join(part for part in query.split(b"&") if not _is_key(part))


def _is_key(part: bytes) -> bool:
    name = part.partition(b"=")[0].replace(b"+", b" ")
    return unquote_to_bytes(name).strip().lower() == b"api_key"
