"""What is remembered while Postgres, or the listener alone, is out of reach: when it is believed.

Between a door and its Postgres lies a wire, that can be cut, and can lose what is sent over it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
import pytest
from django.conf import settings

from accounts.models import Tenant
from apikeys.edge import directory as directories
from apikeys.edge import reads
from apikeys.edge.again import Parts
from apikeys.edge.app import Door
from apikeys.edge.calls import Scope
from apikeys.edge.gate import Gate
from apikeys.edge.guard import Guard
from apikeys.edge.settings import EdgeSettings, edge_settings
from apikeys.models import ApiKey
from examples.feed.feed import Feed
from portal.lib import clock
from tests.conftest import DATABASE, MakeKey, with_database
from tests.door import Ask, call, code, opened, run
from tests.effect import aside
from tests.usage import calls_of

pytestmark = pytest.mark.usefixtures("door_beside")

LISTENER = b"machine door listener\0"
BELIEVED_SECONDS = 0.6  # after the last proof, says docs/operations.md
SOON_SECONDS = 20  # a bound, not an expectation


@dataclass(eq=False)
class Line:
    """A connection. hello: the first that was sent over it, which names the program."""

    near: asyncio.StreamWriter
    hello: bytes = b""
    is_lost: bool = False


class Wire:
    """From a socket in the folder to the Postgres of the tests."""

    def __init__(self, folder: Path) -> None:
        database = edge_settings().database
        self._host, self._port = database["host"], database.get("port", "5432")
        self._folder = folder
        self._lines: set[Line] = set()
        self._carrying: set[asyncio.Task[Any]] = set()
        self._loses = self._cuts = b"nobody"

    @property
    def settings(self) -> EdgeSettings:
        """The environment's, but by way of this wire."""
        given = edge_settings()
        return replace(
            given, database={**given.database, "host": str(self._folder), "port": "5432"}
        )

    def lose(self, whose: bytes = b"") -> None:
        """What is sent arrives nowhere, over connections that stay open and new ones alike."""
        self._loses = whose
        for line in self._lines:
            line.is_lost |= whose in line.hello

    def cut(self, whose: bytes = b"") -> None:
        """Connections are closed, and new ones at once."""
        self._cuts = whose
        for line in self._lines:
            if whose in line.hello:
                line.near.close()

    def mend(self) -> None:
        """New connections are as good as ever; what was lost is lost."""
        self._loses = self._cuts = b"nobody"

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[None]:
        """Until the block ends."""
        path = self._folder / ".s.PGSQL.5432"
        server = await asyncio.start_unix_server(self._take, path)
        try:
            yield
        finally:
            server.close()
            for line in self._lines:
                line.near.close()
            await asyncio.gather(*self._carrying)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._carrying.add(task)
        line = Line(writer)
        self._lines.add(line)
        try:
            line.hello = await reader.read(65536)
            line.is_lost = self._loses in line.hello
            if self._cuts not in line.hello:
                await self._carry(line, reader)
        finally:
            writer.close()
            self._lines.discard(line)
            self._carrying.discard(task)

    async def _carry(self, line: Line, reader: asyncio.StreamReader) -> None:
        far, beyond = await self._reach()
        if not line.is_lost:
            beyond.write(line.hello)
        copying = [
            asyncio.create_task(_copy(line, reader, beyond)),
            asyncio.create_task(_copy(line, far, line.near)),
        ]
        try:
            await asyncio.wait(copying, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in copying:
                each.cancel()
            await asyncio.gather(*copying, return_exceptions=True)
            beyond.close()

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._host.startswith("/"):
            return await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._port}")
        return await asyncio.open_connection(self._host, int(self._port))


async def _copy(line: Line, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        if not line.is_lost:
            target.write(data)


@pytest.fixture
def wire(tmp_path: Path, django_db_setup: None) -> Wire:
    """A good one."""
    return Wire(tmp_path)


async def until(is_so: Callable[[], bool]) -> None:
    """Waits for it."""
    async with asyncio.timeout(SOON_SECONDS):
        while not is_so():
            await asyncio.sleep(0.005)


async def believing(gate: Gate) -> None:
    """Until it has just heard."""
    await until(lambda: bool(gate._parts and gate._parts.directory.is_fresh()))


async def warm(door: Door, ask: Ask, *secrets: str) -> None:
    """Until a call with each is answered the short way (apikeys.edge.again)."""
    await believing(door.gate)
    answers: list[Parts | None] = []
    way = door.gate.answer_again

    def note(scope: Scope) -> Parts | None:
        answers.append(way(scope))
        return answers[-1]

    door.gate.answer_again = note
    for secret in secrets:
        async with asyncio.timeout(SOON_SECONDS):
            while (await ask(secret)).status != 200 or answers[-1] is None:
                await asyncio.sleep(0.005)
    door.gate.answer_again = way


def revoke(key: ApiKey) -> None:
    """By hand."""
    ApiKey.objects.filter(pk=key.pk).update(revoked_at=clock.now())


@pytest.mark.parametrize("break_", [Wire.lose, Wire.cut], ids=["silent", "gone"])
@pytest.mark.parametrize(
    ("grace", "expected"), [(None, [503, 503, 503]), ("60", [200, 200, 503])], ids=["none", "60"]
)
def test_while_postgres_is_away_a_known_key_is_let_in_for_the_grace_alone(
    acme: Tenant,
    make_key: MakeKey,
    wire: Wire,
    monkeypatch: pytest.MonkeyPatch,
    break_: Callable[[Wire], None],
    grace: str | None,
    expected: list[int],
) -> None:
    """At the machine door and at a feed; and what it did meanwhile is counted afterwards, once."""
    if grace:
        monkeypatch.setenv("EDGE_OUTAGE_GRACE_SECONDS", grace)
    key, secret = make_key(acme)
    _, unread = make_key(acme)
    gate = Gate(wire.settings)
    guard = Guard(Feed(), gate=gate)
    later = 0.0
    monkeypatch.setattr(directories, "monotonic", lambda: monotonic() + later)
    seen: list[int] = []

    async def work() -> None:
        nonlocal later
        door = Door(gate=gate)
        async with wire.laid(), opened(door) as ask:
            await warm(door, ask, secret)
            known = calls_noted(gate)
            assert (await call(guard, secret, path="/cs2/v1/matches")).status == 200
            monkeypatch.setattr(reads, "PATIENCE_SECONDS", 0.15)
            break_(wire)
            for later in (BELIEVED_SECONDS, 30.0, 61.0):
                replies = [await ask(secret), await call(guard, secret, path="/cs2/v1/matches")]
                assert replies[0].status == replies[1].status, later
                seen.append(replies[0].status)
                assert code(await ask(unread)) == (503, "unavailable")
            await aside(lambda: revoke(key))
            assert code(await ask(secret)) == (503, "unavailable")
            monkeypatch.setattr(reads, "PATIENCE_SECONDS", 20)
            wire.mend()
            async with asyncio.timeout(SOON_SECONDS):
                while (reply := await ask(secret)).status == 503:
                    await asyncio.sleep(0.01)
            assert code(reply) == (403, "key_revoked")
            counted.update(allowed=known + 1 + 2 * seen.count(200), key_revoked=1)

    counted: dict[str, int] = {}
    run(work)
    assert seen == expected
    assert calls_of(key) == counted


def calls_noted(gate: Gate) -> int:
    """How many it has let in."""
    assert gate._parts
    return gate._parts.usage.allowed


@pytest.mark.parametrize("break_", [Wire.lose, Wire.cut], ids=["half-open", "closed"])
def test_while_the_listener_is_lost_nobody_is_let_in_by_what_was_remembered(
    acme: Tenant, make_key: MakeKey, wire: Wire, break_: Callable[[Wire, bytes], None]
) -> None:
    """Though the call is like the one before it; nor is anybody who comes when it is back."""
    (one, first), (other, second), (_, third) = (make_key(acme) for _ in range(3))

    async def work() -> None:
        door = Door(wire.settings)
        async with wire.laid(), opened(door) as ask:
            await warm(door, ask, first, second, third)
            break_(wire, LISTENER)
            await asyncio.sleep(BELIEVED_SECONDS)
            await aside(lambda: revoke(one))
            assert code(await ask(first)) == (403, "key_revoked")
            assert (await ask(third)).status == 200
            await aside(lambda: revoke(other))
            wire.mend()
            await believing(door.gate)
            assert code(await ask(second)) == (403, "key_revoked")
            assert (await ask(third)).status == 200

    run(work)


def test_a_listener_whose_connection_is_half_open_is_soon_replaced(
    acme: Tenant, make_key: MakeKey, wire: Wire
) -> None:
    """Its socket is open, and nothing arrives any more: two timers of 0.6 seconds together."""
    key, secret = make_key(acme)

    async def work() -> None:
        door = Door(wire.settings)
        async with wire.laid(), opened(door) as ask:
            await warm(door, ask, secret)
            parts = door.gate._parts
            assert parts and parts.listener
            losses, moment = parts.listener.losses, parts.directory.moment
            # Both are measured by the same event loop, however busy the machine is.
            napping = asyncio.create_task(asyncio.sleep(3 * BELIEVED_SECONDS))
            wire.lose(LISTENER)
            wire.mend()
            await until(lambda: parts.listener is not None and parts.listener.losses > losses)
            assert not napping.done()
            await until(lambda: parts.directory.moment > moment)
            await believing(door.gate)
            await warm(door, ask, secret)
            await aside(lambda: revoke(key))
            async with asyncio.timeout(SOON_SECONDS):
                while (reply := await ask(secret)).status == 200:
                    await asyncio.sleep(0.005)
            assert code(reply) == (403, "key_revoked")
            await napping

    run(work)


def without_limit(body: Any) -> bool:
    """What whoami says of a key without a contract."""
    return bool(body.get("data", {}).get("rate_limit_rpm") == 0)


@pytest.mark.parametrize(
    ("table", "is_so"),
    [
        ("apikeys_apikeysecret", lambda body: body.get("code") == "key_invalid"),
        ("apikeys_apikey CASCADE", lambda body: body.get("code") == "key_invalid"),
        ("apikeys_contract", without_limit),
    ],
)
def test_a_table_that_is_emptied_ends_the_short_way_of_a_call(
    acme: Tenant, make_key: MakeKey, table: str, is_so: Callable[[Any], bool]
) -> None:
    """TRUNCATE is announced by another trigger than changes of rows, and as everything."""
    _, secret = make_key(acme)

    async def work() -> None:
        door = Door()
        async with opened(door) as ask:
            await warm(door, ask, secret)
            before = (await ask(secret)).body
            await asyncio.to_thread(truncate, table)
            async with asyncio.timeout(SOON_SECONDS):
                while (after := (await ask(secret)).body) == before:
                    await asyncio.sleep(0.005)
            assert is_so(json.loads(after)), after

    run(work)


def truncate(table: str) -> None:
    """As the owner of the tables."""
    with psycopg.connect(with_database(settings.DATABASE_OWNER_URL, DATABASE)) as owner:
        owner.execute(f"TRUNCATE {table}")
