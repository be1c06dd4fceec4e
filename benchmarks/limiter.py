"""What counting a call costs, in CPU time and memory, in one process and through Redis.

    .venv/bin/python -m benchmarks.limiter [--calls 200000]

For the second a `redis-server` is started in a temporary folder.
"""

import argparse
import asyncio
import random
import time
from dataclasses import dataclass
from typing import Any

import psutil

from apikeys.edge.limiter import Limiter, LocalLimiter
from apikeys.edge.shared_limiter import SharedLimiter
from benchmarks.programs import redis_server
from benchmarks.stage import machine, say

KEYS = 100_000
BUSY = 10_000
LIMIT = 600
IDS = 1 << 120  # as long as the ids of real keys


@dataclass
class OfKey:
    """What a record is to a limiter."""

    key: bytes
    log: Any = None


def main() -> None:
    """A line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200_000)
    calls = parser.parse_args().calls
    say(machine())
    _tell_memory()
    cost = asyncio.run(_cost(LocalLimiter(), calls))
    say(f"in one process, {KEYS:,} keys: {cost:.2f} us of CPU a call")
    with redis_server() as (url, _):
        cost = asyncio.run(_cost(SharedLimiter(url), calls))
        say(f"through Redis, {KEYS:,} keys: {cost:.2f} us of CPU a call, waiting included")


def _tell_memory() -> None:
    limiter, process = LocalLimiter(), psutil.Process()
    records = [OfKey((IDS + number).to_bytes(16)) for number in range(BUSY)]
    before = process.memory_info().rss
    for _ in range(LIMIT):
        for key in range(BUSY):
            limiter.take_now(records[key], LIMIT)
    held = (process.memory_info().rss - before) / BUSY
    say(f"a key that is busy up to {LIMIT}: {held:,.0f} bytes, of {BUSY:,}")


async def _cost(limiter: Limiter, calls: int) -> float:
    """Microseconds of this process for each, 64 callers at once; each key was asked for before."""
    rng = random.Random(4711)  # noqa: S311
    known = [OfKey((IDS + number).to_bytes(16)) for number in range(KEYS)]
    drawn = rng.choices(known, k=calls)

    async def call(records: list[OfKey]) -> None:
        for record in records:
            if limiter.take_now(record, LIMIT) is None:
                await limiter.take(record, LIMIT)

    await asyncio.gather(*(call(known[n::64]) for n in range(64)))
    began = time.process_time()
    await asyncio.gather(*(call(drawn[n::64]) for n in range(64)))
    took = time.process_time() - began
    if limiter.failures:
        raise SystemExit(f"{limiter.failures} calls were not counted")
    await limiter.close()
    return took / calls * 1e6


if __name__ == "__main__":
    main()
