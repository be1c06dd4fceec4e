"""The short way of a call that is like the one before it: nobody can tell it from the long one."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from accounts.models import Tenant
from apikeys.edge.app import Door
from apikeys.edge.settings import EdgeSettings, edge_settings
from tests.conftest import MakeKey
from tests.door import Reply, opened, run
from tests.usage import calls_of

pytestmark = pytest.mark.usefixtures("door_beside")

UNKNOWN = "vbk_" + "0" * 24
PATHS = ["/v1/whoami"] * 9 + ["/v1/who%61mi", "/cs2/v1/matches", "/v1/nothing"]
METHODS = ["GET"] * 6 + ["HEAD", "POST"]
ACCEPTED: list[list[str]] = [
    *([[]] * 5),
    ["text/xml"],
    ["application/json"],
    ["text/html"],
    ["", "application/xml"],
    ["application/xml;q=0.5, */*;q=0.1"],
    ["application/xml," + " " * 300 + "text/xml"],
]
FORWARDED: list[list[str]] = [
    *([[]] * 4),
    ["192.0.2.1"],
    ["192.0.2.1, 198.51.100.9"],
    ["198.51.100.9", "192.0.2.1"],
    ["rubbish"],
]
PEERS = ["203.0.113.7"] * 4 + ["192.0.2.1", "::ffff:192.0.2.1", None]


Call = tuple[list[str], dict[str, Any]]


def _some_calls(rng: random.Random, secrets: list[str]) -> Iterator[Call]:
    """A plain one mostly, a few times; then the same with something odd about the key."""
    key = rng.choice(secrets)
    headers = [("accept", line) for line in rng.choice(ACCEPTED)]
    headers += [("x-forwarded-for", line) for line in rng.choice(FORWARDED)]
    given = {
        "path": rng.choice(PATHS),
        "method": rng.choice(METHODS),
        "headers": headers,
        "peer": rng.choice(PEERS),
    }
    for _ in range(rng.randint(1, 3)):
        yield [key], given
    if rng.random() < 0.2:
        yield rng.choice([[], [UNKNOWN], [key, key], [key, UNKNOWN], [f" {key}\t"], [""]]), given


def _seen(reply: Reply) -> tuple[object, ...]:
    """What both ways must have in common: all but the id and the seconds of a limit."""
    ours = reply.headers["x-request-id"]
    headers = {name: value.split(";t=")[0] for name, value in reply.headers.items()}
    return reply.status, headers | {"x-request-id": ""}, reply.body.replace(ours.encode(), b"")


@pytest.mark.parametrize("proxies", [0, 1])
def test_whoever_calls_gets_the_same_answers_by_either_way_and_is_counted_alike(
    acme: Tenant, make_key: MakeKey, proxies: int
) -> None:
    """A thousand calls, one after the other, to two doors; one of them knows no short way."""
    settings = EdgeSettings(edge_settings().database, trusted_proxies=proxies, directory_keys=1_000)
    allowlist = ["192.0.2.0/24", "203.0.113.7"]
    acme.contract.limit_rpm = 200
    acme.contract.save()
    made = [make_key(acme), make_key(acme, allowlist=allowlist)]
    secrets = [secret for _, secret in made]
    rng = random.Random(4711)  # noqa: S311
    door, other = Door(settings), Door(settings)
    short = []

    async def work() -> None:
        async with opened(other) as ask_long, opened(door) as ask:
            other.gate.answer_again = lambda scope: None
            way = door.gate.answer_again
            door.gate.answer_again = lambda scope: short.append(way(scope)) or short[-1]
            await ask(secrets[0])
            await ask_long(secrets[0])
            for _ in range(700):
                for keys, given in _some_calls(rng, secrets):
                    long = await ask_long(*keys, **given)
                    assert _seen(await ask(*keys, **given)) == _seen(long)

    run(work)
    assert len([answer for answer in short if answer]) > 50
    for key, _ in made:
        counted = calls_of(key)
        assert counted["rate_limited"] > 10, "the limit is reached by either way"
        assert not any(calls % 2 for calls in counted.values()), "both doors count the same"
