"""May this call pass? What the machine door, the guard and forward auth ask, in one place."""

import asyncio
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

from apikeys.edge.again import Again, Parts
from apikeys.edge.attendance import Attendance
from apikeys.edge.calls import Scope
from apikeys.edge.database import Database, DatabaseAway
from apikeys.edge.directory import MISSING, Directory
from apikeys.edge.facts import Facts, facts_of
from apikeys.edge.held import Held
from apikeys.edge.latency import Latency
from apikeys.edge.limiter import Limiter, LocalLimiter, Quota, limit_of, quota_policy
from apikeys.edge.listener import Listener
from apikeys.edge.markets import Markets
from apikeys.edge.places import Places
from apikeys.edge.recheck import Recheck
from apikeys.edge.settings import EdgeSettings, edge_settings
from apikeys.edge.shared_limiter import SharedLimiter
from apikeys.edge.store import Store
from apikeys.edge.strangers import Strangers
from apikeys.edge.streams import Streams
from apikeys.edge.usage import Usage
from apikeys.refusals import ALLOWED, KEY_INVALID, UNAVAILABLE, Verdict, rate_limited
from apikeys.verdict import (
    Call,
    refuse_counted,
    refuse_presentation,
    refuse_uncounted,
)
from portal.lib.redact import redacted

COMPLAINT_SECONDS = 10  # at most one line in so long a time says that keys cannot be checked

Header = tuple[bytes, bytes]

_log = logging.getLogger(__name__)


class Decision(NamedTuple):
    """The verdict on a call, and the record of its key where there is one.

    An allowed call has a record. headers: what the answer must carry besides those of the verdict,
    whoever gives it: `RateLimit` and `RateLimit-Policy`, if the call was held against the limit.
    counted_at: as `Usage.note` gives it.
    """

    verdict: Verdict
    record: Held | None
    headers: tuple[Header, ...] = ()
    counted_at: float | None = None


@dataclass(frozen=True, slots=True)
class _Parts:
    """What is open while the gate is."""

    settings: EdgeSettings
    database: Database
    directory: Directory
    store: Store
    listener: Listener | None
    recheck: Recheck
    limiter: Limiter
    markets: Markets
    streams: Streams
    usage: Usage
    attendance: Attendance


class Gate:
    """Decides calls by `apikeys.verdict`. A process has one, whatever it answers with it.

    Opens by itself at the first call, in the event loop of that call.

    answer_again: the answer, where a call is like the one before it (apikeys.edge.again), or None.
    """

    def __init__(self, settings: EdgeSettings | None = None) -> None:
        """settings: read from the environment when the gate opens, unless they are given."""
        self._settings = settings
        self._parts: _Parts | None = None
        self._complained_at = -float(COMPLAINT_SECONDS)
        self._unsaid = 0
        self._latency = Latency()
        self._strangers = Strangers()
        # No method, since each call passes here.
        self.answer_again: Callable[[Scope], Parts | None] = _not_yet

    @property
    def trusted_proxies(self) -> int:
        """How many proxies stand before it: portal.lib.address."""
        return (self._parts or self._open()).settings.trusted_proxies

    @property
    def latency(self) -> Latency:
        """How long calls take, and how many were decided from memory."""
        return self._latency

    @property
    def limiter_failures(self) -> int:
        """How many calls passed uncounted, because Redis could not be asked, since it opened."""
        return self._open().limiter.failures

    @property
    def markets(self) -> Markets:
        """What each tenant has switched off, for what shows markets."""
        return self._open().markets

    @property
    def streams(self) -> Streams:
        """The open WebSockets of this process."""
        return self._open().streams

    @property
    def database(self) -> Database:
        """For what is asked about all processes."""
        return self._open().database

    @property
    def process(self) -> uuid.UUID:
        """What this process is called among the others."""
        return self._open().attendance.process

    def facts(self) -> Facts:
        """What this process knows of itself, for the metrics."""
        return _facts(self._open(), self._latency)

    def decide_now(self, call: Call) -> Decision | None:
        """The decision, if it can be had without waiting; None where it cannot."""
        parts = self._parts or self._open()
        if refusal := refuse_presentation(call):
            return self._tell(call, refusal, None)
        record = parts.store.recall(call.keys[0])
        if record is MISSING:
            return None
        if (refusal := refuse_uncounted(call, record)) or record is None or call.wants_stream:
            return self._tell(call, refusal or ALLOWED, record)
        limit = limit_of(record)
        quota = parts.limiter.take_now(record, limit)
        return None if quota is None else self._tell_counted(call, record, limit, quota)

    async def decide(self, call: Call) -> Decision:
        """The verdict. Never raises for what the database does: that is 503, in time.

        The handshake of a WebSocket is not held against the limit.
        """
        decision = self.decide_now(call)
        return await self.decide_later(call) if decision is None else decision

    async def decide_later(self, call: Call) -> Decision:
        """The same, where `decide_now` has just said None."""
        is_remembered = self._open().store.recall(call.keys[0]) is not MISSING
        with self._latency.waiting(is_remembered=is_remembered):
            decision = await self._ask(call)
        if decision.verdict is KEY_INVALID:
            await self._strangers.wait()
        return decision

    async def _ask(self, call: Call) -> Decision:
        """By asking Postgres or Redis."""
        parts = self._open()
        try:
            record = await parts.store.key_record(call.keys[0])
        except DatabaseAway as away:
            self._complain(away)
            return self._tell(call, UNAVAILABLE, None)
        if (refusal := refuse_uncounted(call, record)) or record is None or call.wants_stream:
            return self._tell(call, refusal or ALLOWED, record)
        limit = limit_of(record)
        quota = await parts.limiter.take(record, limit)
        return self._tell_counted(call, record, limit, quota)

    def refuse_after_all(self, call: Call, decision: Decision, verdict: Verdict) -> Decision:
        """What was let in is refused for a reason beyond the verdict: it is counted as that."""
        record, counted_at = decision.record, None
        if record is None:
            raise ValueError("nobody was let in")
        if self._parts:  # else it was closed meanwhile, and nothing is written any more
            counted_at = self._parts.usage.overrule(call, record, verdict, decision.counted_at)
        return decision._replace(verdict=verdict, counted_at=counted_at)

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
            self.answer_again = _not_yet
            await parts.streams.close()
            if parts.listener:
                await parts.listener.close()
            await parts.limiter.close()
            await asyncio.gather(parts.usage.close(), parts.attendance.close())
            await parts.markets.close()
            await parts.recheck.close()
            await parts.store.close()
            await parts.database.close()

    def _open(self) -> _Parts:
        if self._parts:
            return self._parts
        settings = self._settings or edge_settings()
        redis_url = settings.redis_url
        limiter: Limiter = SharedLimiter(redis_url) if redis_url else LocalLimiter()
        database = Database(settings.database)
        directory = Directory(settings.directory_keys)
        grace = settings.outage_grace_seconds
        store = Store(database, directory, grace)
        markets = Markets(database, directory.is_fresh, grace)
        places = Places(redis_url) if redis_url else None
        streams = Streams(store, markets, directory.is_fresh, places)
        # What it says while the gate closes must not open it again.
        attendance = Attendance(database, directory, lambda: _facts(parts, self._latency), grace)
        recheck = Recheck(database, directory)
        listener = Listener(settings.database, directory, recheck, markets, streams, attendance)
        usage = Usage(database)
        parts = _Parts(
            settings,
            database,
            directory,
            store,
            listener if settings.directory_keys else None,
            recheck,
            limiter,
            markets,
            streams,
            usage,
            attendance,
        )
        self.answer_again = Again(directory, limiter, usage).answer
        database.open()
        streams.open()
        if parts.listener:
            parts.listener.open()
        parts.usage.open()
        parts.attendance.open()
        self._parts = parts
        return parts

    def _tell_counted(self, call: Call, record: Held, limit: int, quota: Quota | None) -> Decision:
        """Steps 8 and 9. quota: None where nobody could be asked, which refuses nobody."""
        if quota is None:
            return self._tell(call, refuse_counted(call) or ALLOWED, record)
        headers = (quota_policy(limit), quota.header)
        if quota.left < 0:
            return self._tell(call, rate_limited(limit, quota.seconds), record, headers)
        return self._tell(call, refuse_counted(call) or ALLOWED, record, headers)

    def _tell(
        self,
        call: Call,
        verdict: Verdict,
        record: Held | None,
        headers: tuple[Header, ...] = (),
    ) -> Decision:
        """Every decision passes here, once."""
        counted_at = self._parts.usage.note(call, record, verdict) if self._parts else None
        return Decision(verdict, record, headers, counted_at)

    def _complain(self, away: DatabaseAway) -> None:
        self._unsaid += 1
        if monotonic() >= self._complained_at + COMPLAINT_SECONDS:
            reason = redacted(str(away))
            _log.error("Keys cannot be checked: %s (%d calls answered 503)", reason, self._unsaid)
            self._complained_at, self._unsaid = monotonic(), 0


def _not_yet(scope: Scope) -> None:
    """While the gate is not open every call goes the long way."""


def _facts(parts: _Parts, latency: Latency) -> Facts:
    return latency.facts() | facts_of(
        usage=parts.usage,
        directory=parts.directory,
        lookups=parts.store.lookups,
        listener_losses=parts.listener.losses if parts.listener else 0,
        limiter_failures=parts.limiter.failures,
        streams=len(parts.streams),
    )
