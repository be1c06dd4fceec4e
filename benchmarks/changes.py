"""What the directory does for those who wait: keys not cached, keys unknown, keys revoked.

    .venv/bin/python -m benchmarks.changes [--rounds 5] [--seconds 4] [--revocations 500]

Live keys are asked at a steady rate, and latencies count from when a call was due.
"""

import argparse
import asyncio
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain

import psycopg

from apikeys.edge.rows import LOOKUP_ONE
from benchmarks.client import Connection, ask_whoami, p99, spread
from benchmarks.rig import Rig, Served, granian, rig, served, wrk
from benchmarks.stage import machine, say
from portal.lib.crypto import digest

DOOR = "apikeys.edge.app:application"
DOORS = 4
EVERY_SECONDS = 0.005
UNCACHED = 2_000
LOAD, PAUSE_MS = 4, 10  # connections to each door while keys are revoked, pause before each call


def main() -> None:
    """All three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--revocations", type=int, default=500)
    given = parser.parse_args()
    say(machine())
    with rig(keys=20_000, tenants=1_000) as made, ExitStack() as stack:
        doors = [
            stack.enter_context(served(made, f"door {n}", granian(DOOR))) for n in range(DOORS)
        ]
        time.sleep(1)  # until the first proof that changes are heard
        keys = made.keys.read_text().split()
        _uncached(made, doors[0], keys[:UNCACHED], keys[UNCACHED : 2 * UNCACHED])
        _unknown(made, doors[0], keys[:100], given.rounds, given.seconds)
        _revoked(made, doors, keys[-given.revocations :])


def _uncached(made: Rig, door: Served, keys: Sequence[str], others: Sequence[str]) -> None:
    """And the query by itself, for others, of which Postgres has not read the rows either."""

    async def ask() -> list[float]:
        connection = Connection(door.port)
        return [await ask_whoami(connection, key) for key in keys]

    say(f"a key not cached, one call after the other: {spread(asyncio.run(ask()))}")
    found = []
    with psycopg.connect(made.postgres.url("portal_app"), autocommit=True) as database:
        for key in others:
            began = time.perf_counter()
            database.execute(LOOKUP_ONE, [[digest(key)]]).fetchall()
            found.append((time.perf_counter() - began) * 1000)
    say(f"its query by itself, the same way: {spread(found)}")


def _unknown(made: Rig, door: Served, keys: Sequence[str], rounds: int, seconds: float) -> None:
    """Live keys with nobody else, and beside a flood of made-up ones."""
    values = made.folder / "unknown"
    values.write_text("".join(f"vbk_{number:023d}x\n" for number in range(1_000_000)))
    flood = door.asked("unknown", "/v1/whoami", "X-API-Key", values)
    quiet, flooded = [], []
    for _ in range(rounds):
        quiet.append(asyncio.run(_steadily(door, keys, seconds)))
        with _load([flood], 64, seconds + 1):
            flooded.append(asyncio.run(_steadily(door, keys, seconds)))
        time.sleep(1)
    pairs = [p99(b) / p99(a) for a, b in zip(quiet, flooded, strict=True)]
    say(f"live keys, quiet: {spread([*chain(*quiet)])}")
    say(f"live keys beside a flood of unknown ones: {spread([*chain(*flooded)])}")
    said = f"{statistics.median(pairs):.1f} ({min(pairs):.1f} to {max(pairs):.1f})"
    say(f"p99 beside the flood, times quiet: {said}")


def _revoked(made: Rig, doors: Sequence[Served], keys: Sequence[str]) -> None:
    """From the COMMIT until the last of all doors refuses, with calls coming in."""

    async def all_refuse(connections: Sequence[Connection], key: str) -> None:
        async def until_refused(connection: Connection) -> None:
            while (await connection.get("/v1/whoami", {"X-API-Key": key})).status != 403:
                pass

        await asyncio.gather(*map(until_refused, connections))

    async def revoke_all() -> list[float]:
        connections = [Connection(door.port) for door in doors]
        found = []
        for key in keys:
            for connection in connections:
                await ask_whoami(connection, key)
        with psycopg.connect(made.postgres.url("portal_owner"), autocommit=True) as database:
            for key in keys:
                database.execute(
                    "UPDATE apikeys_apikey SET revoked_at = now() WHERE id = (SELECT key_id "
                    "FROM apikeys_apikeysecret WHERE sha256 = sha256(%s))",
                    [key.encode()],
                )
                committed_at = time.perf_counter()
                await all_refuse(connections, key)
                found.append((time.perf_counter() - committed_at) * 1000)
        return found

    calm = [
        door.asked(f"{door.name} calm", "/v1/whoami", "X-API-Key", made.keys, pause_ms=PAUSE_MS)
        for door in doors
    ]
    with _load(calm, LOAD, 600):
        found = asyncio.run(revoke_all())
    say(f"COMMIT of a revocation until the last of {DOORS} processes refuses: {spread(found)}")


async def _steadily(door: Served, keys: Sequence[str], seconds: float) -> list[float]:
    """Latencies in ms of a call each EVERY_SECONDS, however long the ones before it take."""
    idle: list[Connection] = []
    found: list[float] = []

    async def once(due: float, key: str) -> None:
        connection = idle.pop() if idle else Connection(door.port)
        await ask_whoami(connection, key)
        found.append((time.perf_counter() - due) * 1000)
        idle.append(connection)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as calls:
        for number in range(int(seconds / EVERY_SECONDS)):
            due = began + number * EVERY_SECONDS
            await asyncio.sleep(max(0, due - time.perf_counter()))
            calls.create_task(once(due, keys[number % len(keys)]))
    return found


@contextmanager
def _load(doors: Sequence[Served], connections: int, seconds: float) -> Iterator[None]:
    """wrk on each, until the block ends."""
    started = [
        subprocess.Popen(  # noqa: S603 - a program of the system
            [
                *(wrk(), "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", str(door.script)),
                f"http://127.0.0.1:{door.port}",
            ],
            stdout=subprocess.DEVNULL,
        )
        for door in doors
    ]
    time.sleep(0.5)
    try:
        yield
    finally:
        for each in started:
            each.kill()
            each.wait()


if __name__ == "__main__":
    main()
