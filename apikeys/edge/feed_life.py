"""The life of a process with a guarded feed in it: the gate opens before the feed and closes after.

Many an ASGI application has no lifespan: it raises, or returns. That is no failure.
"""

import asyncio
from typing import Any

from apikeys.edge.calls import Scope
from apikeys.edge.gate import Gate
from apikeys.edge.sockets import Application, Receive, Send
from portal.lib.env import SettingError


async def live(gate: Gate, feed: Application, scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI's lifespan, of both."""
    await receive()  # startup
    try:
        await gate.warm_up()
    except SettingError as error:
        await send({"type": "lifespan.startup.failed", "message": str(error)})
        return
    life = _FeedLife(feed, scope)
    try:
        told = await life.tell("lifespan.startup")
        if told["type"] != "lifespan.startup.complete":
            await gate.close()
            await send(told)
            return
        await send(told)
        await receive()  # shutdown
        # First the WebSockets, so that the feed's part in them is over when it ends.
        await gate.close()
        await send(await life.tell("lifespan.shutdown"))
    finally:
        await life.end()


class _FeedLife:
    """The feed's own lifespan, if it has one."""

    def __init__(self, feed: Application, scope: Scope) -> None:
        self._to_feed: asyncio.Queue[Any] = asyncio.Queue()
        self._from_feed: asyncio.Queue[Any] = asyncio.Queue()
        self._living = asyncio.ensure_future(feed(scope, self._to_feed.get, self._from_feed.put))

    async def tell(self, kind: str) -> Any:
        """The feed's answer; of a feed that has no lifespan, that it is complete."""
        self._to_feed.put_nowait({"type": kind})
        answering = asyncio.ensure_future(self._from_feed.get())
        either: set[asyncio.Future[Any]] = {answering, self._living}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            return answering.result()
        answering.cancel()
        return {"type": f"{kind}.complete"}

    async def end(self) -> None:
        """Whatever it does."""
        await asyncio.wait({self._living}, timeout=1)
        if not self._living.done():
            self._living.cancel()
            await asyncio.wait({self._living}, timeout=1)
        if self._living.done() and not self._living.cancelled():
            self._living.exception()  # so that asyncio does not complain that nobody looked
