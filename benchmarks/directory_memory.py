"""What a million remembered keys take: memory, and microseconds to learn and to find one.

    .venv/bin/python -m benchmarks.directory_memory [--keys 1000000] [--tenants 50000]

The directory is filled as reads would fill it, with 20 keys a tenant, every second key with an
allowlist. 10,000 of them are then as busy as their limit allows. Finding draws at random from all
keys (packed) and from 100,000 (held ready).
"""

import argparse
import gc
import random
import time
import uuid
from pathlib import Path

from apikeys.catalogue import DEFAULT_BUNDLE, bundles
from apikeys.edge.directory import Directory
from apikeys.edge.limiter import LocalLimiter
from apikeys.edge.rows import Own, Row, Shared
from apikeys.verdict import KeyRecord
from benchmarks.stage import machine, say
from portal.lib.crypto import digest

FINDS = 300_000
BUSY = 10_000
LIMIT = 600


def main() -> None:
    """Fill, find, sweep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--tenants", type=int, default=50_000)
    given = parser.parse_args()
    say(machine())
    directory = Directory(given.keys)
    before = _resident_mib()
    began = time.process_time()
    for number in range(given.keys):
        directory.learn(_sha(number), _row(number, number % given.tenants), directory.moment)
    took = time.process_time() - began
    after = _resident_mib()
    say(f"{given.keys:,} keys of {given.tenants:,} tenants, made and learnt in {took:.0f} s of CPU")
    say(f"resident: {before:.0f} MiB before, {after:.0f} MiB after")
    limiter = _be_busy(directory, min(BUSY, given.keys))
    say(f"resident with {len(limiter):,} of them busy: {_resident_mib():.0f} MiB")
    for most in (given.keys, 100_000):
        _find(directory, min(most, given.keys))
    say(f"resident with the ready ones: {_resident_mib():.0f} MiB")
    directory.hear(f"tenant:{uuid.UUID(int=1)}:2")
    began = time.perf_counter()
    directory.tidy()
    say(f"a sweep of a thousand: {(time.perf_counter() - began) * 1000:.2f} ms")
    began = time.perf_counter()
    gc.collect()
    say(f"a full garbage collection: {(time.perf_counter() - began) * 1000:.0f} ms")


def _be_busy(directory: Directory, number: int) -> LocalLimiter:
    """So many keys make as many calls as they may within a minute, one after the other."""
    limiter = LocalLimiter()
    directory.prove(time.monotonic())
    records = [directory.find(_sha(each)) for each in range(number)]
    for _ in range(LIMIT):
        for record in records:
            limiter.take_now(record, LIMIT)
    return limiter


def _find(directory: Directory, most: int) -> None:
    shas = [_sha(number) for number in random.choices(range(most), k=FINDS)]  # noqa: S311
    for sha in shas:  # warm
        assert isinstance(directory.find(sha), KeyRecord)  # noqa: S101
    began = time.process_time()
    for sha in shas:
        directory.find(sha)
    took = (time.process_time() - began) / FINDS
    say(f"finding one of {most:,}: {took * 1e6:.2f} us of CPU")


def _sha(number: int) -> bytes:
    return digest(f"vbk_{number:024d}")


def _row(number: int, tenant: int) -> Row:
    shared = Shared(
        tenant_id=uuid.UUID(int=tenant + (1 << 100)),
        slug=f"tenant-{tenant}",
        name=f"Sportsbook number {tenant}",
        is_suspended=False,
        tenant_version=1,
        scopes=bundles()[DEFAULT_BUNDLE].scopes,
        sports=("cs2",),
        limit_rpm=LIMIT,
        max_streams=50,
        contract_version=1,
    )
    own = Own(
        key=(number + (1 << 110)).to_bytes(16),
        secret_id=number + 1000,
        is_secret_retired=False,
        is_key_revoked=False,
        scopes=shared.scopes,
        sports=("cs2",),
        networks=f"198.51.{number >> 8 & 255}.{number & 255}/32" if number % 2 else "",
        key_version=1,
        secret_version=1,
    )
    return Row(shared, own)


def _resident_mib() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main()
