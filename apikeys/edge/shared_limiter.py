"""One limit for all processes that share a Redis or Valkey, without a round trip for each call.

A process claims a few calls of a key ahead and lets them in by itself. Later, with its next claim,
it says when they were; what it has claimed counts as used meanwhile. So nobody ever gets more than
the limit. All claims of a key are a tenth of its limit at most: whoever keeps below nine tenths is
refused by nobody's claim. A call waits for Redis only if its key has no claim left here, and
shares that question with all that wait at the time. docs/decisions/0008-limit.md has the reasons.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import monotonic_ns

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from apikeys.edge.limiter import SECOND, WINDOW, Counted, Quota
from apikeys.edge.limiter_account import ANSWER_BYTES, FORGOTTEN, HOLD_SECONDS, Account, Asked
from portal.lib.env import SettingError
from portal.lib.redact import redacted

PREFIX = b"portal:limit:"
PATIENCE_SECONDS = 0.1  # for a connection, and again for an answer
GATHER_SECONDS = 0.02  # that what no call waits for may wait for others to be sent with
TELL_SECONDS = 30  # at most, between two times that Redis hears about a key in use
ROUND_SECONDS = 1  # between two looks at who was silent for that long
AWAY_SECONDS = 1  # in which calls do not wait for a Redis that did not answer
MOST_AT_ONCE = 100  # keys in one question
COMPLAINT_SECONDS = 10  # at most one line in so long a time

_SCRIPT = (Path(__file__).parent / "limiter.lua").read_text("ascii")
_log = logging.getLogger(__name__)


class SharedLimiter:
    """Claims calls in Redis, in the event loop of the first call."""

    def __init__(
        self, url: str, *, window: int = WINDOW, clock: Callable[[], int] = monotonic_ns
    ) -> None:
        """url: `redis://…`; SettingError if it cannot be read. window, clock: nanoseconds."""
        try:
            self._redis = Redis.from_url(
                url,
                socket_timeout=PATIENCE_SECONDS,
                socket_connect_timeout=PATIENCE_SECONDS,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError:  # which may quote a password that stands in the wrong place
            raise SettingError(
                "REDIS_URL is no address of a Redis: it should be like redis://user:password@host:6379"
            ) from None
        self._script = self._redis.register_script(_SCRIPT)
        milliseconds = (window * 1000 // SECOND, HOLD_SECONDS * 1000)
        self._introduction: tuple[bytes, int, int] = (secrets.token_bytes(8), *milliseconds)
        self._clock = clock
        self._accounts: dict[bytes, Account] = {}
        self._told: deque[tuple[int, bytes]] = deque()  # when, and of which key
        self._urgent: dict[bytes, None] = {}  # keys that calls are waiting for
        self._others: dict[bytes, None] = {}  # keys of which there is something to tell
        self._woken = asyncio.Event()
        self._speaking: asyncio.Task[None] | None = None
        self._away_until = 0
        self._complained_at = -1
        self.failures = 0

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._accounts)

    def take_now(self, record: Counted, limit: int) -> Quota | None:
        """Count a call by what is claimed here, or refuse it by what is known. None: `take`."""
        account: Account | None = record.log
        if account is None or account.limit != limit:  # another, or one that is forgotten
            account = record.log = self._accounts.get(record.key)
            if account is None or account.limit != limit:
                return None
        quota = account.take(self._clock())
        if account.stock <= account.low and account.uses and record.key not in self._others:
            self._others[record.key] = None
            if len(self._others) == 1:
                self._woken.set()
        return quota

    async def take(self, record: Counted, limit: int) -> Quota | None:
        """The same, waiting for Redis if need be. None while that is away: the call passes."""
        if (quota := self.take_now(record, limit)) is not None:
            return quota
        key = record.key
        if self._clock() < self._away_until:
            self.failures += 1
            return None
        if (account := self._accounts.get(key)) is None:
            account = self._accounts[key] = Account()
        account.set_limit(limit)
        answer: asyncio.Future[Quota | None] = asyncio.get_running_loop().create_future()
        account.waiting.append(answer)
        self._urgent[key] = None
        self._woken.set()
        if self._speaking is None:
            self._speaking = asyncio.create_task(self._speak())
        return await answer

    async def close(self) -> None:
        """Give back what is claimed, if that can be done in time, and end the connections."""
        if self._speaking:
            self._speaking.cancel()
            await asyncio.wait({self._speaking})
        keys = [key for key, account in self._accounts.items() if account.has_to_tell]
        for start in range(0, len(keys), MOST_AT_ONCE):
            if not await self._exchange(keys[start : start + MOST_AT_ONCE], is_closing=True):
                break
        for key in list(self._accounts):
            self._forget(key)
        await self._redis.aclose()

    async def _speak(self) -> None:
        """Question after question, while there are keys to speak of."""
        try:
            while self._accounts:
                if not self._urgent and not self._others:
                    await self._rest(ROUND_SECONDS)
                if not self._urgent:
                    await self._rest(GATHER_SECONDS)
                self._look_round()
                keys = list(self._urgent or self._others)[:MOST_AT_ONCE]
                for key in keys:
                    self._urgent.pop(key, None)
                    self._others.pop(key, None)
                if keys and not await self._exchange(keys):
                    await asyncio.sleep(AWAY_SECONDS)
        finally:
            self._speaking = None
            self._let_pass(self._urgent)

    async def _rest(self, seconds: float) -> None:
        """So long, or until somebody is in more of a hurry."""
        self._woken.clear()
        handle = asyncio.get_running_loop().call_later(seconds, self._woken.set)
        try:
            await self._woken.wait()
        finally:
            handle.cancel()

    def _look_round(self) -> None:
        """Redis should hear of a key's uses before it counts them for too long.

        A key that was not used meanwhile gives back what is claimed for it, and is then forgotten.
        """
        now = self._clock()
        while self._told and now - self._told[0][0] >= TELL_SECONDS * SECOND:
            told_at, key = self._told.popleft()
            account = self._accounts.get(key)
            if account is None or account.told_at != told_at:
                continue
            if account.uses or account.stock:
                account.stock = account.stock if account.uses else 0
                self._others[key] = None
            elif not account.waiting:
                self._forget(key)

    async def _exchange(self, keys: Sequence[bytes], *, is_closing: bool = False) -> bool:
        """Ask about these keys. False where Redis is away: then whoever waits may pass."""
        now = self._clock()
        asked: list[Asked] = []
        said: list[bytes] = []
        for key in keys:
            question, about = self._accounts[key].ask(key, now, is_closing=is_closing)
            said.append(question)
            asked.append(about)
        try:
            found = await self._script(keys=[PREFIX], args=[*self._introduction, b"".join(said)])
            now = self._clock()
            for place, (key, about) in enumerate(zip(keys, asked, strict=True)):
                answer = found[place * ANSWER_BYTES : (place + 1) * ANSWER_BYTES]
                self._accounts[key].learn(about, answer, now)
                self._told.append((now, key))
        except Exception as error:  # whatever it is, it refuses nobody
            self._complain(error)
            self._away_until = self._clock() + AWAY_SECONDS * SECOND
            self._let_pass([*keys, *self._urgent])
            return False
        finally:
            for about in asked:
                self._uncounted(about.waiting)
        if self._complained_at > 0:
            _log.warning("Calls are counted again")
            self._complained_at = -1
        return True

    def _let_pass(self, keys: Iterable[bytes]) -> None:
        """Nobody waits any longer. What Redis has not heard of a key is kept for later."""
        for key in dict.fromkeys(keys):
            account = self._accounts[key]
            self._uncounted(account.waiting)
            account.waiting = []
            self._urgent.pop(key, None)
            if account.has_to_tell:
                self._others[key] = None
            else:
                self._forget(key)

    def _forget(self, key: bytes) -> None:
        """Its record may still have the account."""
        self._accounts.pop(key).limit = FORGOTTEN

    def _uncounted(self, waiting: Iterable[asyncio.Future[Quota | None]]) -> None:
        for call in waiting:
            if not call.done():
                call.set_result(None)
                self.failures += 1

    def _complain(self, error: Exception) -> None:
        """Now and then, until calls are counted again."""
        if not 0 <= self._clock() - self._complained_at < COMPLAINT_SECONDS * SECOND:
            self._complained_at = self._clock()
            reason = redacted(f"{type(error).__name__}: {error}")
            _log.error("Redis cannot be asked, so calls pass uncounted: %s", reason)
