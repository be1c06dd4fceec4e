"""A million keys in Postgres and in one door: what it takes, and how long a call waits.

    .venv/bin/python -m benchmarks.million_keys [--keys 1000000]

One client asks, one call after the other: first for keys that are not cached; then for any of the
million; then for 10,000 busy ones. Rows are multiplied in Postgres, each with an id, a label and a
secret of its own.
"""

import argparse
import asyncio
import random
import time
from collections.abc import Sequence

import psutil
import psycopg

from benchmarks.client import Connection, ask_whoami, spread
from benchmarks.rig import Rig, Served, granian, rig, served
from benchmarks.stage import machine, say

DOOR = "apikeys.edge.app:application"
FEW = 5_000  # made as the portal makes them; the others are copies
MISSES, HITS, BUSY, ROUNDS = 5_000, 20_000, 10_000, 3

_MULTIPLY = """
SET session_replication_role = replica;
CREATE TEMP TABLE few AS SELECT row_number() OVER () - 1 AS number, key FROM apikeys_apikey AS key;
CREATE TEMP TABLE more AS
SELECT number, gen_random_uuid() AS id, 'vbk_' || lpad(number::text, 24, '0') AS secret
FROM generate_series({few}, {most} - 1) AS number;
INSERT INTO apikeys_apikey SELECT made.*
FROM more JOIN few ON few.number = more.number % {few} CROSS JOIN LATERAL jsonb_populate_record(
    few.key, jsonb_build_object('id', more.id, 'label', 'Key ' || more.number)) AS made;
INSERT INTO apikeys_apikeysecret SELECT made.*
FROM more CROSS JOIN (SELECT one FROM apikeys_apikeysecret AS one LIMIT 1) AS first
CROSS JOIN LATERAL jsonb_populate_record(first.one, jsonb_build_object(
    'id', 1000000 + number, 'key_id', id, 'first_4', substr(secret, 5, 4),
    'last_4', right(secret, 4), 'sha256', '\\x' || encode(sha256(secret::bytea), 'hex'))) AS made;
ANALYZE
"""


def main() -> None:
    """Misses, memory, hits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    most: int = parser.parse_args().keys
    say(machine())
    with rig(keys=FEW) as made:
        _multiply(made, most)
        with served(made, "door", granian(DOOR)) as door:
            time.sleep(1)  # until the first proof that changes are heard
            say(f"keys not cached: {_asked(door, _some(most, MISSES))}")
            door.warm("/v1/whoami", "X-API-Key", made.keys)
            say(f"resident with {most:,} keys: {_resident_mib(door):.0f} MiB")
            for _ in range(ROUNDS):
                say(f"any of them: {_asked(door, _some(most, HITS))}")
            busy = _some(most, BUSY)
            _asked(door, busy * 2)  # now they are held ready
            say(f"{BUSY:,} busy ones: {_asked(door, busy)}")


def _multiply(made: Rig, most: int) -> None:
    with psycopg.connect(made.postgres.url("postgres"), autocommit=True) as database:
        for statement in _MULTIPLY.format(few=FEW, most=most).split(";"):
            database.execute(statement.encode())
    made.keys.write_text("".join(f"{_secret(number)}\n" for number in range(most)))


def _secret(number: int) -> str:
    return f"vbk_{number:024d}"


def _some(most: int, number: int) -> list[str]:
    return [_secret(each) for each in random.sample(range(most), min(most, number))]


def _asked(door: Served, keys: Sequence[str]) -> str:
    async def ask() -> list[float]:
        connection = Connection(door.port)
        return [await ask_whoami(connection, key) for key in keys]

    return spread(asyncio.run(ask()))


def _resident_mib(door: Served) -> float:
    """Of its largest process, which is the worker."""
    every: list[psutil.Process] = []
    for each in door.processes:
        every += [each, *each.children(recursive=True)]
    resident: float = max(process.memory_info().rss for process in every) / 2**20
    return resident


if __name__ == "__main__":
    main()
