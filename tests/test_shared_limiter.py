"""One limit for several processes, in a real Redis: never more than it, and no call waits for long.

Each limiter here is what a process has. Windows are shorter than 60 seconds, to have many of them.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from apikeys.edge import limiter_account, shared_limiter
from apikeys.edge.limiter import SECOND, Quota, quota
from apikeys.edge.shared_limiter import SharedLimiter
from portal.lib.env import SettingError
from tests.door import run
from tests.of_key import OfKey
from tests.redis_server import RedisServer, redis_server

__all__ = ["redis_server"]  # pytest finds the fixture here

pytestmark = pytest.mark.service

KEY = (4711).to_bytes(16)
WINDOW = 2  # seconds, in most of these tests


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy with other tests is no outage."""
    monkeypatch.setattr(shared_limiter, "PATIENCE_SECONDS", 20)


@dataclass(frozen=True)
class Taken:
    """A call: when it came and when it was answered, in seconds, and what with."""

    came_at: float
    answered_at: float
    quota: Quota | None

    @property
    def is_in(self) -> bool:
        """Not refused."""
        return self.quota is None or self.quota.left >= 0


@asynccontextmanager
async def processes(
    redis: RedisServer, number: int, window: float = WINDOW
) -> AsyncIterator[list[SharedLimiter]]:
    """So many limiters, closed at the end."""
    made = [SharedLimiter(redis.url, window=round(window * SECOND)) for _ in range(number)]
    try:
        yield made
    finally:
        for limiter in made:
            await limiter.close()


async def take(limiter: SharedLimiter, limit: int, key: bytes = KEY) -> Taken:
    """One call."""
    came_at = time.monotonic()
    quota = await limiter.take(OfKey(key), limit)
    return Taken(came_at, time.monotonic(), quota)


def most_in_a_window(taken: Sequence[Taken], window: float) -> int:
    """How many came and were let in within the fullest window."""
    let_in = [each for each in taken if each.is_in]
    return max(
        sum(
            start.came_at <= each.came_at and each.answered_at < start.came_at + window
            for each in let_in
        )
        for start in let_in
    )


def test_at_twice_the_limit_four_processes_let_in_the_limit_and_no_more(
    redis_server: RedisServer,
) -> None:
    """In bursts and one by one, for three windows; and no less than nine tenths in each."""
    rng = random.Random(4711)  # noqa: S311

    async def work() -> list[Taken]:
        async with processes(redis_server, 4) as limiters:
            began, taken = time.monotonic(), []
            while time.monotonic() < began + 3 * WINDOW:
                burst = rng.choice([1, 1, 1, 12])
                calls = [take(rng.choice(limiters), 60) for _ in range(burst)]
                taken += await asyncio.gather(*calls)
                await asyncio.sleep(burst * WINDOW / 120)
            return taken

    taken = run(work)
    assert 54 <= most_in_a_window(taken, WINDOW) <= 60
    assert sum(each.is_in for each in taken) >= 2 * 54
    assert not all(each.is_in for each in taken)


@pytest.mark.parametrize("limit", [10, 60, 600])
def test_under_nine_tenths_of_the_limit_nobody_is_refused(
    redis_server: RedisServer, limit: int
) -> None:
    """By four processes, with as many calls as nine tenths allow, each as early as they do."""
    rng = random.Random(4711)  # noqa: S311
    most = limit * 9 // 10

    async def work() -> list[Taken]:
        async with processes(redis_server, 4) as limiters:
            taken: list[Taken] = []
            while len(taken) < 3 * most:
                if len(taken) >= most:
                    leaves_at = taken[-most].answered_at + WINDOW + 0.005
                    await asyncio.sleep(leaves_at - time.monotonic())
                taken.append(await take(rng.choice(limiters), limit))
            return taken

    taken = run(work)
    assert [each.quota for each in taken if not each.is_in] == []
    assert most_in_a_window(taken, WINDOW) == most


def test_what_one_process_has_claimed_is_at_most_a_tenth_of_what_another_may_have(
    redis_server: RedisServer,
) -> None:
    """All calls of a window at once, in one of two."""

    async def work() -> list[Taken]:
        async with processes(redis_server, 2, 60) as (one, other):
            first = [await take(one, 600)]
            return first + await asyncio.gather(*[take(other, 600) for _ in range(700)])

    let_in = sum(each.is_in for each in run(work))
    assert 540 <= let_in <= 600


def test_a_key_in_use_is_let_in_without_a_question_for_each_call(
    redis_server: RedisServer,
) -> None:
    """Calls are claimed a few at a time, before they are needed."""

    async def work() -> int:
        async with processes(redis_server, 1, 60) as (limiter,):
            waited = 0
            for _ in range(300):
                if limiter.take_now(OfKey(KEY), 600) is None:
                    waited += 1
                    await limiter.take(OfKey(KEY), 600)
                await asyncio.sleep(0.002)
            return waited

    assert run(work) < 30
    assert redis_server.questions() < 60


def test_many_keys_share_a_question(redis_server: RedisServer) -> None:
    """A thousand keys that call at once."""

    async def work() -> list[Taken]:
        async with processes(redis_server, 1, 60) as (limiter,):
            taken = await asyncio.gather(
                *[take(limiter, 60, key.to_bytes(16)) for key in range(1000)]
            )
            assert len(limiter) == 1000
            return taken

    assert all(each.quota and each.quota.left >= 0 for each in run(work))
    assert redis_server.questions() < 40


def test_who_is_refused_is_let_in_after_the_seconds_that_were_said(
    redis_server: RedisServer,
) -> None:
    """And not a second earlier."""

    async def work() -> list[Taken]:
        async with processes(redis_server, 2) as (one, other):
            full = [await take(one, 5) for _ in range(5)]
            refused = await take(other, 5)
            assert refused.quota == quota(-1, WINDOW)
            await asyncio.sleep(0.5)
            refused = await take(other, 5)
            await asyncio.sleep(full[0].answered_at + WINDOW - time.monotonic())
            return [refused, await take(other, 5)]

    refused, later = run(work)
    assert refused.quota == quota(-1, WINDOW)
    assert later.is_in


def test_what_is_left_is_told(redis_server: RedisServer) -> None:
    """For a process alone, to the call."""

    async def work() -> list[Quota | None]:
        async with processes(redis_server, 1, 60) as (limiter,):
            return [await limiter.take(OfKey(KEY), 20) for _ in range(21)]

    told = run(work)
    assert [quota.left for quota in told if quota] == [*range(19, -1, -1), -1]
    assert {quota.seconds for quota in told if quota} == {60}


def test_a_changed_limit_holds_from_the_next_call(redis_server: RedisServer) -> None:
    """Raised or lowered, in every process, whatever had been claimed under the other one."""

    async def work() -> list[bool]:
        async with processes(redis_server, 2, 60) as (one, other):
            for _ in range(30):
                await take(one, 600)
            calls = [(one, 30), (other, 30), (one, 31), (other, 31), (other, 600), (one, 600)]
            return [(await take(limiter, limit)).is_in for limiter, limit in calls]

    assert run(work) == [False, False, True, False, True, True]


def test_what_a_process_claimed_and_did_not_use_is_given_back_when_it_ends(
    redis_server: RedisServer,
) -> None:
    """All of it: another one may have the whole limit but for the one call that was made."""

    async def work() -> list[Taken]:
        async with processes(redis_server, 1, 60) as (limiter,):
            await take(limiter, 100)
        async with processes(redis_server, 1, 60) as (limiter,):
            return await asyncio.gather(*[take(limiter, 100) for _ in range(120)])

    assert sum(each.is_in for each in run(work)) == 99


def test_a_key_that_is_not_used_any_more_gives_back_its_claim_and_is_forgotten(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without anybody asking."""
    monkeypatch.setattr(shared_limiter, "TELL_SECONDS", 0.05)
    monkeypatch.setattr(shared_limiter, "ROUND_SECONDS", 0.05)

    async def work() -> list[Taken]:
        async with processes(redis_server, 2, 60) as (one, other):
            record = OfKey(KEY)
            for _ in range(2):
                await one.take(record, 100)
                assert one.take_now(record, 100)  # out of its claim, the second time a new one
                while len(one):
                    await asyncio.sleep(0.01)
            return await asyncio.gather(*[take(other, 100) for _ in range(120)])

    assert sum(each.is_in for each in run(work)) == 96


def test_a_claim_of_a_process_that_died_runs_out(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it could be used no more, and what could have been used has left the window."""
    for module in (limiter_account, shared_limiter):
        monkeypatch.setattr(module, "HOLD_SECONDS", 1)

    async def work() -> list[int]:
        async with processes(redis_server, 2, 1) as (dead, other):
            await take(dead, 100)
            claimed = dead._accounts[KEY].stock
            monkeypatch.setattr(dead, "close", dead._redis.aclose)
            if dead._speaking:
                dead._speaking.cancel()
            found = []
            for pause in (0, 1.2, 1.2):
                await asyncio.sleep(pause)
                taken = await asyncio.gather(*[take(other, 100) for _ in range(120)])
                found.append(sum(each.is_in for each in taken))
            assert claimed == 3
            return found

    assert run(work) == [96, 97, 100]


def test_when_redis_is_away_calls_pass_and_are_told_of(
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And when it is back the limit holds again. A key that is known to be at it stays refused."""
    monkeypatch.setattr(shared_limiter, "AWAY_SECONDS", 0.2)

    async def work() -> list[int]:
        async with processes(redis_server, 1, 60) as (limiter,):
            found = []
            changes = [None, redis_server.stop, redis_server.start]
            for key, change in enumerate(changes):
                if change:
                    change()
                    await asyncio.sleep(0.3)
                taken = [await take(limiter, 20, key.to_bytes(16)) for _ in range(50)]
                found.append(sum(each.is_in for each in taken))
                failures.append(limiter.failures)
                assert not (await take(limiter, 20, bytes(16))).is_in
            return found

    failures: list[int] = []
    before, during, after = run(work)
    assert (before, during, after) == (20, 50, 20)
    assert failures == [0, 50, 50]
    assert caplog.text.count("calls pass uncounted") == 1
    assert "Calls are counted again" in caplog.text


def test_a_redis_that_is_frozen_holds_up_a_call_and_no_more(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others pass at once."""
    monkeypatch.setattr(shared_limiter, "PATIENCE_SECONDS", 0.2)

    async def work() -> list[Taken]:
        async with processes(redis_server, 1, 60) as (limiter,):
            await take(limiter, 5)
            redis_server.freeze()
            try:
                return [await take(limiter, 5) for _ in range(20)]
            finally:
                redis_server.thaw()

    taken = run(work)
    assert all(each.is_in for each in taken)
    assert sum(each.answered_at - each.came_at > 0.1 for each in taken) <= 1


def test_an_address_that_is_none_is_told() -> None:
    """When the limiter is made, not with the first call; and no password is told with it."""
    for url in ("localhost:6379", "redis://:a-password"):
        with pytest.raises(SettingError, match="REDIS_URL") as told:
            SharedLimiter(url)
        assert "a-password" not in str(told.value)
