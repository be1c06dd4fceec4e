"""Redis' own clock is set back: what it has written down then lies in the future."""

import asyncio
import struct

import pytest
from redis.asyncio import Redis

from apikeys.edge import limiter_account, shared_limiter
from apikeys.edge.shared_limiter import PREFIX
from tests.door import run
from tests.redis_server import RedisServer, redis_server
from tests.test_shared_limiter import KEY, WINDOW, processes, take

__all__ = ["redis_server"]  # pytest finds the fixture here

pytestmark = pytest.mark.service

HOLD = 1  # seconds that a claim may be used
# As in limiter.lua: sum of uses and number of claims; then each claim, each use, with its moment.
HEAD, CLAIM, USE = struct.Struct("<IH"), struct.Struct("<8sId"), struct.Struct("<dI")


async def set_back(server: RedisServer, milliseconds: float) -> None:
    """Every moment of the key that is written down is later by so much."""
    async with Redis.from_url(server.url) as redis:
        value = bytearray(await redis.get(PREFIX + KEY))
        _, claims = HEAD.unpack_from(value)
        uses = HEAD.size + claims * CLAIM.size
        for at in range(HEAD.size, uses, CLAIM.size):
            whose, count, moment = CLAIM.unpack_from(value, at)
            CLAIM.pack_into(value, at, whose, count, moment + milliseconds)
        for at in range(uses, len(value), USE.size):
            moment, count = USE.unpack_from(value, at)
            USE.pack_into(value, at, moment + milliseconds, count)
        await redis.set(PREFIX + KEY, bytes(value))


def test_after_redis_clock_was_set_back_a_use_counts_for_a_window_and_no_longer(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was claimed for as long as it would have anyway; none of it is forgotten."""
    monkeypatch.setattr(shared_limiter, "PATIENCE_SECONDS", 20)
    for module in (limiter_account, shared_limiter):
        monkeypatch.setattr(module, "HOLD_SECONDS", HOLD)

    async def work() -> list[int]:
        async with processes(redis_server, 3) as (one, other, third):
            await take(one, 100)
            assert one._accounts[KEY].stock == 3
            found = []
            for limiter, pause in ((other, 0), (third, 0), (third, WINDOW + 0.1), (other, HOLD)):
                await asyncio.sleep(pause)
                taken = await asyncio.gather(*[take(limiter, 100) for _ in range(120)])
                found.append(sum(each.is_in for each in taken))
                if len(found) == 1:
                    await set_back(redis_server, 3_600_000)
            return found

    before, after, later, last = run(work)
    assert before >= 96
    assert after == 0
    assert later >= 97
    assert later + last >= 100
