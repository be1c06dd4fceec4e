"""The record of a secret: out of the directory while that may be believed, else out of Postgres."""

import asyncio
from collections import deque
from time import monotonic

from apikeys.edge.database import LANES, Database, DatabaseAway
from apikeys.edge.directory import MISSING, Directory, Missing
from apikeys.edge.facts import Histogram
from apikeys.edge.held import Held
from apikeys.edge.rows import LOOKUP, LOOKUP_ONE, Row, parse_row
from apikeys.edge.strangers import Strangers
from portal.lib.crypto import digest

# A call that cannot be decided is answered within 250 ms; the rest is for a busy event loop.
PATIENCE_SECONDS = 0.15
# What was read is remembered even when all who waited for it have left: a busy door that has to
# read many keys at once would else read them again and again for nobody. Not for longer: whoever
# comes meanwhile waits for the same read, and a WebSocket in doubt is asked about for 0.7 seconds.
READ_SECONDS = 0.5
MOST_AT_ONCE = 200  # secrets in one query; more than one only when there are more calls than lanes
MOST_WAITING = 10_000  # secrets; one more is given up at once

_Found = tuple[int, Row | None]  # the moment in which the read began, and what it found


class Store:
    """Finds the record of a secret. Calls with the same secret wait for the same read."""

    def __init__(self, database: Database, directory: Directory, grace_seconds: float = 0) -> None:
        """grace_seconds: for how long of an outage stale records are preferred to no answer."""
        self.lookups = Histogram()  # readings, of up to MOST_AT_ONCE secrets each
        self._database = database
        self._directory = directory
        self._grace_seconds = grace_seconds
        self._strangers = Strangers()
        self._reads: dict[bytes, asyncio.Future[_Found | DatabaseAway]] = {}
        self._waiting: deque[bytes] = deque()  # those of _reads that nobody has asked for yet
        self._readers: set[asyncio.Task[None]] = set()

    def recall(self, secret: str) -> Held | Missing | None:
        """The record, if what is remembered may be believed; else MISSING: `key_record` reads."""
        return self._directory.find(digest(secret)) if self._directory.is_fresh() else MISSING

    async def key_record(self, secret: str) -> Held | None:
        """The record, or None for a secret that we never made. Raises DatabaseAway, in time."""
        sha = digest(secret)
        if self._directory.is_fresh():
            found = self._directory.find(sha)
            if found is not MISSING:
                return found
        try:
            row = await self._read(sha)
        except DatabaseAway:
            stale = self._find_stale(sha)
            if stale is MISSING:
                raise
            return stale
        if row is None:
            await self._strangers.wait()
            return None
        return row.record()

    async def is_ready(self) -> bool:
        """Whether a record could be found just now."""
        try:
            await self._database.ask("SELECT 1", seconds=PATIENCE_SECONDS)
        except DatabaseAway:
            return False
        return True

    async def close(self) -> None:
        """Give up what is being read."""
        for reader in self._readers:
            reader.cancel()
        if self._readers:
            await asyncio.wait(self._readers, timeout=1)

    def _find_stale(self, sha: bytes) -> Held | Missing | None:
        if self._grace_seconds and self._directory.is_fresh(self._grace_seconds):
            return self._directory.find(sha)
        return MISSING

    async def _read(self, sha: bytes) -> Row | None:
        """The row as it is in Postgres now.

        It is read again when it was overruled while the read was under way, and, for those who
        came later, when the read failed that others had begun.
        """
        deadline = monotonic() + PATIENCE_SECONDS
        while True:
            others = self._reads.get(sha)
            read = others or self._begin(sha)
            await asyncio.wait({read}, timeout=deadline - monotonic())
            if not read.done():
                raise DatabaseAway(f"no answer within {PATIENCE_SECONDS} seconds")
            found = read.result()
            if isinstance(found, DatabaseAway):
                if others is None or monotonic() >= deadline:
                    raise DatabaseAway(*found.args)
            elif self._directory.believes(found[1], found[0]):
                return found[1]

    def _begin(self, sha: bytes) -> asyncio.Future[_Found | DatabaseAway]:
        if len(self._waiting) >= MOST_WAITING:
            raise DatabaseAway(f"{MOST_WAITING} secrets are waiting already")
        read = self._reads[sha] = asyncio.get_running_loop().create_future()
        self._waiting.append(sha)
        if len(self._readers) < LANES:
            self._readers.add(asyncio.create_task(self._read_waiting()))
        return read

    async def _read_waiting(self) -> None:
        try:
            while self._waiting:
                most = min(len(self._waiting), MOST_AT_ONCE)
                await self._read_batch([self._waiting.popleft() for _ in range(most)])
        finally:  # in one step with having seen that nothing waits: else somebody might be missed
            self._readers -= {asyncio.current_task()}

    async def _read_batch(self, batch: list[bytes]) -> None:
        """Settle these reads, whatever happens."""
        found: dict[bytes, Row] = {}
        failure: DatabaseAway | None = DatabaseAway("the door was closed")
        begun, began_at = self._directory.moment, monotonic()
        try:
            lookup = LOOKUP if len(batch) > 1 else LOOKUP_ONE
            rows = await self._database.ask(lookup, [batch], seconds=READ_SECONDS)
            found.update(map(parse_row, rows))
            for sha in batch:
                self._directory.learn(sha, found.get(sha), begun)
            failure = None
        except DatabaseAway as away:
            failure = away
        except Exception as error:  # nobody is let in by what could not be read
            failure = DatabaseAway(f"{type(error).__name__}: {error}")
        finally:
            self.lookups.add(monotonic() - began_at)
            for sha in batch:
                self._reads.pop(sha).set_result(failure or (begun, found.get(sha)))
