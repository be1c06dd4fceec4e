"""What one limit for several processes costs: whoami from two of them, with Redis and without.

    .venv/bin/python -m benchmarks.shared_limit [--rounds 5] [--seconds 4]

Everything is as in `benchmarks.whoami`, but for the limit, which is a contract's usual one: how
much a process claims ahead goes by it. `--workers 2` without REDIS_URL is refused by the service,
so on both sides "two workers" are two processes of one worker each, on ports of their own, with
half of the connections each, as a proxy before them would share them out. REDIS_URL is the only
difference. Redis' CPU time counts as that of the doors which use it.

Keys are drawn from 10,000, whose calls are let in by what was claimed for them before, and then
from all 100,000, of which each calls so rarely that Redis is told of one key with every call or
two, and asked about some of them anew.
"""

import argparse
from contextlib import ExitStack
from pathlib import Path

import psutil
import psycopg

from benchmarks.programs import program, redis_server
from benchmarks.rig import KEYS, Rig, Served, free_port, granian, ratios, rig, served, together
from benchmarks.stage import machine, say

DOOR = "apikeys.edge.app:application"
WORKERS = 2
LIMIT = 600
BUSY = 10_000
WHOAMI = ("/v1/whoami", "X-API-Key")


def main() -> None:
    """Two comparisons, each with a control, and what share of our CPU time is Redis'."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    given = parser.parse_args()
    program("wrk", "wrk")
    with redis_server(free_port()) as (url, redis), rig() as made, ExitStack() as stack:
        with psycopg.connect(made.postgres.url("portal_owner")) as database:
            database.execute("UPDATE apikeys_contract SET limit_rpm = %s", [LIMIT])
        alone, control = (
            together(name, *_doors(stack, made, name))
            for name in ("without Redis", "the same again")
        )
        doors = _doors(stack, made, "shared", url)
        shared = together("limit shared through Redis", *doors, also=[redis])
        for number, keys in ((BUSY, _busy(made)), (KEYS, made.keys)):
            for each in (alone, control, shared):
                each.warm(*WHOAMI, keys)
            say(machine())
            ours, peer, same = (
                each.asked(each.name, *WHOAMI, keys) for each in (shared, alone, control)
            )
            said = ratios(same, peer, rounds=given.rounds, seconds=given.seconds)
            say(f"{number:,} keys: {same.name} against {peer.name}: {said}")
            before = _cpu(redis), ours.cpu_seconds()
            said = ratios(ours, peer, rounds=given.rounds, seconds=given.seconds)
            share = (_cpu(redis) - before[0]) / (ours.cpu_seconds() - before[1])
            say(
                f"{number:,} keys: {ours.name} against {peer.name}: {said}; Redis {share:.0%} of it"
            )


def _doors(stack: ExitStack, made: Rig, name: str, redis_url: str = "") -> list[Served]:
    return [
        stack.enter_context(served(made, f"{name} {number}", granian(DOOR), REDIS_URL=redis_url))
        for number in range(WORKERS)
    ]


def _busy(made: Rig) -> Path:
    few = made.folder / "busy-keys"
    few.write_text("".join(f"{key}\n" for key in made.keys.read_text().split()[:BUSY]))
    return few


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    seconds: float = times.user + times.system
    return seconds


if __name__ == "__main__":
    main()
