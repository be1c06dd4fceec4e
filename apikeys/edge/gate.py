"""May this call pass? What the machine door, the guard and forward auth ask, in one place."""

import logging
from dataclasses import dataclass
from time import monotonic

from apikeys.edge.database import Database, DatabaseAway
from apikeys.edge.directory import Directory
from apikeys.edge.last_use import LastUse
from apikeys.edge.listener import Listener
from apikeys.edge.settings import EdgeSettings, edge_settings
from apikeys.edge.store import Store
from apikeys.verdict import UNAVAILABLE, Call, KeyRecord, Verdict, judge, secret_to_look_up
from portal.lib.redact import redacted

COMPLAINT_SECONDS = 10  # at most one line in so long a time says that keys cannot be checked

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict on a call, and the record of its key where there is one.

    An allowed call has a record.
    """

    verdict: Verdict
    record: KeyRecord | None


@dataclass(frozen=True, slots=True)
class _Parts:
    """What is open while the gate is."""

    settings: EdgeSettings
    database: Database
    store: Store
    listener: Listener | None
    last_use: LastUse


class Gate:
    """Decides calls by `apikeys.verdict`. A process has one, whatever it answers with it.

    Opens by itself at the first call, in the event loop of that call.
    """

    def __init__(self, settings: EdgeSettings | None = None) -> None:
        """settings: read from the environment when the gate opens, unless they are given."""
        self._settings = settings
        self._parts: _Parts | None = None
        self._complained_at = -float(COMPLAINT_SECONDS)
        self._unsaid = 0

    @property
    def trusted_proxies(self) -> int:
        """How many proxies stand before it: portal.lib.address."""
        return self._open().settings.trusted_proxies

    async def decide(self, call: Call) -> Decision:
        """The verdict. Never raises for what the database does: that is 503, in time."""
        parts = self._open()
        secret = secret_to_look_up(call)
        try:
            record = await parts.store.key_record(secret) if secret else None
        except DatabaseAway as away:
            self._complain(away)
            return Decision(UNAVAILABLE, None)
        decided = judge(call, record)
        if record is not None and decided.is_allowed:
            parts.last_use.note(record.key_id, call.address)
        return Decision(decided, record)

    async def is_ready(self) -> bool:
        """Whether a key could be checked just now."""
        return await self._open().store.is_ready()

    async def warm_up(self) -> None:
        """Connect before the first call. Raises SettingError."""
        await self._open().database.warm_up()

    async def close(self) -> None:
        """Write what is still to be written and end the connections; in three seconds at most."""
        if self._parts:
            parts, self._parts = self._parts, None
            if parts.listener:
                await parts.listener.close()
            await parts.last_use.close()
            await parts.store.close()
            await parts.database.close()

    def _open(self) -> _Parts:
        if self._parts:
            return self._parts
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

    def _complain(self, away: DatabaseAway) -> None:
        self._unsaid += 1
        if monotonic() >= self._complained_at + COMPLAINT_SECONDS:
            reason = redacted(str(away))
            _log.error("Keys cannot be checked: %s (%d calls answered 503)", reason, self._unsaid)
            self._complained_at, self._unsaid = monotonic(), 0
