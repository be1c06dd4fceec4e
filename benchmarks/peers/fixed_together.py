"""The 300 fixed bytes of `fixed.py`, with the server's threads on one core as the door's are."""

import asyncio
from collections.abc import Awaitable, Callable

from benchmarks.peers.fixed import Message
from benchmarks.peers.fixed import application as fixed
from portal.lib.one_core import keep_together


async def application(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """ASGI 3."""
    if scope["type"] == "http":
        await fixed(scope, receive, send)
        return
    await receive()
    together = asyncio.create_task(keep_together())
    await send({"type": "lifespan.startup.complete"})
    await receive()
    together.cancel()
    await send({"type": "lifespan.shutdown.complete"})
