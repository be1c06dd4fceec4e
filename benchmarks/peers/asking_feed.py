"""A feed behind the guard that tells a WebSocket 200 times a second whether a type is on.

The sample feed moves the odds of each type once in ten seconds: it would be that one measured.
"""

import asyncio
from typing import Any

from apikeys.edge.guard import Guard

CODE = "headshot_opening"
EVERY_SECONDS = 0.005


@Guard
async def application(scope: Any, receive: Any, send: Any) -> None:
    """`1` or `0` until the client has gone."""
    if scope["type"] != "websocket":
        raise RuntimeError("this application needs no lifespan, and has no pages")
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        is_on = scope["tenant"].market_enabled(CODE)
        await send({"type": "websocket.send", "text": "1" if is_on else "0"})
        await asyncio.sleep(EVERY_SECONDS)
