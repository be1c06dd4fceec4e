"""An ASGI application that answers 300 fixed bytes: what the server itself costs."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]

BODY = b'{"data":"' + b"x" * 289 + b'"}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"300")]


async def application(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """ASGI 3, HTTP alone; a server that asks for a lifespan is told that there is none."""
    if scope["type"] != "http":
        raise RuntimeError("HTTP alone")
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})
