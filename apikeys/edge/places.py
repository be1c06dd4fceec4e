"""How many WebSockets a tenant holds open in all processes together, counted by Redis.

A place is kept for a minute and renewed while its WebSocket is open, so a process that dies gives
its places back. While Redis is away each process counts for itself: a tenant may then hold as many
as its contract allows in each of them.
"""

import asyncio
import logging
import uuid
from time import monotonic
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from portal.lib.redact import redacted

KEPT_SECONDS = 60
RENEWED_SECONDS = 15
ANSWER_SECONDS = 0.5  # that a handshake waits for Redis at the most
COMPLAINT_SECONDS = 10

_TAKE = """
local now = tonumber(redis.call('TIME')[1])
local ends = now + tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
-- Those that end later are from before the clock was set back.
for _, place in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ends, '+inf')) do
    redis.call('ZADD', KEYS[1], ends, place)
end
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then
    return 0
end
redis.call('ZADD', KEYS[1], ends, ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""
_RENEW = """
local ends = tonumber(redis.call('TIME')[1]) + tonumber(ARGV[1])
for place = 2, #ARGV do
    redis.call('ZADD', KEYS[1], ends, ARGV[place])
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
"""
_GIVE_BACK = "return redis.call('ZREM', KEYS[1], unpack(ARGV))"

_log = logging.getLogger(__name__)


class Places:
    """The places that this process has taken."""

    def __init__(self, redis_url: str) -> None:
        """redis_url: as in REDIS_URL. Nothing is opened yet."""
        self.failures = 0  # questions that Redis did not answer
        self._redis = Redis.from_url(redis_url, retry=Retry(NoBackoff(), 0))
        self._taken: dict[uuid.UUID, set[uuid.UUID]] = {}
        self._renewing: asyncio.Task[None] | None = None
        self._complained_at = float("-inf")

    async def take(self, tenant_id: uuid.UUID, place: uuid.UUID, most: int) -> bool:
        """Whether there was one among the tenant's, or nobody could say.

        Called off, it leaves nothing that would be renewed.
        """
        self._taken.setdefault(tenant_id, set()).add(place)
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._renew_for_ever())
        is_free = False
        try:
            answer = await self._ask(_TAKE, tenant_id, place.hex, most, KEPT_SECONDS)
            is_free = answer is None or bool(answer)
        finally:
            if not is_free:
                self._forget(tenant_id, place)
        return is_free

    async def leave(self, tenant_id: uuid.UUID, place: uuid.UUID) -> None:
        """Give it back."""
        if place not in self._taken.get(tenant_id, ()):
            return
        self._forget(tenant_id, place)
        await self._ask(_GIVE_BACK, tenant_id, place.hex)

    async def close(self) -> None:
        """Give all of them back, and end the connections."""
        for _ in range(3):  # a client of Redis may take a cancellation for a timeout of its own
            if self._renewing and not self._renewing.done():
                self._renewing.cancel()
                await asyncio.wait({self._renewing}, timeout=0.3)
        for tenant_id, places in list(self._taken.items()):
            held = [place.hex for place in places]
            for _ in range(2):  # a question that was cancelled may have left a broken connection
                if await self._ask(_GIVE_BACK, tenant_id, *held) is not None:
                    break
        self._taken.clear()
        await self._redis.aclose()

    def _forget(self, tenant_id: uuid.UUID, place: uuid.UUID) -> None:
        places = self._taken.get(tenant_id, set())
        places.discard(place)
        if not places:
            self._taken.pop(tenant_id, None)

    async def _renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(RENEWED_SECONDS)
            for tenant_id, places in list(self._taken.items()):
                renewed = places.copy()
                await self._ask(_RENEW, tenant_id, KEPT_SECONDS, *[each.hex for each in renewed])
                # What is given back meanwhile may have come to Redis first.
                if left := renewed - places:
                    await self._ask(_GIVE_BACK, tenant_id, *[each.hex for each in left])

    async def _ask(self, script: str, tenant_id: uuid.UUID, *given: str | int) -> Any:
        """What the script answers; None where Redis does not."""
        key = f"portal:streams:{tenant_id.hex}"
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                asked = self._redis.eval(script, 1, key, *map(str, given))
                return await asked
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            self.failures += 1
            if monotonic() >= self._complained_at + COMPLAINT_SECONDS:
                self._complained_at = monotonic()
                reason = redacted(f"{type(error).__name__}: {error}")
                _log.warning("Each process counts its WebSockets for itself: %s", reason)
            return None
