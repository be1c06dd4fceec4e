"""The rate limit at the machine door: what is counted, what answers say, who counts together."""

import asyncio
import json
import subprocess
import sys
from dataclasses import replace

import pytest
from django.db import connections

from accounts.models import Tenant
from apikeys import services
from apikeys.edge import reads, shared_limiter
from apikeys.edge.app import Door
from apikeys.edge.settings import edge_settings
from apikeys.edge.workers import told_workers
from portal.launch.environment import ROOT
from portal.lib.env import SettingError
from tests.conftest import MakeKey
from tests.door import Reply, code, opened, run
from tests.redis_server import RedisServer, redis_server
from tests.test_whoami import act

__all__ = ["redis_server"]  # pytest finds the fixture here

pytestmark = pytest.mark.usefixtures("django_db_setup")

PAIR = ("ratelimit-policy", "ratelimit")


@pytest.fixture
def acme(committed_db: None, acme: Tenant) -> Tenant:
    """Acme, committed, whose keys may make ten calls a minute."""
    acme.contract.limit_rpm = 10
    acme.contract.save()
    return acme


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy with other tests is no outage."""
    monkeypatch.setattr(reads, "PATIENCE_SECONDS", 20)
    monkeypatch.setattr(shared_limiter, "PATIENCE_SECONDS", 20)


def pair(reply: Reply) -> tuple[str | None, str | None]:
    """What the answer says of the limit: the policy, and what is left of it."""
    policy, left = (reply.headers.get(name) for name in PAIR)
    return policy, left.partition(";t=")[0] if left else None


def test_a_key_is_let_in_up_to_its_limit_and_told_what_is_left(
    acme: Tenant, make_key: MakeKey
) -> None:
    """Then it is refused, told when to come back, and that in whole seconds."""
    _, secret = make_key(acme)

    async def work() -> list[Reply]:
        async with opened(Door()) as ask:
            return [await ask(secret) for _ in range(12)]

    *let_in, refused, _ = run(work)
    assert [pair(reply) for reply in let_in[:10]] == [
        ('"default";q=10;w=60', f'"default";r={left}') for left in range(9, -1, -1)
    ]
    assert {reply.status for reply in let_in[:10]} == {200}
    assert code(refused) == (429, "rate_limited")
    assert pair(refused) == ('"default";q=10;w=60', '"default";r=0')
    seconds = refused.headers["retry-after"]
    assert refused.headers["ratelimit"] == f'"default";r=0;t={seconds}'
    assert 50 <= int(seconds) <= 60


def test_what_is_refused_before_the_limit_costs_no_quota_and_406_does(
    acme: Tenant, make_key: MakeKey
) -> None:
    """Nor do paths that are not there; one that is, but has no feed behind it here, does."""
    _, secret = make_key(acme)
    free = [
        {"path": "/v1/nothing"},
        {"path": "/cs2/v1/nothing"},
        {"path": "/dota2/v1/matches"},
        {"path": "/cs2/v1/maps"},
        {"path": "/v1/whoami", "method": "PUT"},
    ]
    costly = [{"headers": [("accept", "image/png")]}, {"path": "/cs2/v1/matches"}]

    async def work() -> list[Reply]:
        async with opened(Door()) as ask:
            return [await ask(secret, **given) for given in (*free, *costly)]

    replies = run(work)
    assert [code(reply) for reply in replies] == [
        (404, "not_found"),
        (404, "not_found"),
        (403, "sport_not_allowed"),
        (403, "scope_not_granted"),
        (405, "method_not_allowed"),
        (406, "not_acceptable"),
        (404, "not_found"),
    ]
    assert [pair(reply)[1] for reply in replies] == [None] * 5 + ['"default";r=9', '"default";r=8']


def test_a_rotation_keeps_the_bucket_and_another_key_has_its_own(
    acme: Tenant, make_key: MakeKey
) -> None:
    """A new secret is no way to more calls."""
    key, secret = make_key(acme)
    _, other = make_key(acme)

    def rotate() -> str:
        try:
            return services.rotate_key(**act(acme, key)).secret
        finally:
            connections.close_all()  # this thread's

    async def work() -> list[Reply]:
        async with opened(Door()) as ask:
            before = await ask(secret)
            successor = await asyncio.to_thread(rotate)
            return [before, await ask(successor), await ask(successor), await ask(other)]

    assert [pair(reply)[1] for reply in run(work)] == [
        '"default";r=9',
        '"default";r=8',
        '"default";r=7',
        '"default";r=9',
    ]


def test_a_key_without_a_contract_may_ask_why_now_and_then(acme: Tenant, make_key: MakeKey) -> None:
    """Whoami says that its limit is none."""
    _, secret = make_key(acme)
    acme.contract.delete()

    async def work() -> Reply:
        async with opened(Door()) as ask:
            return await ask(secret)

    reply = run(work)
    assert json.loads(reply.body)["data"]["rate_limit_rpm"] == 0
    assert pair(reply) == ('"default";q=60;w=60', '"default";r=59')


@pytest.mark.service
def test_two_doors_count_together_in_redis(
    acme: Tenant, make_key: MakeKey, redis_server: RedisServer
) -> None:
    """And pass what they cannot count, without a word about what is left; a metric says so."""
    _, secret = make_key(acme)
    settings = replace(edge_settings(), redis_url=redis_server.url)

    async def work() -> list[Reply]:
        doors = [Door(settings), Door(settings)]
        async with opened(doors[0]) as ask, opened(doors[1]) as ask_other:
            replies = [await (ask, ask_other)[turn % 2](secret) for turn in range(14)]
            assert [door.gate.limiter_failures for door in doors] == [0, 0]
            redis_server.stop()
            _, another = make_other()
            replies += [await ask(another), await ask_other(another)]
            assert [door.gate.limiter_failures for door in doors] == [1, 1]
            redis_server.start()
            return replies

    other = make_key(acme)

    def make_other() -> tuple[object, str]:
        return other

    *counted, first, second = run(work)
    assert [reply.status for reply in counted[:9]] == [200] * 9
    assert sum(reply.status == 200 for reply in counted) <= 10
    assert code(counted[-1]) == (429, "rate_limited")
    assert (first.status, second.status) == (200, 200)
    assert not {*PAIR} & (first.headers.keys() | second.headers.keys())


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        ([], {}, 1),
        (["--workers", "4"], {}, 4),
        (["--interface", "asgi", "--workers=2", "portal.asgi:application"], {}, 2),
        (["-w", "3"], {}, 3),
        (["--workers"], {}, 1),
        (["--workers", "many"], {}, 1),
        ([], {"GRANIAN_WORKERS": "5"}, 5),
        ([], {"GRANIAN_WORKERS": "", "WEB_CONCURRENCY": "6"}, 6),
        (["--workers", "1"], {"GRANIAN_WORKERS": "5"}, 1),
    ],
)
def test_how_many_workers_a_server_has_is_read_from_what_it_was_told(
    arguments: list[str], environment: dict[str, str], expected: int
) -> None:
    """By option before variable."""
    assert told_workers(arguments, environment) == expected


def test_several_workers_need_a_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each would let in the whole limit."""
    monkeypatch.setenv("GRANIAN_WORKERS", "2")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    assert edge_settings().redis_url == "redis://127.0.0.1:1"
    monkeypatch.delenv("REDIS_URL")
    with pytest.raises(SettingError, match="2 workers, and REDIS_URL is not set"):
        edge_settings()


@pytest.mark.service
def test_a_server_with_several_workers_and_no_redis_ends_and_says_why() -> None:
    """Granian, as it is started by hand."""
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--port", "0"]
    done = subprocess.run(
        [*command, "--workers", "2", "apikeys.edge.app:application"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "2 workers, and REDIS_URL is not set" in done.stdout + done.stderr
