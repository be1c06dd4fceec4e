"""200 wrong logins at once: do pages and `/v1/whoami` stay usable, and is memory bounded?

A process of its own floods the login page while this one asks, at a steady rate, for whoami with a
live key and for a page as somebody signed in. Quiet and flooded spells alternate, so that whatever
else the machine does falls on both alike. Latencies count from when a request was due.
"""

import argparse
import asyncio
import itertools
import math
import multiprocessing
import statistics
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from typing import Any

from benchmarks.client import LOGIN, Connection, cookie_header, login_form, signed_in
from benchmarks.stage import Stage, machine, say, stage

AT_ONCE = 200
MOST = 20_000  # wrong logins in one spell
WHOAMI_EVERY, PAGE_EVERY = 0.01, 0.1  # seconds
PATIENCE_SECONDS = 20
PAUSE_SECONDS = 4  # after a flood, until its last requests are answered

# The limits count by account and by address: few of each meet them, many of each meet the hashing.
SCENARIOS = {
    "limits on, 5 usernames from 20 addresses": ({"TRUSTED_PROXIES": "1"}, 5, 20),
    "limits on, no username or address twice": ({"TRUSTED_PROXIES": "1"}, MOST, MOST),
    "limits off": ({"TRUSTED_PROXIES": "1", "RATELIMIT_ENABLE": "0"}, 20, 20),
}


@dataclass
class Spell:
    """Latencies in ms of a few seconds, what was answered, and what the server's memory was."""

    took: dict[str, list[float]] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    most_mib: float = 0


def main() -> None:
    """Every scenario, or the one named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5, help="length of each spell")
    parser.add_argument("--only", default="", help="scenarios whose name contains this")
    given = parser.parse_args()
    say(machine())
    for name, (settings, usernames, addresses) in SCENARIOS.items():
        if given.only in name:
            with stage(**settings) as staged:
                say(f"\n{name}: {AT_ONCE} at once, {given.rounds} x {given.seconds:g} s each way")
                asyncio.run(_measure(staged, usernames, addresses, given.rounds, given.seconds))


async def _measure(
    staged: Stage, usernames: int, addresses: int, rounds: int, seconds: float
) -> None:
    cookies = await signed_in(staged.port, "Alice")
    await _spell(staged, cookies, 2)  # warm
    quiet, flooded, refused = [], [], Counter[str]()
    waits: list[float] = []
    for turn in range(rounds):
        quiet.append(await _spell(staged, cookies, seconds))
        flood = _Flood(staged.port, usernames, addresses, turn)
        await flood.start()
        flooded.append(await _spell(staged, cookies, seconds))
        statuses, took = await flood.end()
        refused += statuses
        waits += took
        await asyncio.sleep(PAUSE_SECONDS)
    for path in quiet[0].took:
        _report(path, [s.took[path] for s in quiet], [s.took[path] for s in flooded])
    say(f"  answers to both: quiet {_sum(quiet)}, flooded {_sum(flooded)}")
    rate = sum(refused.values()) / (rounds * seconds)
    say(f"  the flood: {dict(refused)}, {rate:.0f}/s, {_line(waits)}")
    now, most = staged.server_memory()
    quiet_mib = max(s.most_mib for s in quiet)
    flood_mib = max(s.most_mib for s in flooded)
    say(f"  MiB: quiet {quiet_mib:.0f}, flooded {flood_mib:.0f}, now {now:.0f}, peak {most:.0f}")


async def _spell(staged: Stage, cookies: dict[str, str], seconds: float) -> Spell:
    """Ask for both, steadily, for so long."""
    spell = Spell()
    key = {"X-API-Key": staged.api_key}
    browser = {"Cookie": cookie_header(cookies)}
    until = time.monotonic() + seconds

    async def watch_memory() -> None:
        while time.monotonic() < until:
            spell.most_mib = max(spell.most_mib, staged.server_memory()[0])
            await asyncio.sleep(0.25)

    await asyncio.gather(
        _probe(staged.port, "/v1/whoami", key, WHOAMI_EVERY, until, spell),
        _probe(staged.port, "/client/api-access", browser, PAGE_EVERY, until, spell),
        watch_memory(),
    )
    return spell


async def _probe(
    port: int, path: str, headers: dict[str, str], every: float, until: float, spell: Spell
) -> None:
    """One request each `every` seconds, however long the ones before it take."""
    idle: list[Connection] = []
    took = spell.took.setdefault(path, [])

    async def once(due: float) -> None:
        connection = idle.pop() if idle else Connection(port)
        try:
            answer = await asyncio.wait_for(connection.get(path, headers), PATIENCE_SECONDS)
            spell.statuses[f"{path} {answer.status}"] += 1
            idle.append(connection)
        except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            spell.statuses[f"{path} {type(error).__name__}"] += 1
            await connection.close()
        took.append((time.monotonic() - due) * 1000)

    begun, tasks = time.monotonic(), []
    for number in itertools.count():
        due = begun + number * every
        if due >= until:
            break
        await asyncio.sleep(max(0, due - time.monotonic()))
        tasks.append(asyncio.create_task(once(due)))
    await asyncio.gather(*tasks)
    for connection in idle:
        await connection.close()


class _Flood:
    """AT_ONCE connections of another process, each with the next wrong login after the last."""

    def __init__(self, port: int, usernames: int, addresses: int, turn: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._ready, self._over = context.Event(), context.Event()
        self._found, given = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_flood,
            args=(port, usernames, addresses, turn, self._ready, self._over, given),
            daemon=True,
        )

    async def start(self) -> None:
        """Return when the first answers may be on their way."""
        self._process.start()
        await asyncio.to_thread(self._ready.wait, 30)
        await asyncio.sleep(0.5)

    async def end(self) -> tuple[Counter[str], list[float]]:
        """Statuses, and ms that each took."""
        self._over.set()
        found: tuple[Counter[str], list[float]] = await asyncio.to_thread(self._found.recv)
        self._process.join()
        return found


def _flood(
    port: int, usernames: int, addresses: int, turn: int, ready: Event, over: Event, found: Any
) -> None:
    asyncio.run(_flood_until(port, usernames, addresses, turn, ready, over, found))


async def _flood_until(
    port: int, usernames: int, addresses: int, turn: int, ready: Event, over: Event, found: Any
) -> None:
    form = await login_form(Connection(port))
    statuses, took = Counter[str](), list[float]()
    numbers = iter(range(MOST))
    names = [f"Member{number}" for number in range(min(usernames, 20))]

    async def one() -> None:
        connection = Connection(port)
        for number in numbers:
            if over.is_set():
                break
            nth = turn * MOST + number
            name = names[nth % len(names)] if usernames <= 20 else f"nobody{nth}"
            seen = nth % addresses if addresses < MOST else nth
            address = f"10.{seen >> 16 & 255}.{seen >> 8 & 255}.{seen & 255}"
            headers = {**form.headers, "X-Forwarded-For": address}
            began = time.monotonic()
            with suppress(OSError, asyncio.IncompleteReadError):
                answer = await connection.post(LOGIN, form.filled(name, "wrong one"), headers)
                statuses[str(answer.status)] += 1
                took.append((time.monotonic() - began) * 1000)
        await connection.close()

    tasks = [asyncio.create_task(one()) for _ in range(AT_ONCE)]
    ready.set()
    while not over.is_set() and not all(task.done() for task in tasks):
        await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    found.send((statuses, took))


def _report(name: str, quiet: list[list[float]], flooded: list[list[float]]) -> None:
    """Both ways pooled, and each round's ratio of the two p99: their spread is the noise."""
    say(f"  {name:<18} quiet   {_line([*itertools.chain(*quiet)])}")
    say(f"  {name:<18} flooded {_line([*itertools.chain(*flooded)])}")
    ratios = [_quantile(b, 0.99) / _quantile(a, 0.99) for a, b in zip(quiet, flooded, strict=True)]
    p99s = ", ".join(f"{_quantile(a, 0.99):.1f}" for a in quiet)
    shown = ", ".join(f"{ratio:.1f}" for ratio in ratios)
    say(f"  {name:<18} p99 x{statistics.median(ratios):.1f} (rounds: {shown}; quiet p99s: {p99s})")


def _line(took: list[float]) -> str:
    if not took:
        return "nothing"
    shown = " ".join(f"p{q:g} {_quantile(took, q / 100):.1f}" for q in (50, 90, 99))
    return f"{shown} max {max(took):.1f} ms (n {len(took)})"


def _quantile(took: list[float], q: float) -> float:
    return sorted(took)[max(0, math.ceil(len(took) * q) - 1)]


def _sum(spells: list[Spell]) -> dict[str, int]:
    return dict(sum((spell.statuses for spell in spells), Counter()))


if __name__ == "__main__":
    main()
