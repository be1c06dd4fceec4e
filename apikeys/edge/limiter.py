"""So many calls in any 60 seconds, exactly: when each call was let in is remembered that long.

Nobody gets more than the limit in any 60 seconds, and nobody at or under it is refused. What any
such span means: a call and another one 60 seconds later are not in the same one.
docs/decisions/0008-limit.md says why it is no token bucket.
"""

from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic_ns
from typing import Any, Protocol

from apikeys.verdict import KeyRecord

WINDOW_SECONDS = 60
SECOND = 1_000_000_000  # in the unit of all times here
WINDOW = WINDOW_SECONDS * SECOND
# Who is idle is looked for a little at a time, so that a round takes as long as a window.
LOOKS_EVERY = SECOND // 10
MOST_LOOKED_AT = 2_000  # keys at once; takes two milliseconds at most
MOST_PASSED = 16  # calls that a log may still hold, though they have left the window
# A key without a contract is granted nothing, but may ask whoami why: so many times a minute.
LIMIT_WITHOUT_CONTRACT = 60

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Quota:
    """What became of a call: left is how many more would be let in now, -1 if this one was not.

    seconds: until there will be more, rounded up; for a refused call, until one is let in again.
    header: that says so.
    """

    left: int
    seconds: int
    header: Header


@lru_cache(maxsize=10_000)
def quota(left: int, seconds: int) -> Quota:
    """One for all calls of which it is true, since each call needs one."""
    header = b"ratelimit", b'"default";r=%d;t=%d' % (max(left, 0), seconds)
    return Quota(left, seconds, header)


class Counted(Protocol):
    """Of a key's record what matters here. log: nobody else's; at first None."""

    log: Any

    @property
    def key(self) -> bytes:
        """Its id, 16 bytes."""


def limit_of(record: KeyRecord) -> int:
    """How many calls its key may make in any 60 seconds."""
    return record.limit_rpm or LIMIT_WITHOUT_CONTRACT


@lru_cache(maxsize=1024)
def quota_policy(limit: int) -> Header:
    """The header that is the same for all calls under a limit."""
    return b"ratelimit-policy", b'"default";q=%d;w=%d' % (limit, WINDOW_SECONDS)


class Limiter(Protocol):
    """Counts calls by key."""

    failures: int  # calls that passed uncounted, because nobody could be asked

    def take_now(self, record: Counted, limit: int) -> Quota | None:
        """Count a call if it may pass. None: that cannot be told without waiting; ask `take`."""

    async def take(self, record: Counted, limit: int) -> Quota | None:
        """The same, waiting if need be. None: it passes uncounted."""

    async def close(self) -> None:
        """Give up what is under way."""


class LocalLimiter:
    """For one process. A key that is busy up to a limit of 600 takes 5 kB; an idle one nothing."""

    failures = 0

    def __init__(self, clock: Callable[[], int] = monotonic_ns) -> None:
        """clock: nanoseconds since some moment."""
        self._clock = clock
        self._logs: dict[bytes, _Log] = {}
        self._circle: deque[bytes] = deque()  # exactly the keys of _logs
        self._looked_at = clock()
        self._looks_at = self._looked_at + LOOKS_EVERY

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._logs)

    def take_now(self, record: Counted, limit: int) -> Quota:
        """Count a call if it may pass. Never has to wait."""
        now = self._clock()
        if now >= self._looks_at:
            self._look_round(now)
        log: _Log = record.log or self._find(record)
        log.append(now)
        passed = now - WINDOW
        first = log.first
        # What follows is the log's, and is done here, since each call would have to go there.
        if log[first] <= passed:
            if log.is_forgotten:
                record.log = None
                return self.take_now(record, limit)
            first += 1
            while log[first] <= passed:  # it ends at this call
                first += 1
            if first >= MOST_PASSED:
                del log[:first]
                first = 0
            log.first = first
        left = limit + first - len(log)
        if left < 0:
            log.pop()
            # After a limit was lowered more than one has to leave before one is let in.
            return quota(-1, -((passed - log[first - left - 1]) // SECOND))
        return quota(left, -((passed - log[first]) // SECOND))

    async def take(self, record: Counted, limit: int) -> Quota:
        """The same."""
        return self.take_now(record, limit)

    async def close(self) -> None:
        """There is nothing to give up."""

    def _find(self, record: Counted) -> "_Log":
        """The key's log, until it is forgotten."""
        log = self._logs.get(record.key)
        if log is None:
            log = self._logs[record.key] = _Log("q")
            self._circle.append(record.key)
        record.log = log
        return log

    def _look_round(self, now: int) -> None:
        """Forget of the next few keys those who did not call for a whole window."""
        count = len(self._circle)
        due = 1 + count * (now - self._looked_at) // WINDOW
        for _ in range(min(due, count, MOST_LOOKED_AT)):
            key = self._circle.popleft()
            log = self._logs[key]
            if log.is_idle(now):
                log.is_forgotten = True
                del self._logs[key]
            else:
                self._circle.append(key)
        self._looked_at = now
        self._looks_at = now + LOOKS_EVERY


class _Log(array):  # type: ignore[type-arg]
    """The moments of a key's calls in the last window, after a few that have passed.

    One object, since there may be many of them. first: the place of the earliest that counts.
    is_forgotten: whether the key has, or will get, another one.
    """

    __slots__ = ("first", "is_forgotten")

    def __init__(self, *_: object) -> None:
        self.is_forgotten = False
        self.first = 0

    def is_idle(self, now: int) -> bool:
        """Whether no call was let in within the last window."""
        last: int = self[-1]
        return last <= now - WINDOW
