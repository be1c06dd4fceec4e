"""How far what is counted lies behind what was called, with 100,000 keys in use at full load.

    .venv/bin/python -m benchmarks.counts_behind [--seconds 100]

One key more is called ten times a second. Twenty times a second Postgres is asked how many of its
calls are written: the first that is not says how far behind that is.
"""

import argparse
import asyncio
import subprocess
import time
from contextlib import suppress

import psycopg

from benchmarks.client import Connection, ask_whoami, spread
from benchmarks.rig import CONNECTIONS, KEYS, Served, granian, rig, served, wrk
from benchmarks.stage import machine, say

CALL_SECONDS, LOOK_SECONDS = 0.1, 0.05
WRITTEN = """
SELECT coalesce(sum(calls), 0)::int FROM (
    SELECT calls FROM apikeys_keycalls
    WHERE key_id = %(key)s AND period = 'minute' AND outcome = 'allowed'
    UNION ALL
    SELECT calls[array_position(keys, %(key)s)] FROM apikeys_waitinguse
    WHERE keys @> ARRAY[%(key)s]
) AS written (calls)
"""
KEY = "SELECT key_id FROM apikeys_apikeysecret WHERE sha256 = sha256(%s)"


def main() -> None:
    """One line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=100)
    seconds: float = parser.parse_args().seconds
    say(machine())
    with rig(keys=KEYS + 1) as made:
        *others, watched = made.keys.read_text().split()
        made.keys.write_text("".join(f"{secret}\n" for secret in others))
        with (
            served(made, "door", granian("apikeys.edge.app:application")) as door,
            psycopg.connect(made.postgres.url("portal_owner"), autocommit=True) as database,
        ):
            time.sleep(1)  # until the first proof that changes are heard
            door.warm("/v1/whoami", "X-API-Key", made.keys)
            load = [wrk(), "-t1", f"-c{CONNECTIONS}", "-d600s", "-s", str(door.script)]
            with subprocess.Popen(  # noqa: S603 - a program of the system
                [*load, f"http://127.0.0.1:{door.port}"], stdout=subprocess.DEVNULL
            ) as loading:
                behind = asyncio.run(_watch(door, database, watched, seconds))
                loading.kill()
            say(f"written so long after the call: {spread(behind)}")


async def _watch(
    door: Served, database: psycopg.Connection, secret: str, seconds: float
) -> list[float]:
    """In ms, at each look at which something was not written yet."""
    found = database.execute(KEY, [secret.encode()]).fetchone()
    assert found  # noqa: S101
    called_at: list[float] = []
    behind: list[float] = []

    async def call() -> None:
        connection = Connection(door.port)
        while True:
            await ask_whoami(connection, secret)
            called_at.append(time.monotonic())
            await asyncio.sleep(CALL_SECONDS)

    def written() -> int:
        row = database.execute(WRITTEN, {"key": found[0]}).fetchone()
        return int(row[0]) if row else 0

    async def look() -> None:
        while True:
            number = await asyncio.to_thread(written)
            if number < len(called_at):
                behind.append((time.monotonic() - called_at[number]) * 1000)
            await asyncio.sleep(LOOK_SECONDS)

    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(call(), look())
    return behind


if __name__ == "__main__":
    main()
