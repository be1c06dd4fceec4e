"""The machine door as an ASGI application, beside the pages or alone.

Alone: granian --interface asgi apikeys.edge.app:application
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic

from apikeys.edge.again import remember
from apikeys.edge.answers import Answer, new_request_id, plain, refusal, rendered
from apikeys.edge.calls import Reading, Scope, read_call
from apikeys.edge.formats import Format
from apikeys.edge.gate import Decision, Gate
from apikeys.edge.handshakes import refuse_handshake
from apikeys.edge.openapi import PATH as OPENAPI
from apikeys.edge.openapi import tell_openapi
from apikeys.edge.settings import EdgeSettings
from apikeys.edge.whoami import whoami
from apikeys.refusals import NOT_FOUND, UNAVAILABLE
from apikeys.verdict import KeyRecord
from portal.lib.env import SettingError, env_bool
from portal.lib.garbage import settle
from portal.lib.one_core import keep_together
from portal.lib.redact import RedactingFormatter

Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]

HANDLERS: Mapping[bytes, Callable[[KeyRecord, Format], bytes]] = {b"/v1/whoami": whoami}
HEALTH = (b"/healthz", b"/readyz")

_log = logging.getLogger(__name__)


class Door:
    """Answers HTTP by the table of `apikeys.verdict`; WebSockets are refused by it as well.

    Of the routes in the table it has whoami. The others are a feed's (`apikeys.edge.guard`); where
    none stands behind this door, they are not found.

    Opens its connections in ASGI's lifespan, or at the first request of a server without one.
    Alone, it also answers `/healthz` and `/readyz`. `/v1/openapi.json` is open to everybody.
    """

    def __init__(
        self,
        settings: EdgeSettings | None = None,
        *,
        gate: Gate | None = None,
        is_alone: bool = False,
    ) -> None:
        """gate: the process's own, if it has one already; else one is made with the settings.

        is_alone: in its process nothing else is at work.
        """
        self._gate = gate or Gate(settings)
        self._is_alone = is_alone
        self._latency = self._gate.latency
        self._is_due = self._latency.is_due

    @property
    def gate(self) -> Gate:
        """For others in this process that decide calls: they share what is known of keys."""
        return self._gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        if scope["type"] == "http":
            began_at = monotonic() if self._is_due() else 0.0
            try:
                answer = self._gate.answer_again(scope)
            except Exception:  # the long way is there for everything
                _log.exception("The machine door failed on the short way")
                answer = None
            status, headers, body = answer or await self._answer_over_http(scope)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            if began_at:
                self._latency.calls.add(monotonic() - began_at)
        elif scope["type"] == "websocket":
            await refuse_handshake(await self._answer(scope), scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def close(self) -> None:
        """Write what is still to be written and end the connections; in three seconds at most."""
        await self._gate.close()

    async def _answer_over_http(self, scope: Scope) -> Answer:
        answer = await self._answer(scope)
        return answer._replace(body=b"") if scope["method"] == "HEAD" else answer

    async def _answer(self, scope: Scope) -> Answer:
        request_id = new_request_id()
        try:
            path = scope["raw_path"]
            if path in HEALTH and scope.get("method") in ("GET", "HEAD"):
                return await self._tell_health(path, request_id)
            reading = read_call(scope, self._gate.trusted_proxies)
            if path == OPENAPI and scope["type"] == "http":
                return tell_openapi(scope["method"], reading.chosen, request_id)
            decision = self._gate.decide_now(reading.call)
            if decision is None:
                decision = await self._gate.decide_later(reading.call)
            return _tell(self._gate, scope, reading, decision, request_id)
        except Exception:  # whatever it is, nobody gets in by it
            _log.exception("The machine door failed on request %s", request_id)
            return refusal(UNAVAILABLE, Format.JSON, request_id)

    async def _tell_health(self, path: bytes, request_id: str) -> Answer:
        if path == b"/readyz" and not await self._gate.is_ready():
            return plain(503, "unavailable", request_id)
        return plain(200, "ok", request_id)

    async def _live(self, receive: Receive, send: Send) -> None:
        together = None
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                _set_up_logging()
                try:
                    on_one_core = self._is_alone and env_bool("EDGE_ONE_CORE", default=True)
                    await self._gate.warm_up()
                except SettingError as error:
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                if on_one_core:
                    together = asyncio.create_task(keep_together())
                settle()
            else:
                if together:
                    together.cancel()
                await self.close()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


def _tell(
    gate: Gate, scope: Scope, reading: Reading, decision: Decision, request_id: str
) -> Answer:
    verdict, record, headers, _ = decision
    if record is None or not verdict.is_allowed:
        return refusal(verdict, reading.chosen, request_id, headers)
    handler = HANDLERS.get(reading.call.path)
    if handler is None:
        gate.refuse_after_all(reading.call, decision, NOT_FOUND)
        return refusal(NOT_FOUND, reading.chosen, request_id, headers)
    chosen = reading.chosen or Format.JSON
    try:
        body = handler(record, chosen)
        remember(record, scope, reading.call.address, chosen.content_type, body)
    except Exception:  # it is counted already, and as let in
        _log.exception("The machine door failed on request %s", request_id)
        gate.refuse_after_all(reading.call, decision, UNAVAILABLE)
        return refusal(UNAVAILABLE, chosen, request_id, headers)
    return rendered(body, chosen, request_id, headers)


def _set_up_logging() -> None:
    """For a door alone: beside the pages their settings have done it, and this changes nothing."""
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter())
    logging.basicConfig(handlers=[handler])


application = Door(is_alone=True)
