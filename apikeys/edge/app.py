"""The machine door as an ASGI application, beside the pages or alone.

Alone: granian --interface asgi apikeys.edge.app:application
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import monotonic

from apikeys import verdict
from apikeys.edge.answers import Answer, content, new_request_id, plain, refusal
from apikeys.edge.calls import Reading, Scope, read_call
from apikeys.edge.database import Database, DatabaseAway
from apikeys.edge.directory import Directory
from apikeys.edge.formats import Format, Value
from apikeys.edge.last_use import LastUse
from apikeys.edge.listener import Listener
from apikeys.edge.settings import EdgeSettings, edge_settings
from apikeys.edge.store import Store
from apikeys.edge.whoami import whoami
from portal.lib.env import SettingError
from portal.lib.redact import RedactingFormatter, redacted

Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]

HANDLERS: Mapping[bytes, Callable[[verdict.KeyRecord], dict[str, Value]]] = {b"/v1/whoami": whoami}
HEALTH = (b"/healthz", b"/readyz")
COMPLAINT_SECONDS = 10  # at most one line in so long a time says that keys cannot be checked

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What is open while the door is."""

    settings: EdgeSettings
    database: Database
    store: Store
    listener: Listener | None
    last_use: LastUse


class Door:
    """Answers HTTP by the table of `apikeys.verdict`; there are no WebSockets behind it.

    Opens its connections in ASGI's lifespan, or at the first request of a server without one.
    Alone, it also answers `/healthz` and `/readyz`.
    """

    def __init__(self, settings: EdgeSettings | None = None) -> None:
        """settings: read from the environment when the door opens, unless they are given."""
        self._settings = settings
        self._parts: _Parts | None = None
        self._complained_at = -float(COMPLAINT_SECONDS)
        self._unsaid = 0

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
        if self._parts:
            parts, self._parts = self._parts, None
            if parts.listener:
                await parts.listener.close()
            await parts.last_use.close()
            await parts.store.close()
            await parts.database.close()

    async def _answer(self, scope: Scope) -> Answer:
        request_id = new_request_id()
        try:
            parts = self._parts or self._open()
            if scope["raw_path"] in HEALTH and scope["method"] in ("GET", "HEAD"):
                return await _tell_health(parts, scope["raw_path"], request_id)
            return await self._judge(parts, scope, request_id)
        except Exception:  # whatever it is, nobody gets in by it
            _log.exception("The machine door failed on request %s", request_id)
            return refusal(verdict.UNAVAILABLE, Format.JSON, request_id)

    async def _judge(self, parts: _Parts, scope: Scope, request_id: str) -> Answer:
        reading = read_call(scope, parts.settings.trusted_proxies)
        secret = verdict.secret_to_look_up(reading.call)
        try:
            record = await parts.store.key_record(secret) if secret else None
        except DatabaseAway as away:
            self._complain(away)
            return refusal(verdict.UNAVAILABLE, reading.chosen, request_id)
        decided = verdict.judge(reading.call, record)
        if record is None or not decided.is_allowed:
            return refusal(decided, reading.chosen, request_id)
        return _let_in(parts, reading, record, request_id)

    def _complain(self, away: DatabaseAway) -> None:
        self._unsaid += 1
        if monotonic() >= self._complained_at + COMPLAINT_SECONDS:
            reason = redacted(str(away))
            _log.error("Keys cannot be checked: %s (%d calls answered 503)", reason, self._unsaid)
            self._complained_at, self._unsaid = monotonic(), 0

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                _set_up_logging()
                try:
                    await self._open().database.warm_up()
                except SettingError as error:
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
            else:
                await self.close()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    def _open(self) -> _Parts:
        settings = self._settings or edge_settings()
        database = Database(settings.database)
        directory = Directory(settings.directory_keys)
        parts = _Parts(
            settings,
            database,
            Store(database, directory, settings.outage_grace_seconds),
            Listener(settings.database, directory) if settings.directory_keys else None,
            LastUse(database),
        )
        database.open()
        if parts.listener:
            parts.listener.open()
        parts.last_use.open()
        self._parts = parts
        return parts


def _set_up_logging() -> None:
    """For a door alone: beside the pages their settings have done it, and this changes nothing."""
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter())
    logging.basicConfig(handlers=[handler])


async def _tell_health(parts: _Parts, path: bytes, request_id: str) -> Answer:
    if path == b"/readyz" and not await parts.store.is_ready():
        return plain(503, "unavailable", request_id)
    return plain(200, "ok", request_id)


def _let_in(parts: _Parts, reading: Reading, record: verdict.KeyRecord, request_id: str) -> Answer:
    answer = content(HANDLERS[reading.call.path](record), reading.chosen, request_id)
    parts.last_use.note(record.key_id, reading.call.address)
    return answer


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
