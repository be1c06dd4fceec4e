"""So many calls in any 60 seconds, exactly: when each call was let in is remembered that long.

Nobody gets more than the limit in any 60 seconds, and nobody at or under it is refused. What any
such span means: a call and another one 60 seconds later are not in the same one.
docs/decisions/0008-limit.md says why it is no token bucket.
"""

from array import array
from collections.abc import Callable
from functools import partial
from time import monotonic_ns
from typing import NamedTuple, Protocol

from apikeys.verdict import AtHand

WINDOW_SECONDS = 60
SECOND = 1_000_000_000  # in the unit of all times here
WINDOW = WINDOW_SECONDS * SECOND
FORGOTTEN_AT_ONCE = 4  # idle keys, with each call
_LEAST_PLACES = 4


class Quota(NamedTuple):
    """What became of a call: left is how many more would be let in now, -1 if this one was not.

    seconds: until there will be more, rounded up; for a refused call, until one is let in again.
    """

    left: int
    seconds: int


# A named tuple's own way goes through Python code, and one is made for each call.
_quota: Callable[[tuple[int, int]], Quota] = partial(tuple.__new__, Quota)


class Limiter(Protocol):
    """Counts calls by key: its id, 16 bytes."""

    failures: int  # calls that passed uncounted, because nobody could be asked

    def take_now(self, key: bytes, limit: int, at_hand: AtHand) -> Quota | None:
        """Count a call if it may pass. None: that cannot be told without waiting; ask `take`."""

    async def take(self, key: bytes, limit: int, at_hand: AtHand) -> Quota | None:
        """The same, waiting if need be. None: it passes uncounted."""

    async def close(self) -> None:
        """Give up what is under way."""


class LocalLimiter:
    """For one process. A key that is busy up to a limit of 600 takes 5 kB; an idle one nothing."""

    failures = 0

    def __init__(self, clock: Callable[[], int] = monotonic_ns) -> None:
        """clock: nanoseconds since some moment."""
        self._clock = clock
        # A key is moved to the lively ones when it calls. Whoever is still with the others after a
        # window in which nobody was moved there has not called for that long.
        self._lively: dict[bytes, _Log] = {}
        self._others: dict[bytes, _Log] = {}
        self._idle: list[dict[bytes, _Log]] = []
        self._turn_number = 0
        self._turns_at = clock() + WINDOW

    def __len__(self) -> int:
        """How many keys are remembered."""
        return sum(map(len, (self._lively, self._others, *self._idle)))

    def take_now(self, key: bytes, limit: int, at_hand: AtHand) -> Quota:
        """Count a call if it may pass. Never has to wait."""
        now = self._clock()
        if now >= self._turns_at:
            self._turn(now)
        if self._idle:
            self._forget()
        log: _Log | None = at_hand.log
        if log is None or log.turn != self._turn_number:
            log = at_hand.log = self._find(key)
        return log.take(limit, now)

    async def take(self, key: bytes, limit: int, at_hand: AtHand) -> Quota:
        """The same."""
        return self.take_now(key, limit, at_hand)

    async def close(self) -> None:
        """There is nothing to give up."""

    def _find(self, key: bytes) -> "_Log":
        """The key's log, with the lively ones from now on; it stays the key's until they turn."""
        log = self._lively.get(key)
        if log is None:
            log = self._others.pop(key) if key in self._others else _Log()
            log.turn = self._turn_number
            self._lively[key] = log
        return log

    def _turn(self, now: int) -> None:
        """Those who did not call for a whole window are idle."""
        if now >= self._turns_at + WINDOW:  # nobody called for that long
            self._idle.append(self._lively)
            self._lively = {}
        self._idle.append(self._others)
        self._lively, self._others = {}, self._lively
        self._turns_at = now + WINDOW
        self._turn_number += 1

    def _forget(self) -> None:
        """A few at a time: to forget all would stop everybody for a moment."""
        for _ in range(FORGOTTEN_AT_ONCE):
            if not self._idle[-1]:
                self._idle.pop()
                return
            self._idle[-1].popitem()


class _Log:
    """The moments of a key's calls in the last window, in a ring that grows with their number.

    turn: the last one in which it was moved to the lively ones.
    """

    __slots__ = ("_first", "_length", "_ring", "turn")

    def __init__(self) -> None:
        self.turn = -1
        self._ring = array("q", bytes(8 * _LEAST_PLACES))
        self._first = 0
        self._length = 0

    def take(self, limit: int, now: int) -> Quota:
        ring, first, length = self._ring, self._first, self._length
        places = len(ring)
        passed = now - WINDOW
        while length and ring[first] <= passed:
            first = first + 1 if first + 1 < places else 0
            length -= 1
        self._first = first
        if length >= limit:
            self._length = length
            # After a limit was lowered more than one has to leave before one is let in.
            leaves = ring[(first + length - limit) % places]
            return _quota((-1, -((passed - leaves) // SECOND)))
        if length == places:
            self._grow(limit)
            ring, first, places = self._ring, 0, len(self._ring)
        ring[(first + length) % places] = now
        self._length = length + 1
        return _quota((limit - length - 1, -((passed - ring[first]) // SECOND)))

    def _grow(self, limit: int) -> None:
        """To twice the places, or as many as the limit needs."""
        ring, first = self._ring, self._first
        places = max(len(ring) + 1, min(2 * len(ring), limit))
        self._ring = ring[first:] + ring[:first]
        self._ring.frombytes(bytes(8 * (places - len(ring))))
        self._first = 0
