"""Reads from Postgres that calls share: who asks for what is being read already waits for that.

What more calls ask for than there are lanes is read together. docs/decisions/0007-directory.md
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Mapping
from time import monotonic
from typing import Generic, TypeVar

from apikeys.edge.database import LANES, DatabaseAway

# A call that cannot be decided is answered within 250 ms; the rest is for a busy event loop.
PATIENCE_SECONDS = 0.15
# What was read is remembered even when all who waited for it have left: a busy door that has to
# read much at once would else read it again and again for nobody. Not for longer: whoever comes
# meanwhile waits for the same read, and a WebSocket in doubt is asked about for 0.7 seconds.
READ_SECONDS = 0.5
# A call that has to read twice: all of it is to be over a little later than one read, but what is
# slow of the first, such as a Redis that does not answer, must leave the second some time.
TWICE, LEAST = 4 / 3, 1 / 5  # of PATIENCE_SECONDS
MOST_AT_ONCE = 200  # keys in one question; more than one only when more ask than there are lanes
MOST_WAITING = 10_000  # keys; one more is given up at once

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Reads(Generic[Key, Value]):
    """Those that are under way, and those that wait for a lane. They remember nothing."""

    def __init__(
        self,
        *,
        ask: Callable[[list[Key], float], Awaitable[Mapping[Key, Value | DatabaseAway]]],
        moment: Callable[[], int],
        learn: Callable[[Key, Value | None, int], None],
        believes: Callable[[Key, Value | None, int], bool],
    ) -> None:
        """ask: what Postgres knows of these, within so many seconds; may raise DatabaseAway.

        What of one of them cannot be read is a DatabaseAway in its place, so that the others can.
        moment: the present one; a read belongs to that in which it began. learn: to remember what
        was read then, None where there is nothing, unless something newer is known. believes:
        whether it has not been overruled since.
        """
        self._ask, self._moment, self._learn, self._believes = ask, moment, learn, believes
        self._reads: dict[Key, asyncio.Future[tuple[int, Value | None] | DatabaseAway]] = {}
        self._waiting: deque[Key] = deque()  # those of _reads that nobody has asked for yet
        self._readers: set[asyncio.Task[None]] = set()

    async def read(self, key: Key, until: float = float("inf")) -> Value | None:
        """What Postgres says now. Raises DatabaseAway, in time, and then if not before.

        It is asked again when that was overruled while the read was under way, and, for those who
        came later, when the read failed that others had begun.
        """
        deadline = min(monotonic() + PATIENCE_SECONDS, until)
        while True:
            others = self._reads.get(key)
            read = others or self._begin(key)
            await asyncio.wait({read}, timeout=deadline - monotonic())
            if not read.done():
                raise DatabaseAway("no answer in time")
            found = read.result()
            if isinstance(found, DatabaseAway):
                if others is None or monotonic() >= deadline:
                    raise DatabaseAway(*found.args)
                continue
            begun, value = found
            if self._believes(key, value, begun):
                return value
            if monotonic() >= deadline:
                raise DatabaseAway("what it answers was overruled each time")

    async def close(self) -> None:
        """Give up what is being read."""
        for reader in self._readers:
            reader.cancel()
        if self._readers:
            await asyncio.wait(self._readers, timeout=1)

    def _begin(self, key: Key) -> asyncio.Future[tuple[int, Value | None] | DatabaseAway]:
        if len(self._waiting) >= MOST_WAITING:
            raise DatabaseAway(f"{MOST_WAITING} reads are waiting already")
        read = self._reads[key] = asyncio.get_running_loop().create_future()
        self._waiting.append(key)
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

    async def _read_batch(self, batch: list[Key]) -> None:
        """Settle these reads, whatever happens."""
        found: Mapping[Key, Value | DatabaseAway] = {}
        failure: DatabaseAway | None = DatabaseAway("the door was closed")
        begun = self._moment()
        try:
            found = await self._ask(batch, READ_SECONDS)
            failure = None
        except DatabaseAway as away:
            failure = away
        except Exception as error:  # nobody is let in by what could not be read
            failure = unreadable(error)
        finally:
            for key in batch:
                read = self._reads.pop(key)
                read.set_result(failure or self._learnt(key, found.get(key), begun))

    def _learnt(
        self, key: Key, value: Value | DatabaseAway | None, begun: int
    ) -> tuple[int, Value | None] | DatabaseAway:
        if isinstance(value, DatabaseAway):
            return value
        try:
            self._learn(key, value, begun)
        except Exception as error:  # likewise
            return unreadable(error)
        return begun, value


def until(began_at: float) -> float:
    """When the second read of a call that began then is given up, on time.monotonic's clock."""
    return max(began_at + TWICE * PATIENCE_SECONDS, monotonic() + LEAST * PATIENCE_SECONDS)


def unreadable(error: Exception) -> DatabaseAway:
    """What was found is none of what may be there."""
    return DatabaseAway(f"{type(error).__name__}: {error}")
