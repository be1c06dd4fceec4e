"""A WebSocket between its application and the server, which somebody else can close.

Granian sends no close while a `receive` is pending, and ends a connection without a code when the
application returns before its close went out: so pending ones are called off first.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from apikeys.edge.streams import End, Stream

CALL_OFF_SECONDS = 0.2  # for what is under way when it is to be closed
CLOSE_SECONDS = 0.5  # for a client that does not read; then the connection is cut
FAREWELL_SECONDS = 2.0  # for an application that has been told that its client is gone

Message = Any  # ASGI's
Scope = Any
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Refuse = Callable[[End, Receive], Awaitable[None]]


class Closed(ConnectionResetError):
    """What an application meets that sends on a WebSocket which was closed behind its back."""


async def serve(
    application: Application,
    scope: Scope,
    receive: Receive,
    send: Send,
    stream: Stream,
    refuse: Refuse,
) -> None:
    """Run the application until it returns, or until the stream is to end and it is closed.

    refuse: answers the handshake, where the application has not accepted it by then.
    """
    socket = _Socket(receive, send, refuse)
    running = asyncio.ensure_future(application(scope, socket.receive, socket.send))
    either: set[asyncio.Future[Any]] = {running, stream.ended}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            await socket.close(stream.ended.result())
            await asyncio.wait({running}, timeout=FAREWELL_SECONDS)
    finally:
        if not running.done():
            running.cancel()
            await asyncio.wait({running}, timeout=CALL_OFF_SECONDS)
    if not running.done() or running.cancelled():
        return
    error = running.exception()
    if error is not None and not (isinstance(error, OSError) and stream.ended.done()):
        raise error


class _Socket:
    """What the application is given in place of the server's `receive` and `send`."""

    def __init__(self, receive: Receive, send: Send, refuse: Refuse) -> None:
        self._receive = receive
        self._send = send
        self._refuse = refuse
        self._first: Message = None  # what was received first, which is that somebody is there
        self._is_answered = False  # whether the application has said what becomes of the handshake
        self._pending: set[asyncio.Future[Any]] = set()
        self._over = asyncio.Event()
        self._code = 0

    async def receive(self) -> Message:
        if not self._over.is_set():
            message = await self._either(self._receive())
            if message is not None:
                self._first = self._first or message
                return message
        await self._over.wait()
        return {"type": "websocket.disconnect", "code": self._code}

    async def send(self, message: Message) -> None:
        if self._over.is_set():
            raise Closed("the WebSocket is closed")
        self._is_answered = True
        if message["type"] == "websocket.close":
            await self._call_off()
            await self._send(message)
            self._code = message.get("code", 1000)
            self._over.set()
            return
        await self._either(self._send(message))
        if self._over.is_set():
            raise Closed("the WebSocket is closed")

    async def close(self, end: End) -> None:
        """Tell the client, if it reads; from now on the application finds it closed."""
        self._code = end.code
        self._over.set()
        await self._call_off()
        message = {"type": "websocket.close", "code": end.code, "reason": end.reason}
        told = self._send(message) if self._is_answered else self._refuse(end, self._begin)
        closing = asyncio.ensure_future(told)
        await asyncio.wait({closing}, timeout=CLOSE_SECONDS)
        if not closing.done():
            closing.cancel()
        elif not closing.cancelled():
            closing.exception()  # the client may have gone by itself

    async def _begin(self) -> Message:
        return self._first or await self._receive()

    async def _either(self, asked: Awaitable[Any]) -> Any:
        """What the server answers; None when it was called off, because this is closed."""
        answer = asyncio.ensure_future(asked)
        self._pending.add(answer)
        answer.add_done_callback(self._pending.discard)
        try:
            await asyncio.wait({answer})
        finally:
            if not answer.done():
                answer.cancel()
        return None if answer.cancelled() else answer.result()

    async def _call_off(self) -> None:
        pending = set(self._pending)
        for each in pending:
            each.cancel()
        if pending:
            await asyncio.wait(pending, timeout=CALL_OFF_SECONDS)
