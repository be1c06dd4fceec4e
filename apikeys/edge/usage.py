"""How keys are used: counted in memory as calls are decided, written a few seconds later.

A call that is let in costs an addition to its key's tally. One that came the short way
(`apikeys.edge.again`) is put on a list, and counted a tenth of a second later, with all the others.
What a process holds is bounded, whatever is sent to it: secrets that are none of ours have no
tally, and while Postgres is away there is room for so many and no more.
"""

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from time import monotonic

from apikeys.edge.database import Database, DatabaseAway
from apikeys.edge.held import Held
from apikeys.edge.merging import Merging
from apikeys.edge.tallies import Minute, Tally
from apikeys.edge.usage_batches import Batch, Minutes, Retired, batches, trim
from apikeys.refusals import Verdict
from apikeys.verdict import Call
from portal.lib import clock
from portal.lib.redact import redacted

ADD_SECONDS = 0.1  # between two times that calls on the list are counted
FLUSH_SECONDS = 2.5  # with WRITE_SECONDS, and half a second for all else, at most five behind
WRITE_SECONDS = 2
CLOSE_SECONDS = 2
MOST_TALLIES = 200_000  # of this minute, and of those that wait to be written; about 60 MB
MOST_RETIRED = 10_000  # retired secrets in use that wait to be written
MOST_REASONS = 10  # for which refusals of a key are kept, between two writes

ALLOWED = "allowed"
_MINUTE = 60

_log = logging.getLogger(__name__)


class Usage:
    """Counts the calls of a process, and writes what it counted.

    Several processes may write about one key: counts add up, and of last uses the later one stays.
    """

    def __init__(self, database: Database) -> None:
        """Nothing is written before `open` or `flush`."""
        self.refused: Counter[str] = Counter()  # by code; calls with no key of ours among them
        self.lost = 0  # calls that are in these sums, and nowhere else
        self._database = database
        self._merging = Merging(database)
        self._writer = uuid.uuid4()
        self._written = 0  # batches
        self._batches: Iterator[Batch | None] = iter(())  # what was taken away to be written
        self._batch: Batch | None = None  # the one of them that is being written
        self._allowed = self._overruled = self._told = 0
        self._again: list[Held] = []  # calls that came the short way and are not counted yet
        # No method, since each call passes here. A call like the one before it was let in.
        self.note_again: Callable[[Held], None] = self._again.append
        self._minute = Minute()  # the present one, or what of it was not taken away yet
        self._minute_began = 0
        self._minute_ends = 0.0
        self._minutes: Minutes = {}  # those before it
        self._retired: Retired = {}
        self._held = 0  # tallies that wait in _minutes, _batches and _batch, at most
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_behind = False

    @property
    def allowed(self) -> int:
        """How many calls were let in, and not refused after all. It only grows.

        Between the two a call is among them, and then it is the next one that is not.
        """
        self._told = max(self._told, self._allowed + len(self._again) - self._overruled)
        return self._told

    @property
    def waiting(self) -> int:
        """How many tallies are still to be written, at most."""
        return self._held + len(self._minute) + len(self._again)

    def note(self, call: Call, record: Held | None, verdict: Verdict) -> float | None:
        """A call was decided. record: that of its key, where it is one of ours.

        Gives the moment by which it is counted; None if it is in the sums alone.
        """
        self._add_up()  # what came earlier: of last uses the later one is to stay
        if record is None:
            self.refused[verdict.code] += 1
            return None
        now = clock.timestamp()
        tally = self._tally(record.key, now)
        if verdict.is_allowed:
            self._allowed += 1
            if tally is not None:
                tally.let_in(now, call.address)
        else:
            self.refused[verdict.code] += 1
            if tally is not None:
                tally.refuse(call, verdict, now, MOST_REASONS)
            if record.is_secret_retired:
                self._note_retired(record.secret_id, call, now)
        return None if tally is None else now

    def overrule(
        self, call: Call, record: Held, verdict: Verdict, counted_at: float | None
    ) -> float | None:
        """A call that was noted as let in was refused after all: it is that instead.

        counted_at: what `note` gave, as this does. It is taken back from the minute in which it was
        counted.
        """
        self._overruled += 1
        noted_at = self.note(call, record, verdict)
        if counted_at is not None and (tally := self._tally(record.key, counted_at)) is not None:
            tally.take_back(counted_at)
        return noted_at

    def open(self) -> None:
        """Begin to write every few seconds."""
        for work in (self._add_up_for_ever, self._flush_for_ever):
            self._tasks.add(asyncio.create_task(work()))

    async def close(self) -> None:
        """Write what is still to be written, if that can be done in time."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.flush(CLOSE_SECONDS)
        if self.waiting:
            _log.error("The use of keys is lost: %d counts could not be written", self.waiting)

    async def flush(self, seconds: float = float("inf")) -> None:
        """Write what there is now; what cannot be written, or not in time, waits for the next time.

        A batch stays as it was made until it is known to be written: Postgres counts it once, even
        if it is sent twice because no answer came.
        """
        ends_at = monotonic() + seconds
        has_taken = False
        while (left := min(WRITE_SECONDS, ends_at - monotonic())) > 0:
            if self._batch is None:
                self._batch = await self._next_batch()
            if self._batch is None:
                if has_taken:
                    return
                self._take()
                has_taken = True
            elif await self._write(self._batch, left):
                self._held -= self._batch.tallies
                self._batch = None
            else:
                return

    async def _next_batch(self) -> Batch | None:
        """None if there is none. Of much that was counted it is made in parts; calls come first."""
        for batch in self._batches:
            if batch is not None:
                return batch
            await asyncio.sleep(0)
        # Of a key there may have been two tallies, of which one was written.
        self._held = sum(map(len, self._minutes.values()))
        return None

    async def _write(self, batch: Batch, seconds: float) -> bool:
        """Whether it is written."""
        number = self._written + 1
        try:
            parameters = [self._writer, number, *batch.parameters]
            await self._database.ask(batch.statement, parameters, seconds=seconds)
            if batch.refused_keys:
                await self._database.ask(*trim(batch), seconds=seconds)
        except DatabaseAway as away:
            if not self._is_behind:
                _log.warning("The use of keys is not written: %s", redacted(str(away)))
            self._is_behind = True
            return False
        self._is_behind = False
        self._written = number
        return True

    async def _add_up_for_ever(self) -> None:
        while True:
            await asyncio.sleep(ADD_SECONDS)
            self._add_up()

    def _add_up(self) -> None:
        """The calls on the list, as if they had come now."""
        if self._again:
            now = clock.timestamp()
            self._turn_to(now)
            counted = self._again
            if self._is_full:
                counted = [record for record in counted if record in self._minute.calls]
                self.lost += len(self._again) - len(counted)
            self._minute.let_in_again(counted, now)
            self._allowed += len(self._again)
            self._again.clear()

    def _tally(self, key: bytes, at: float) -> Tally | None:
        """The key's, for the minute of that moment; None where there is no room for one more."""
        self._turn_to(at)
        tally = self._minute.tallies.get(key)
        if tally is None:
            if self._is_full:
                self.lost += 1
            else:
                tally = self._minute.tallies[key] = Tally(key)
        return tally

    @property
    def _is_full(self) -> bool:
        return self._held + len(self._minute) >= MOST_TALLIES

    def _turn_to(self, now: float) -> None:
        """Begin the minute, unless it is this one.

        Where it is an earlier one, or the clock was set back, one that waits is gone on with.
        """
        if not self._minute_began <= now < self._minute_ends:
            self._put_by()
            self._minute_began = int(now // _MINUTE) * _MINUTE
            self._minute_ends = self._minute_began + _MINUTE
            self._minute = self._minutes.pop(self._minute_began, self._minute)
            self._held -= len(self._minute)

    def _put_by(self) -> None:
        if len(self._minute):
            self._minutes[self._minute_began] = self._minute
            self._held += len(self._minute)
            self._minute = Minute()

    def _note_retired(self, secret_id: int, call: Call, now: float) -> None:
        known = self._retired.get(secret_id)
        if known or len(self._retired) < MOST_RETIRED:
            self._retired[secret_id] = (now, call.address, known[2] + 1 if known else 1)

    def _take(self) -> None:
        self._add_up()
        self._put_by()
        self._batches = batches(self._minutes, self._retired)
        self._minutes, self._retired = {}, {}

    async def _flush_for_ever(self) -> None:
        while True:
            flush_at = monotonic() + FLUSH_SECONDS
            if self._batch is None:
                await _unless_it_fails(self._merging.run(flush_at))
            await asyncio.sleep(flush_at - monotonic())
            await _unless_it_fails(self.flush())


async def _unless_it_fails(work: Awaitable[None]) -> None:
    try:
        await work
    except Exception:  # whatever it is, it must not end the writing
        _log.exception("The use of keys could not be written; it is tried again")
