"""Both doors behind one port: `granian --interface asgi portal.asgi:application`.

The machine door is ASGI, without Django in the path of its requests; the pages are Django's WSGI
behind a bridge of threads, which is twice as fast as Django's own ASGI (docs/decisions/).
"""

import asyncio
import string
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast
from urllib.parse import quote

from a2wsgi import WSGIMiddleware

from apikeys.edge.app import application as machine_door
from apikeys.edge.routes import belongs_to_door
from portal.lib.env import env_int
from portal.wsgi import application as pages_wsgi

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

pages: Any = WSGIMiddleware(cast(Any, pages_wsgi), workers=env_int("PAGE_THREADS", 8, least=1))

BODY_BYTES = 1024 * 1024  # the largest form; the pages answer 413 above it
BODY_SECONDS = 15


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Calls to the feed, WebSockets and the life of the process go to the machine door."""
    if scope["type"] != "http" or belongs_to_door(scope.get("raw_path") or b""):
        await machine_door(scope, receive, send)
        return
    body = await _read_body(receive)
    if body is not None:
        await pages(_for_wsgi(scope, len(body)), _replay(body), send)


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body, or a little more than BODY_BYTES of it; None if it stopped coming.

    Read here and not in a page's thread: a slow sender would hold one of the few there are.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while len(body) <= BODY_BYTES:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        return None
    return bytes(body)


def _replay(body: bytes) -> Receive:
    """A `receive` that hands out a body that was read already."""

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _for_wsgi(scope: Scope, length: int) -> Scope:
    """Only what WSGI can tell apart, and the body's true length, sent in chunks or not.

    `X_Forwarded_For` would be read as `X-Forwarded-For`; a query with raw bytes is no query.
    """
    headers = [
        (name, value)
        for name, value in scope["headers"]
        if b"_" not in name and name != b"content-length"
    ]
    headers.append((b"content-length", str(length).encode()))
    query = quote(scope["query_string"], safe=string.punctuation).encode("ascii")
    return {**scope, "headers": headers, "query_string": query}
