"""What a process knows of a key whose calls are counted in Redis, and how the two speak of it."""

import asyncio
import struct
from dataclasses import dataclass, field

from apikeys.edge.limiter import SECOND, Quota, quota

HOLD_SECONDS = 45  # that a claim may be used after it was made or told of
CLAIMED_SHARE = 40  # one call of the limit in so many is held ready, if it can be had
MOST_CLAIMED = 100
LEAST_CLAIMED_OF = 10  # a tenth of a smaller limit is no call
FORGOTTEN = -1  # no key's limit

# id, limit, still held, waiting, wanted, number of uses; each use; the answer: limiter.lua
_QUESTION = struct.Struct("<16s4IH")
_ANSWER = struct.Struct("<4I")
ANSWER_BYTES = _ANSWER.size
_MOST_USES = (1 << 16) - 1
_MICROSECOND = SECOND // 1_000_000
_MILLISECOND = SECOND // 1_000
_MOST = (1 << 32) - 1


@dataclass(slots=True)
class Asked:
    """A question under way: what it said, and which calls wait for its answer."""

    at: int
    limit: int
    uses: int
    waiting: list[asyncio.Future[Quota | None]]


@dataclass(slots=True)
class Account:
    """Of one key: all times in nanoseconds on the limiter's clock.

    stock: calls that are claimed and not used yet, until good_until. uses: when those were that
    Redis has not been told of. left: calls that anybody could have claimed when it was last asked;
    more_at: when there will be more. Until refused_until every call is refused. wanted: how many
    calls should be claimed, the stock included; low: with so many it is time to claim more, before
    the stock is used up, so that no call waits.
    """

    limit: int = 0
    stock: int = 0
    good_until: int = 0
    uses: list[int] = field(default_factory=list)
    left: int = 0
    more_at: int = 0
    refused_until: int = 0
    waiting: list[asyncio.Future[Quota | None]] = field(default_factory=list)
    told_at: int = 0
    wanted: int = 0
    low: int = 0

    @property
    def has_to_tell(self) -> bool:
        """Whether Redis takes something for used that was not, or will, or not for long enough."""
        return bool(self.stock or self.uses)

    def take(self, now: int) -> Quota | None:
        """Let a call in out of the stock, or refuse it; None where only Redis can tell."""
        if self.stock and now < self.good_until:
            self.stock -= 1
            self.uses.append(now)
            seconds = -((now - self.more_at) // SECOND)  # as below, without going there
            return quota(self.left + self.stock, seconds if seconds > 1 else 1)
        if now < self.refused_until:
            return quota(-1, _seconds(self.refused_until - now))
        return None

    def set_limit(self, limit: int) -> None:
        """What was known and claimed under another limit means nothing under this one."""
        if self.limit != limit:
            self.limit = limit
            share = min(MOST_CLAIMED, -(-limit // CLAIMED_SHARE))
            self.wanted = share if limit >= LEAST_CLAIMED_OF else 0
            self.low = self.wanted // 2
            self.stock = self.refused_until = 0

    def ask(self, key: bytes, now: int, *, is_closing: bool = False) -> tuple[bytes, Asked]:
        """The question to send now. What was claimed and is too old to be used is given back."""
        if now >= self.good_until or is_closing:
            self.stock = 0
        uses = self.uses[:_MOST_USES]
        waiting, self.waiting = self.waiting, []
        is_in_use = not is_closing and bool(uses or waiting)
        wanted = max(0, self.wanted - self.stock) if is_in_use else 0
        head = _QUESTION.pack(
            key, min(self.limit, _MOST), self.stock, len(waiting), wanted, len(uses)
        )
        ages = [min(_MOST, (now - use) // _MICROSECOND) for use in uses]
        question = head + struct.pack(f"<{len(ages)}I", *ages)
        return question, Asked(now, self.limit, len(uses), waiting)

    def learn(self, asked: Asked, answer: bytes, now: int) -> None:
        """What Redis said to it; those who waited are told."""
        let_in, claimed, self.left, wait = _ANSWER.unpack(answer)
        del self.uses[: asked.uses]
        self.told_at = now
        self.more_at = now + wait * _MILLISECOND
        if asked.limit == self.limit:
            self.stock += claimed
            self.good_until = asked.at + HOLD_SECONDS * SECOND
            if let_in < len(asked.waiting):
                self.refused_until = self.more_at
        seconds = _seconds(wait * _MILLISECOND)
        for place, call in enumerate(asked.waiting):
            if not call.done():
                left = self.left + self.stock + let_in - place - 1
                call.set_result(quota(left if place < let_in else -1, seconds))


def _seconds(nanoseconds: int) -> int:
    """Rounded up, and one at least."""
    return max(1, -(-nanoseconds // SECOND))
