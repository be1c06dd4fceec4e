"""A feed that knows nothing of keys: it answers with what it was sent, and calls that cacheable.

`?status=…` is the status it answers with. A WebSocket is told the same in its first message.
"""

import itertools
import json
from typing import Any
from urllib.parse import parse_qs

_numbers = itertools.count(1)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """ASGI 3."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": json.dumps(_told(scope))})
        while (await receive())["type"] != "websocket.disconnect":
            pass
    else:
        await _answer(scope, receive, send)


async def _answer(scope: Any, receive: Any, send: Any) -> None:
    status = int(parse_qs(scope["query_string"].decode()).get("status", ["200"])[0])
    length = 0
    while True:
        message = await receive()
        length += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    body = json.dumps(_told(scope) | {"method": scope["method"], "body": length}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"public, max-age=3600"),
        (b"x-request-id", b"of the feed"),
        (b"ratelimit", b"of the feed"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _told(scope: Any) -> dict[str, Any]:
    path = scope["raw_path"].decode("latin-1")
    return {
        "number": next(_numbers),
        "path": path,
        "query": scope["query_string"].decode("latin-1"),
        "headers": [[n.decode("latin-1"), v.decode("latin-1")] for n, v in scope["headers"]],
    }
