"""Which codes are off for a tenant, as a process remembers them and tells feeds elsewhere."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Role, Tenant, User
from accounts.origin import COMMAND_LINE
from apikeys.edge import reads
from apikeys.edge.answers import Answer
from apikeys.edge.database import DatabaseAway
from apikeys.edge.gate import Gate
from apikeys.edge.markets import Markets, UnknownTenant
from apikeys.edge.markets_endpoint import answer_markets
from apikeys.edge.settings import EdgeSettings
from markets.effective import Choice
from markets.models import MarketType
from markets.services.catalogue import retire_type
from markets.services.choices import apply_choices
from portal.launch.run import MARKET_TYPES
from tests.conftest import make_member, make_user
from tests.door import run

pytestmark = pytest.mark.usefixtures("django_db_setup")

SOON_SECONDS = 20  # a bound for a busy machine
Ask = Callable[..., Awaitable[Answer]]


@pytest.fixture
def acme(committed_db: None, acme: Tenant) -> Tenant:
    """Acme, committed, with the catalogue."""
    call_command("load_market_types", str(MARKET_TYPES), verbosity=0)
    return acme


@pytest.fixture
def trader(acme: Tenant) -> User:
    """Somebody who may switch Acme's markets."""
    return make_member(acme, "Tina", Role.TRADER)


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "PATIENCE_SECONDS", 20)


@asynccontextmanager
async def gate() -> AsyncIterator[Gate]:
    """One that hears announcements."""
    opened = Gate()
    try:
        await opened.warm_up()
        yield opened
    finally:
        await opened.close()


async def asked(gate: Gate, tenant: Any, *tags: str, method: str = "GET", **more: Any) -> Answer:
    """One question of a feed elsewhere, that knows these tags."""
    path = f"/internal/tenants/{getattr(tenant, 'pk', tenant)}/markets"
    headers = [(b"if-none-match", tag.encode()) for tag in tags]
    scope = {
        "type": "http",
        "method": method,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        **more,
    }
    return await answer_markets(gate, scope, "request-1")


def switch(tenant: Tenant, trader: User, revision: int, **choices: Choice) -> None:
    """By the service, as the page does."""
    apply_choices(
        tenant=tenant, revision=revision, choices=choices, actor=trader, origin=COMMAND_LINE
    )


def by_hand(statement: str) -> None:
    """In psql."""
    with connection.cursor() as cursor:
        cursor.execute(statement)


async def becomes(gate: Gate, tenant: Tenant, disabled: set[str]) -> bool:
    """Soon."""
    async with asyncio.timeout(SOON_SECONDS):
        while (await gate.markets.of(tenant.pk)).disabled != disabled:
            await asyncio.sleep(0.01)
    return True


def test_what_is_remembered_is_overruled_by_whatever_changes_it(
    acme: Tenant, globex: Tenant, trader: User
) -> None:
    """A choice, a change by hand, a type that staff take out; of another tenant nothing."""
    sam = make_user("Sam", is_staff=True)
    bomb = MarketType.objects.get(code="awp_opening")

    async def work() -> None:
        async with gate() as opened:
            assert await becomes(opened, acme, set())
            await asyncio.to_thread(switch, acme, trader, 0, awp_kill=Choice.OFF)
            assert await becomes(opened, acme, {"awp_kill"})
            await asyncio.to_thread(
                by_hand, "UPDATE markets_tenantmarkets SET overrides = '{\"knife_kill\": false}'"
            )
            assert await becomes(opened, acme, {"knife_kill"})
            await asyncio.to_thread(retire_type, type_id=bomb.pk, actor=sam, origin=COMMAND_LINE)
            assert await becomes(opened, acme, {"knife_kill", "awp_opening"})
            assert await becomes(opened, globex, {"awp_opening"})
            await asyncio.to_thread(by_hand, "DELETE FROM markets_tenantmarkets")
            assert await becomes(opened, acme, {"awp_opening"})
            with pytest.raises(UnknownTenant):
                await opened.markets.of(uuid.uuid4())

    assert MarketType.objects.filter(code="knife_kill").exists()
    run(work)


def test_what_is_remembered_costs_no_question(acme: Tenant) -> None:
    """Until something is announced, or nothing could be heard any more."""

    async def work() -> None:
        async with gate() as opened:
            first = await opened.markets.of(acme.pk)
            async with asyncio.timeout(SOON_SECONDS):
                while opened.markets.recall(acme.pk) is None:
                    await opened.markets.of(acme.pk)
            assert opened.markets.recall(acme.pk) == first
            opened.markets.begin_epoch()
            assert opened.markets.recall(acme.pk) is None

    run(work)


def test_nobody_is_told_what_cannot_be_known(acme: Tenant) -> None:
    """DatabaseAway, which is a 503."""

    async def work() -> None:
        nowhere = Gate(EdgeSettings({"host": "/nowhere"}))
        with pytest.raises(DatabaseAway):
            await nowhere.markets.of(acme.pk)
        await nowhere.close()

    run(work)


Row = tuple[Any, ...]


@given(steps=st.lists(st.sampled_from(["change", "catalogue", "ask", "answer", "epoch", "hear"])))
def test_any_interleaving_of_reads_and_announcements_ends_in_the_newest_state(
    steps: list[str],
) -> None:
    """A database that answers late, and announcements that come late, but in order."""
    tenant = uuid.uuid4()

    class Slow:
        def __init__(self) -> None:
            self.revision, self.catalogue = 0, 0
            self.asked: list[tuple[asyncio.Future[list[Row]], list[Row]]] = []

        def row(self) -> Row:
            return tenant, self.revision, self.catalogue, [f"{self.revision}", f"c{self.catalogue}"]

        async def ask(self, *_: Any, **__: Any) -> list[Row]:
            answer: asyncio.Future[list[Row]] = asyncio.get_running_loop().create_future()
            self.asked.append((answer, [self.row()]))
            return await answer

        def answer(self) -> None:
            for answer, rows in self.asked:
                answer.set_result(rows)
            self.asked.clear()

    async def work() -> None:
        slow = Slow()
        markets = Markets(slow, lambda _: True)  # type: ignore[arg-type]
        unheard: list[str] = []
        asking: list[asyncio.Task[Any]] = []
        for step in steps:
            if step == "change":
                slow.revision += 1
                unheard.append(f"markets:{tenant}:{slow.revision}")
            elif step == "catalogue":
                slow.catalogue += 1
                unheard.append(f"catalogue:1:{slow.catalogue}")
            elif step == "ask":
                asking.append(asyncio.create_task(markets.of(tenant)))
            elif step == "answer":
                slow.answer()
            elif step == "epoch":
                unheard.clear()
                markets.begin_epoch()
            elif unheard:
                markets.hear(unheard.pop(0))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        for payload in unheard:
            markets.hear(payload)
        asking.append(asyncio.create_task(markets.of(tenant)))
        while not all(task.done() for task in asking):
            slow.answer()
            await asyncio.sleep(0)
        expected = {f"{slow.revision}", f"c{slow.catalogue}"}
        assert asking[-1].result().disabled == expected
        assert (await markets.of(tenant)).disabled == expected
        await markets.close()

    run(work)


def test_a_feed_elsewhere_is_told_the_codes_and_then_only_that_nothing_changed(
    acme: Tenant, trader: User
) -> None:
    """The tag is of revision and catalogue together."""
    switch(acme, trader, 0, awp_kill=Choice.OFF)

    async def work() -> None:
        async with gate() as opened:
            answer = await asked(opened, acme)
            told = json.loads(answer.body)["data"]
            assert answer.status == 200
            assert told["tenant_id"] == str(acme.pk)
            assert (told["revision"], told["disabled"]) == (1, ["awp_kill"])
            headers = dict(answer.headers)
            tag = headers[b"etag"].decode()
            assert tag == f'"1-{told["catalogue_version"]}"'
            assert headers[b"cache-control"] == b"no-store"
            for known in ([tag], ['"0-0"', tag], [f'"0-0", W/{tag}'], ["*"]):
                answer = await asked(opened, acme, *known)
                assert (answer.status, answer.body) == (304, b"")
                assert dict(answer.headers)[b"etag"].decode() == tag
            assert (await asked(opened, acme, '"0-0"')).status == 200

    run(work)


def test_a_feed_that_waits_is_told_at_once(acme: Tenant, trader: User) -> None:
    """And after its time that nothing has changed."""

    async def work() -> None:
        async with gate() as opened:
            tag = dict((await asked(opened, acme)).headers)[b"etag"].decode()
            soon = await asked(opened, acme, tag, query_string=b"wait=1")
            assert soon.status == 304
            waiting = asyncio.create_task(asked(opened, acme, tag, query_string=b"wait=60"))
            await asyncio.sleep(0)
            await asyncio.to_thread(switch, acme, trader, 0, awp_kill=Choice.OFF)
            answer = await asyncio.wait_for(waiting, SOON_SECONDS)
            assert json.loads(answer.body)["data"]["disabled"] == ["awp_kill"]

    run(work)


def test_what_is_no_question_about_a_tenant_is_refused(acme: Tenant) -> None:
    """In the door's own words."""

    async def work() -> list[int]:
        async with gate() as opened:
            return [
                (await asked(opened, uuid.uuid4())).status,
                (await asked(opened, "0" * 36)).status,
                (await asked(opened, "acme")).status,
                (await asked(opened, acme, method="POST")).status,
                (await asked(opened, acme, headers=[(b"accept", b"image/png")])).status,
                (await asked(opened, acme, query_string=b"wait=soon&wait=-1")).status,
            ]

    assert run(work) == [404, 404, 404, 405, 406, 200]
