"""Does the time of a refused sign-in say who exists? Each kind of refusal, asked in turn.

Every round asks each kind once, in an order of its own, one request at a time: whatever else the
machine does falls on all kinds alike. Limits are off, hashing is the real one.
"""

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.client import LOGIN, Connection, LoginForm, cookie_header, login_form, signed_in
from benchmarks.stage import PASSWORD, machine, say, stage

WRONG = "never was a password"
DRAWS = 2000  # of the permutation test

# Kind: what is typed, the password, whose browser it is.
KINDS: dict[str, tuple[str, str, str]] = {
    "unknown username": ("nobody", WRONG, ""),
    "unknown address": ("nobody@example.com", WRONG, ""),
    "wrong password": ("Alice", WRONG, ""),
    "wrong, by address": ("alice@example.com", WRONG, ""),
    "inactive, right password": ("Ivan", PASSWORD, ""),
    "inactive, wrong password": ("Ivan", WRONG, ""),
    "invited only": ("Ines", WRONG, ""),
    "suspended, right password": ("Sue", PASSWORD, ""),
    "suspended, wrong password": ("Sue", WRONG, ""),
    "known browser, wrong password": ("Alice", WRONG, "Alice"),
    "known browser, unknown username": ("nobody", WRONG, "Alice"),
}
AGAINST = "unknown username"


@dataclass
class Seen:
    """What came back for one kind: ms of each, and everything but the time that may differ."""

    took: list[float] = field(default_factory=list)
    shapes: set[tuple[int, int, str]] = field(default_factory=set)


def main() -> None:
    """A table of medians; a p-value of each kind's difference from an unknown username."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    given = parser.parse_args()
    say(machine())
    with stage(RATELIMIT_ENABLE="0") as staged:
        seen = asyncio.run(_measure(staged.port, given.rounds))
    _report(seen)


async def _measure(port: int, rounds: int) -> dict[str, Seen]:
    connection = Connection(port)
    form = await login_form(connection)
    browsers = {"": form.cookies, "Alice": form.cookies | await _known(port)}
    for kind in KINDS:  # the suspended are told by mail once a day, which takes its time
        await _ask(connection, form, kind, browsers)
    seen = {kind: Seen() for kind in KINDS}
    draw = random.Random(4711)  # noqa: S311 - an order, not a secret
    for _ in range(rounds):
        for kind in draw.sample(list(KINDS), len(KINDS)):
            took, shape = await _ask(connection, form, kind, browsers)
            seen[kind].took.append(took)
            seen[kind].shapes.add(shape)
    return seen


async def _known(port: int) -> dict[str, str]:
    """The cookie of a browser that Alice has signed in with, without her session."""
    cookies = await signed_in(port, "Alice")
    return {name: value for name, value in cookies.items() if name.endswith("portal_known")}


async def _ask(
    connection: Connection,
    form: LoginForm,
    kind: str,
    browsers: Mapping[str, Mapping[str, str]],
) -> tuple[float, tuple[int, int, str]]:
    typed, password, browser = KINDS[kind]
    headers = {"Cookie": cookie_header(browsers[browser])}
    began = time.perf_counter()
    answer = await connection.post(LOGIN, form.filled(typed, password), headers)
    took = (time.perf_counter() - began) * 1000
    # What was typed is in the form again: only the rest of the page has to be as long.
    length = len(answer.body) - len(typed)
    names = " ".join(sorted(answer.headers))
    return took, (answer.status, length, names)


def _report(seen: dict[str, Seen]) -> None:
    base = seen[AGAINST]
    say(f"\n{len(base.took)} rounds; ms")
    say(f"  {'kind':<32} {'median':>7} {'MAD':>6} {'min':>7}  {'difference':>10}  p    answer")
    for kind, found in seen.items():
        differences = [a - b for a, b in zip(found.took, base.took, strict=True)]
        median = statistics.median(found.took)
        mad = statistics.median(abs(value - median) for value in found.took)
        p = "-" if found is base else f"{_p_value(differences):.2f}"
        same = "same" if found.shapes == base.shapes else f"differs: {found.shapes}"
        say(
            f"  {kind:<32} {median:7.1f} {mad:6.1f} {min(found.took):7.1f}  "
            f"{statistics.median(differences):+10.2f}  {p:<4} {same}"
        )
    shape = next(iter(base.shapes))
    say(f"\n  the answer: {shape[0]}, {shape[1]} bytes besides what was typed")


def _p_value(differences: list[float]) -> float:
    """How often chance alone, by swapping pairs, gives a median as far from nought."""
    draw = random.Random(4711)  # noqa: S311 - a test of chance, not a secret
    seen = abs(statistics.median(differences))
    as_far = sum(
        abs(statistics.median(value * draw.choice((-1, 1)) for value in differences)) >= seen
        for _ in range(DRAWS)
    )
    return as_far / DRAWS


if __name__ == "__main__":
    main()
