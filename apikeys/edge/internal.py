"""The internal listener: what proxies, feeds and monitoring of our own ask. Never the public port.

granian --interface asgi apikeys.edge.internal:application --port 8003
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic

from apikeys.edge.answers import Answer, new_request_id, refusal
from apikeys.edge.app import HEALTH, Door, Receive, Send
from apikeys.edge.authorize import PATH, ForwardAuth
from apikeys.edge.calls import Scope
from apikeys.edge.gate import Gate
from apikeys.edge.markets_endpoint import answer_markets
from apikeys.edge.metrics import answer_metrics
from apikeys.refusals import NOT_FOUND, UNAVAILABLE
from portal.lib.env import SettingError, env_int

Part = Callable[[Gate, Scope, str], Awaitable[Answer]]  # the string is the request's id

# What is answered here beside forward auth, by the beginning of the path. Each part answers
# whatever is asked below it, unknown paths and methods too.
PARTS: Mapping[bytes, Part] = {b"/internal/tenants/": answer_markets, b"/metrics": answer_metrics}

_log = logging.getLogger(__name__)


class Internal:
    """Answers HTTP; whoever can connect is trusted to ask.

    Its gate is its own: what other processes count towards a limit it knows through Redis only.
    """

    def __init__(self, *, gate: Gate | None = None, proxies: int | None = None) -> None:
        """proxies: as in ForwardAuth; EDGE_FORWARD_AUTH_PROXIES when it opens, unless given."""
        self._gate = gate or Gate()
        self._door = Door(gate=self._gate)
        self._proxies = proxies
        self._forward_auth: ForwardAuth | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3. The life of the process, its health and WebSockets are the door's affair."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        if scope["type"] != "http" or scope["raw_path"] in HEALTH:
            await self._door(scope, receive, send)
            return
        request_id = new_request_id()
        try:
            answer = await self._answer(scope, request_id)
        except Exception:  # whatever it is, nobody gets in by it
            _log.exception("The internal listener failed on request %s", request_id)
            answer = refusal(UNAVAILABLE, None, request_id)
        start = {"status": answer.status, "headers": answer.headers}
        await send({"type": "http.response.start", **start})
        body = b"" if scope["method"] == "HEAD" else answer.body
        await send({"type": "http.response.body", "body": body})

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._open()
        except SettingError as error:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await self._door(scope, receive, send)

    async def _answer(self, scope: Scope, request_id: str) -> Answer:
        path = scope["raw_path"]
        if path == PATH or path.startswith(PATH + b"/"):
            return await self._authorize(scope, request_id)
        for beginning, part in PARTS.items():
            if path.startswith(beginning):
                return await part(self._gate, scope, request_id)
        return refusal(NOT_FOUND, None, request_id)

    async def _authorize(self, scope: Scope, request_id: str) -> Answer:
        latency = self._gate.latency
        began_at = monotonic() if latency.is_due() else 0.0
        answer = await self._open().answer(scope, request_id)
        if began_at:
            latency.calls.add(monotonic() - began_at)
        return answer

    def _open(self) -> ForwardAuth:
        """Raises SettingError."""
        if self._forward_auth is None:
            proxies = self._proxies or env_int("EDGE_FORWARD_AUTH_PROXIES", 1, least=1)
            self._forward_auth = ForwardAuth(self._gate, proxies)
        return self._forward_auth


application = Internal()
