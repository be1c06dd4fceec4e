"""The machine door as an ASGI application, beside the pages or alone.

Alone: granian --interface asgi apikeys.edge.app:application
"""

import logging
from collections.abc import Awaitable, Callable, Mapping

from apikeys import verdict
from apikeys.edge.answers import Answer, content, new_request_id, plain, refusal
from apikeys.edge.calls import Scope, read_call
from apikeys.edge.formats import Format, Value
from apikeys.edge.gate import Gate
from apikeys.edge.settings import EdgeSettings
from apikeys.edge.whoami import whoami
from portal.lib.env import SettingError
from portal.lib.redact import RedactingFormatter

Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]

HANDLERS: Mapping[bytes, Callable[[verdict.KeyRecord], dict[str, Value]]] = {b"/v1/whoami": whoami}
HEALTH = (b"/healthz", b"/readyz")

_log = logging.getLogger(__name__)


class Door:
    """Answers HTTP by the table of `apikeys.verdict`; there are no WebSockets behind it.

    Opens its connections in ASGI's lifespan, or at the first request of a server without one.
    Alone, it also answers `/healthz` and `/readyz`.
    """

    def __init__(self, settings: EdgeSettings | None = None, *, gate: Gate | None = None) -> None:
        """gate: the process's own, if it has one already; else one is made with the settings."""
        self._gate = gate or Gate(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        if scope["type"] == "http":
            answer = await self._answer(scope)
            await _send(answer, send, is_head=scope["method"] == "HEAD")
        elif scope["type"] == "websocket":
            await _refuse_websocket(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def close(self) -> None:
        """Write what is still to be written and end the connections; in three seconds at most."""
        await self._gate.close()

    async def _answer(self, scope: Scope) -> Answer:
        request_id = new_request_id()
        try:
            if scope["raw_path"] in HEALTH and scope["method"] in ("GET", "HEAD"):
                return await self._tell_health(scope["raw_path"], request_id)
            return await self._judge(scope, request_id)
        except Exception:  # whatever it is, nobody gets in by it
            _log.exception("The machine door failed on request %s", request_id)
            return refusal(verdict.UNAVAILABLE, Format.JSON, request_id)

    async def _tell_health(self, path: bytes, request_id: str) -> Answer:
        if path == b"/readyz" and not await self._gate.is_ready():
            return plain(503, "unavailable", request_id)
        return plain(200, "ok", request_id)

    async def _judge(self, scope: Scope, request_id: str) -> Answer:
        reading = read_call(scope, self._gate.trusted_proxies)
        decision = await self._gate.decide(reading.call)
        if decision.record is None or not decision.verdict.is_allowed:
            return refusal(decision.verdict, reading.chosen, request_id)
        value = HANDLERS[reading.call.path](decision.record)
        return content(value, reading.chosen, request_id)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                _set_up_logging()
                try:
                    await self._gate.warm_up()
                except SettingError as error:
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
            else:
                await self.close()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


def _set_up_logging() -> None:
    """For a door alone: beside the pages their settings have done it, and this changes nothing."""
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter())
    logging.basicConfig(handlers=[handler])


async def _send(answer: Answer, send: Send, *, is_head: bool) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": b"" if is_head else answer.body})


async def _refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """404 with a body where the server can send one; else a close, which servers make a 403."""
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    answer = refusal(verdict.NOT_FOUND, Format.JSON, new_request_id())
    await send(
        {
            "type": "websocket.http.response.start",
            "status": answer.status,
            "headers": answer.headers,
        }
    )
    await send({"type": "websocket.http.response.body", "body": answer.body})


application = Door()
