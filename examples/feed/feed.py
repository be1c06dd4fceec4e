"""The feed as an ASGI application. Who may see what is the guard's business, before it."""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from apikeys.edge.answers import Answer, content, refusal
from apikeys.edge.handshakes import refuse_handshake
from apikeys.edge.tenant import Tenant
from apikeys.refusals import NOT_FOUND
from examples.feed.matches import find
from examples.feed.pages import Call, answer
from examples.feed.stream import Clock, Stream

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

BELOW = 2  # segments of `/cs2/v1`


class Feed:
    """Made-up matches and markets of Counter-Strike 2. Knows of no key and keeps nothing."""

    def __init__(self, pace: float = 1, clock: Clock = time.time) -> None:
        """pace: how many of its seconds pass in one of the clock's, from now on.

        clock: Unix time.
        """
        self._pace = pace
        self._clock = clock
        self._began_at = clock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3, without a lifespan: there is nothing to open."""
        if scope["type"] == "lifespan":
            raise RuntimeError("this application needs no lifespan")
        tenant: Tenant = scope["tenant"]
        segments = scope["raw_path"].decode("ascii").strip("/").split("/")[BELOW:]
        if scope["type"] == "websocket":
            await self._open_stream(scope, segments, tenant, receive, send)
            return
        call = Call(segments, scope["query_string"].decode("latin-1"), tenant, int(self._now()))
        told = self._answer(scope, answer(call))
        is_head = scope["method"] == "HEAD"
        await send({"type": "http.response.start", "status": told.status, "headers": told.headers})
        await send({"type": "http.response.body", "body": b"" if is_head else told.body})

    async def _open_stream(
        self, scope: Scope, segments: list[str], tenant: Tenant, receive: Receive, send: Send
    ) -> None:
        match_id = segments[1] if len(segments) > 1 else None
        if match_id and not find(match_id, int(self._now())):
            await refuse_handshake(self._answer(scope, None), scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.accept"})
        await Stream(tenant, match_id, self._now, send).run(self._pace, receive)

    def _answer(self, scope: Scope, value: Any) -> Answer:
        """In the format that the client asked for; the guard has found one that will do."""
        state = scope["state"]
        if value is None:
            return refusal(NOT_FOUND, state["format"], state["request_id"])
        return content(value, state["format"], state["request_id"])

    def _now(self) -> float:
        return self._began_at + (self._clock() - self._began_at) * self._pace
