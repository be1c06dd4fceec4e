"""How keys are used: counted in memory as calls are decided, written a few seconds later.

A call that is let in costs an addition to its key's tally. A tally is of a minute, and goes on when
it has been written. What a process holds is bounded, whatever is sent to it: secrets that are none
of ours have no tally, and while Postgres is away there is room for so many and no more.
"""

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import Iterator
from time import monotonic

from apikeys.edge.database import Database, DatabaseAway
from apikeys.edge.usage_batches import WRITE, Batch, Minutes, Retired, Tally, batches, trim
from apikeys.refusals import Verdict
from apikeys.verdict import Call, KeyRecord
from portal.lib import clock
from portal.lib.address import Address
from portal.lib.redact import redacted

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
        self.allowed = 0
        self.refused: Counter[str] = Counter()  # by code; calls with no key of ours among them
        self.lost = 0  # calls that are in these sums, and nowhere else
        self._database = database
        self._writer = uuid.uuid4()
        self._written = 0  # batches
        self._batches: Iterator[Batch] = iter(())  # what was taken away to be written
        self._batch: Batch | None = None  # the one of them that is being written
        self._tallies: dict[bytes, Tally] = {}  # of the present minute, by key
        self._round = object()  # a new one whenever _tallies is another dictionary
        self._noted: list[Tally] = []  # those of them that wait to be written
        self._minute = 0
        self._minute_ends = 0.0
        self._minutes: Minutes = {}  # those before it
        self._retired: Retired = {}
        self._held = 0  # tallies that wait in _minutes, _batches and _batch
        self._flushing: asyncio.Task[None] | None = None
        self._is_behind = False

    @property
    def waiting(self) -> int:
        """How many tallies are still to be written."""
        return self._held + len(self._noted)

    def note(self, call: Call, record: KeyRecord | None, verdict: Verdict) -> None:
        """A call was decided. record: that of its key, where it is one of ours."""
        if record is None:
            self.refused[verdict.code] += 1
        elif verdict.is_allowed:
            self.note_allowed(record, call.address)
        else:
            now = clock.timestamp()
            self.refused[verdict.code] += 1
            self._tally(record, now).refuse(call, verdict, now, MOST_REASONS)
            if record.is_secret_retired:
                self._note_retired(record.secret_id, call, now)

    def note_allowed(self, record: KeyRecord, address: Address | None) -> None:
        """A call was let in."""
        now = clock.timestamp()
        tally = self._tally(record, now)
        self.allowed += 1
        tally.allowed += 1
        tally.used_at, tally.address = now, address

    def overrule(self, call: Call, record: KeyRecord, verdict: Verdict) -> None:
        """A call that was noted as let in a moment ago was refused after all: it is that instead.

        Of the sums, which only grow, it is in both.
        """
        self.note(call, record, verdict)
        if tally := self._tallies.get(record.key):
            tally.allowed -= 1  # below zero where the other was written in between

    def open(self) -> None:
        """Begin to write every few seconds."""
        self._flushing = asyncio.create_task(self._flush_for_ever())

    async def close(self) -> None:
        """Write what is still to be written, if that can be done in time."""
        if self._flushing:
            self._flushing.cancel()
            await asyncio.wait({self._flushing})
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
                self._batch = next(self._batches, None)
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

    async def _write(self, batch: Batch, seconds: float) -> bool:
        """Whether it is written."""
        number = self._written + 1
        try:
            parameters = [self._writer, number, *batch.parameters]
            await self._database.ask(WRITE, parameters, seconds=seconds)
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

    def _tally(self, record: KeyRecord, now: float) -> Tally:
        """That of the record's key for this minute. It will be written."""
        if not self._minute <= now < self._minute_ends:
            self._begin_minute(now)
        tally: Tally | None = record.at_hand.tally
        if tally is None or tally.round is not self._round:
            tally = record.at_hand.tally = self._tally_of(record.key)
        if not tally.is_noted:
            tally.is_noted = True
            self._noted.append(tally)
        return tally

    def _begin_minute(self, now: float) -> None:
        """Also where the clock was set back: then a minute that waits is gone on with."""
        self._put_by()
        self._minute = int(now // _MINUTE) * _MINUTE
        self._minute_ends = self._minute + _MINUTE
        self._noted = self._minutes.pop(self._minute, [])
        self._held -= len(self._noted)
        self._begin_round()

    def _begin_round(self) -> None:
        self._tallies = {tally.key: tally for tally in self._noted}
        self._round = object()

    def _put_by(self) -> None:
        if self._noted:
            self._minutes[self._minute] = self._noted
            self._held += len(self._noted)
            self._noted = []

    def _tally_of(self, key: bytes) -> Tally:
        tally = self._tallies.get(key)
        if tally is None:
            tally = Tally(key)
            if self._held + len(self._tallies) >= MOST_TALLIES:
                self.lost += 1
                tally.is_noted = True  # nobody will read it
                return tally
            self._tallies[key] = tally
        tally.round = self._round
        return tally

    def _note_retired(self, secret_id: int, call: Call, now: float) -> None:
        known = self._retired.get(secret_id)
        if known or len(self._retired) < MOST_RETIRED:
            self._retired[secret_id] = (now, call.address, known[2] + 1 if known else 1)

    def _take(self) -> None:
        self._put_by()
        if len(self._tallies) > MOST_TALLIES // 2:
            self._begin_round()
        self._batches = batches(self._minutes, self._retired)
        self._minutes, self._retired = {}, {}

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()
