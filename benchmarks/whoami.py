"""What a verdict costs: `GET /v1/whoami` beside an empty answer and beside two usual ways.

    .venv/bin/python -m benchmarks.whoami [--rounds 5] [--seconds 4]

Everything is on: formats, limit, usage, request ids; 100,000 live keys are drawn at random. First
with the servers on one core, and all else on the others; then with everything on all of them.
"""

import argparse
import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import psycopg

from benchmarks.client import Connection
from benchmarks.cores import all_cores, keep_to
from benchmarks.rig import KEYS, Rig, Served, granian, ratios, rig, served
from benchmarks.stage import ROOT, machine, say

DOOR = "apikeys.edge.app:application"
CHANGE = """
UPDATE apikeys_contract SET limit_rpm = limit_rpm
WHERE tenant_id = (SELECT tenant_id FROM apikeys_contract ORDER BY random() LIMIT 1)
"""


def main() -> None:
    """All comparisons, a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--only", default="", help="comparisons whose line has this in it")
    given = parser.parse_args()
    say(machine())
    with rig() as made, ExitStack() as stack:
        cores = all_cores()
        first, others = cores[:1], cores[1:]
        if others:  # from the start: what a server was first allowed is what its threads go back to
            keep_to(first, [psutil.Process()])
        fixed, control = (
            stack.enter_context(served(made, name, granian("benchmarks.peers.fixed:application")))
            for name in ("300 fixed bytes", "the same again")
        )
        together = stack.enter_context(
            served(made, "300 on one core", granian("benchmarks.peers.fixed_together:application"))
        )
        door = stack.enter_context(served(made, "whoami", granian(DOOR)))
        spread = stack.enter_context(
            served(made, "whoami, EDGE_ONE_CORE=0", granian(DOOR), EDGE_ONE_CORE="0")
        )
        uvicorn = ["uvicorn", "benchmarks.peers.with_sql:application", "--port", "PORT"]
        sql = stack.enter_context(
            served(made, "FastAPI + SQL", [*uvicorn, "--no-access-log", "--log-level", "warning"])
        )
        drf_keys = _drf_keys(made)
        drf = stack.enter_context(
            served(
                made,
                "HasAPIKey and its tenant",
                granian("benchmarks.peers.with_drf:application", "wsgi"),
                keys=drf_keys,
                DRF_DATABASE_URL=made.postgres.url("portal_owner", "drf"),
            )
        )
        for each in (door, spread):
            _warm(made, each.port)
        check_alone = drf.asked("HasAPIKey alone", "/v1/fixed", "X-API-Key", drf_keys)
        peers = (
            *((control, fixed), (door, fixed), (spread, fixed), (door, together)),
            *((door, sql), (door, drf), (door, check_alone)),
        )
        all_served = (fixed, control, together, door, spread, sql, drf)
        servers = [process for each in all_served for process in each.processes]
        if others:
            keep_to(others, [psutil.Process()])
            keep_to(first, servers)
            say(f"The servers on {first}, the load and Postgres on {others}")
            _compare(peers, given)
            keep_to(cores, [psutil.Process()])
        say("Everything on all cores")
        _compare(peers, given)
        say("The same, while the contract of a tenant changes every second")
        with _changing(made):
            _compare([(door, fixed)], given)


def _compare(peers: Sequence[tuple[Served, Served]], given: argparse.Namespace) -> None:
    for ours, peer in peers:
        if given.only not in f"{ours.name} against {peer.name}":
            continue
        said = ratios(ours, peer, rounds=given.rounds, seconds=given.seconds)
        say(f"{ours.name} against {peer.name}: {said}")


@contextmanager
def _changing(made: Rig) -> Iterator[None]:
    """What is announced is read anew, and all other keys are looked at once more."""
    is_over = threading.Event()

    def change() -> None:
        with psycopg.connect(made.postgres.url("portal_owner"), autocommit=True) as connection:
            while not is_over.wait(1):
                connection.execute(CHANGE)

    changing = threading.Thread(target=change)
    changing.start()
    try:
        yield
    finally:
        is_over.set()
        changing.join()


def _warm(made: Rig, port: int) -> None:
    """Every key twice: it is read, and then held ready, as one that is in use."""

    async def ask(keys: list[str]) -> None:
        connection = Connection(port)
        for key in keys:
            status = 503
            while status == 503:  # on a busy machine a key that must be read may be given up
                status = (await connection.get("/v1/whoami", {"X-API-Key": key})).status
            if status != 200:
                raise SystemExit(f"{status} for a live key")

    async def ask_all() -> None:
        keys = made.keys.read_text().split() * 2
        await asyncio.gather(*(ask(keys[n::8]) for n in range(8)))

    asyncio.run(ask_all())


def _drf_keys(made: Rig) -> Path:
    with psycopg.connect(made.postgres.url("portal_owner"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE drf")
    done = subprocess.run(  # noqa: S603 - our own file
        [sys.executable, "-m", "benchmarks.peers.with_drf", str(KEYS)],
        env={**made.environment, "DRF_DATABASE_URL": made.postgres.url("portal_owner", "drf")},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = made.folder / "drf-keys"
    found.write_text(done.stdout)
    return found


if __name__ == "__main__":
    main()
