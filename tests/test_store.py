"""Records out of the directory or out of Postgres: who is asked, how often, when neither can be."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

import pytest
from django.db import connections

from accounts.models import Tenant
from apikeys.edge import reads, strangers
from apikeys.edge.app import Door
from apikeys.edge.database import LANES, Database, DatabaseAway, Rows
from apikeys.edge.directory import Directory
from apikeys.edge.gate import Gate
from apikeys.edge.held import Held
from apikeys.edge.settings import edge_settings
from apikeys.edge.store import Store
from apikeys.models import ApiKey
from portal.lib.crypto import digest
from tests.conftest import MakeKey
from tests.door import opened, run
from tests.test_directory import make_row

UNKNOWN = "vbk_" + "0" * 24


class Counting(Database):
    """Writes down how many secrets each question was about."""

    def __init__(self) -> None:
        super().__init__(edge_settings().database)
        self.asked: list[int] = []

    async def ask(
        self, statement: str, parameters: Sequence[object] = (), *, seconds: float
    ) -> Rows:
        """As it is."""
        (secrets,) = parameters
        assert isinstance(secrets, list)
        self.asked.append(len(secrets))
        return await super().ask(statement, parameters, seconds=seconds)


@pytest.fixture(autouse=True)
def _patience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy with other tests is no outage."""
    monkeypatch.setattr(reads, "PATIENCE_SECONDS", 20 if "acme" in request.fixturenames else 0.05)


@pytest.fixture
def acme(committed_db: None, acme: Tenant) -> Tenant:
    """Acme, committed: the store has connections of its own."""
    return acme


def ask(directory: Directory, calls: Sequence[str]) -> list[int]:
    """All of these secrets at once; about how many Postgres was asked, question by question."""

    async def work() -> list[int]:
        database = Counting()
        database.open()
        asked = Store(database, directory)
        found = await asyncio.gather(*[asked.key_record(secret) for secret in calls])
        for secret, record in zip(calls, found, strict=True):
            assert (record is None) is (secret == UNKNOWN)
        await asked.close()
        await database.close()
        return database.asked

    return run(work)


def believing() -> Directory:
    """One that has just heard."""
    directory = Directory(100)
    directory.prove(monotonic() + 60)
    return directory


def test_many_calls_with_one_missing_key_make_one_query(acme: Tenant, make_key: MakeKey) -> None:
    """And none when it is there; the same for a key that nobody made."""
    _, secret = make_key(acme)
    directory = believing()
    assert ask(directory, [secret] * 50) == [1]
    assert ask(directory, [secret] * 50) == []
    assert ask(directory, [UNKNOWN] * 50) == [1]
    assert ask(directory, [UNKNOWN] * 50) == []


def test_many_missing_keys_are_read_together(acme: Tenant, make_key: MakeKey) -> None:
    """While each lane is at one question, the others wait and make one."""
    secrets = [make_key(acme)[1] for _ in range(10)]
    asked = ask(believing(), secrets)
    assert sum(asked) == 10
    assert len(asked) < 10


def test_while_changes_may_not_be_heard_every_call_is_asked_about(
    acme: Tenant, make_key: MakeKey
) -> None:
    """One after the other, that is: whoever comes at the same moment shares an answer."""
    key, secret = make_key(acme)
    directory = Directory(100)
    assert ask(directory, [secret]) == [1]
    ApiKey.objects.filter(pk=key.pk).update(allowlist=["192.0.2.0/24"])
    assert ask(directory, [secret]) == [1]


def test_a_read_that_was_overruled_on_its_way_is_made_again(
    acme: Tenant, make_key: MakeKey
) -> None:
    """The answer is what came after the announcement."""
    key, secret = make_key(acme)
    directory = believing()

    class Overruled(Counting):
        async def ask(
            self, statement: str, parameters: Sequence[object] = (), *, seconds: float
        ) -> Rows:
            rows = await super().ask(statement, parameters, seconds=seconds)
            if len(self.asked) == 1:
                await asyncio.to_thread(self.change)
                directory.hear(f"key:{key.pk}:2")
            return rows

        def change(self) -> None:
            from django.db import connections  # of this thread alone

            ApiKey.objects.filter(pk=key.pk).update(allowlist=["192.0.2.0/24"])
            connections.close_all()

    async def work() -> None:
        database = Overruled()
        database.open()
        asked = Store(database, directory)
        record = await asked.key_record(secret)
        assert record and [str(network) for network in record.networks] == ["192.0.2.0/24"]
        assert database.asked == [1, 1]
        await asked.close()
        await database.close()

    run(work)


@pytest.mark.parametrize(("grace_seconds", "silent_for", "is_let_in"), [
    (0, 1, False),
    (60, 1, True),
    (60, 100, False),
])  # fmt: skip
def test_in_an_outage_what_is_remembered_is_believed_for_the_grace_alone(
    tmp_path: Path, grace_seconds: int, silent_for: int, is_let_in: bool
) -> None:
    """Which is none unless somebody sets it. What was never read is refused in any case."""
    directory = Directory(100)
    secret = "vbk_" + "a" * 24
    directory.learn(digest(secret), make_row(), directory.moment)
    directory.prove(monotonic() - silent_for)

    async def work() -> None:
        database = Database({"host": str(tmp_path)})
        database.open()
        asked = Store(database, directory, grace_seconds)
        if is_let_in:
            found = await asked.key_record(secret)
            assert found and found.key == make_row().record().key
        else:
            with pytest.raises(DatabaseAway):
                await asked.key_record(secret)
        with pytest.raises(DatabaseAway):
            await asked.key_record(UNKNOWN)
        await asked.close()
        await database.close()

    run(work)


def test_an_answer_that_cannot_be_read_lets_nobody_in_and_nobody_wait() -> None:
    """Each of those who wait for it is told."""

    class Rubbish(Database):
        async def ask(
            self, statement: str, parameters: Sequence[object] = (), *, seconds: float
        ) -> Rows:
            return [("rubbish",)]

    async def work() -> None:
        asked = Store(Rubbish({}), Directory(100))
        found = await asyncio.gather(
            *[asked.key_record(UNKNOWN) for _ in range(3)], return_exceptions=True
        )
        assert [type(each) for each in found] == [DatabaseAway] * 3

    run(work)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE apikeys_apikey SET scopes = scopes || NULL::varchar WHERE id = %s",
        "UPDATE apikeys_apikey SET allowlist = ARRAY[NULL]::cidr[] WHERE id = %s",
        "UPDATE apikeys_apikeysecret SET id = -1 WHERE key_id = %s",
    ],
    ids=["scope", "network", "number"],
)
def test_a_row_that_cannot_be_read_is_no_other_keys_affair(
    acme: Tenant, make_key: MakeKey, damage: str
) -> None:
    """Somebody made it so by hand. Nobody is let in by it, and nobody is kept out."""
    made = [make_key(acme) for _ in range(LANES + 3)]  # the last are read together
    key, damaged = made[-2]
    with connections["owner"].cursor() as cursor:
        cursor.execute(damage, [key.pk])

    async def work() -> list[Held | BaseException | None]:
        database = Database(edge_settings().database)
        database.open()
        asked = Store(database, believing())
        calls = [asked.key_record(secret) for _, secret in made]
        found = await asyncio.gather(*calls, return_exceptions=True)
        await asked.close()
        await database.close()
        return found

    found = dict(zip((secret for _, secret in made), run(work), strict=True))
    assert isinstance(found.pop(damaged), DatabaseAway)
    assert all(isinstance(record, Held) for record in found.values())


def test_a_flood_of_unknown_secrets_waits_and_a_known_one_does_not(
    acme: Tenant, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first ones do not either: somebody has mistyped a key. And that is no wait for us."""
    monkeypatch.setattr(strangers, "PAUSE_SECONDS", 3600)
    monkeypatch.setattr(strangers, "WINDOW_SECONDS", 3600)
    _, live = make_key(acme)
    flood = [f"vbk_{number:024d}" for number in range(strangers.AT_ONCE + 30)]

    async def work() -> tuple[int, int, int]:
        gate = Gate()
        async with opened(Door(gate=gate)) as ask:
            refusals = [asyncio.ensure_future(ask(secret)) for secret in flood]
            while sum(each.done() for each in refusals) < strangers.AT_ONCE:
                await asyncio.sleep(0.001)
            status = (await ask(live)).status
            done = sum(each.done() for each in refusals)
            waits = gate.latency.waits.facts()["counts"]
            assert isinstance(waits, list)
            for each in refusals:
                each.cancel()
        return status, done, sum(waits)

    assert run(work) == (200, strangers.AT_ONCE, len(flood) + 1)
