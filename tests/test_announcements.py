"""What the database announces of itself, and how the machine door listens to it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings

from accounts.models import Tenant, User
from apikeys.edge import listener, reads
from apikeys.edge.app import Door
from apikeys.edge.directory import MISSING, Directory
from apikeys.edge.listener import CHANNEL, Listener
from apikeys.edge.settings import edge_settings
from apikeys.models import ApiKeySecret
from markets.models import Catalogue
from tests.conftest import DATABASE, MakeKey, with_database
from tests.door import code, opened, run
from tests.markets import switch
from tests.test_directory import learnt

SOON_SECONDS = 20  # for a machine that is busy besides


@pytest.fixture
def acme(committed_db: None, acme: Tenant) -> Tenant:
    """Acme, committed: what is announced is announced by a COMMIT."""
    return acme


def owner() -> psycopg.Connection[Any]:
    """A connection as the owner of the tables, each statement a transaction."""
    url = with_database(settings.DATABASE_OWNER_URL, DATABASE)
    return psycopg.connect(url, autocommit=True)


def announced_by(*statements: str) -> list[str]:
    """The announcements of one transaction with these."""
    with closing(owner()) as hearing, closing(owner()) as acting:
        hearing.execute(f"LISTEN {CHANNEL}")
        with acting.transaction():
            for statement in statements:
                acting.execute(statement)
        hearing.execute("SELECT 1")
        return [each.payload for each in hearing.notifies(timeout=0)]


def test_each_change_of_a_row_is_announced_by_kind_id_and_version(
    acme: Tenant, make_key: MakeKey
) -> None:
    """Whoever makes it, here somebody in psql; the versions are the triggers' own."""
    key, _ = make_key(acme)
    secret = ApiKeySecret.objects.get(key=key)
    for table, kind, row_id, column in [
        ("accounts_tenant", "tenant", acme.pk, "id"),
        ("apikeys_contract", "contract", acme.pk, "tenant_id"),
        ("apikeys_apikey", "key", key.pk, "id"),
        ("apikeys_apikeysecret", "secret", secret.pk, "id"),
    ]:
        change = f"UPDATE {table} SET version = 99 WHERE {column} = '{row_id}'"
        assert announced_by(change) == [f"{kind}:{row_id}:2"]
        assert announced_by(change, change) == [f"{kind}:{row_id}:3", f"{kind}:{row_id}:4"]


def test_a_change_of_markets_is_announced_as_the_revision_that_it_is(
    acme: Tenant, tina: User, catalogue: None
) -> None:
    """Of a tenant's choices by its revision; of the catalogue, to all, by its version."""
    switch(acme, tina, ace="off")
    by_hand = "UPDATE markets_tenantmarkets SET default_on = false"
    assert announced_by(by_hand) == [f"markets:{acme.pk}:2"]
    assert announced_by("DELETE FROM markets_tenantmarkets") == [f"markets:{acme.pk}:0"]
    version = Catalogue.objects.get().version
    for change in (
        "UPDATE markets_markettype SET retired_at = now() WHERE code = 'ace'",
        "DELETE FROM markets_markettype WHERE code = 'ace'",
        "UPDATE markets_sport SET name_en = 'CS2'",
    ):
        (announced,) = announced_by(change)
        kind, row_id, number = announced.split(":")
        assert (kind, row_id) == ("catalogue", "1") and int(number) > version
        version = int(number)
    assert announced_by("TRUNCATE markets_tenantmarkets") == ["*"]


def test_a_row_that_comes_or_goes_is_announced(acme: Tenant, make_key: MakeKey) -> None:
    """One that goes without a version: its successor would count from 1."""
    key, _ = make_key(acme)
    secret = ApiKeySecret.objects.get(key=key)
    gone = announced_by(f"DELETE FROM apikeys_apikeysecret WHERE id = {secret.pk}")
    assert gone == [f"secret:{secret.pk}:0"]
    back = "INSERT INTO apikeys_apikeysecret SELECT * FROM kept"
    kept = "CREATE TEMP TABLE kept AS TABLE apikeys_apikeysecret"
    secret.save(force_insert=True)
    drop = f"DELETE FROM apikeys_apikeysecret WHERE id = {secret.pk}"
    assert announced_by(kept, drop, back) == [f"secret:{secret.pk}:0", f"secret:{secret.pk}:1"]
    renumber = f"UPDATE apikeys_apikeysecret SET id = 4711 WHERE id = {secret.pk}"
    assert announced_by(renumber) == [f"secret:{secret.pk}:0", "secret:4711:2"]


def test_a_table_that_is_emptied_is_announced_as_everything(acme: Tenant) -> None:
    """TRUNCATE runs no row's trigger."""
    assert announced_by("TRUNCATE apikeys_apikeysecret") == ["*"]


def test_what_no_verdict_depends_on_is_not_announced(acme: Tenant, make_key: MakeKey) -> None:
    """The use of a key, for one."""
    key, _ = make_key(acme)
    used = f"INSERT INTO apikeys_keyuse VALUES ('{key.pk}', now(), NULL)"
    assert announced_by(used) == []


def listening(
    work: Callable[[Directory], Awaitable[None]], database: dict[str, str] | None = None
) -> None:
    """Runs the work beside a listener."""

    async def around() -> None:
        directory = Directory(100)
        listens = Listener(database or edge_settings().database, directory)
        listens.open()
        await work(directory)
        await listens.close()

    run(around)


async def until(is_so: Callable[[], bool]) -> None:
    """Waits for it."""
    async with asyncio.timeout(SOON_SECONDS):
        while not is_so():
            await asyncio.sleep(0.005)


def test_what_is_announced_is_heard(acme: Tenant) -> None:
    """And until then what was learnt is believed."""

    async def work(directory: Directory) -> None:
        await until(directory.is_fresh)
        sha = learnt(directory, 1)
        assert directory.find(sha) is not MISSING
        await asyncio.to_thread(announced_by, f"NOTIFY {CHANNEL}, 'secret:1:2'")
        await until(lambda: directory.find(sha) is MISSING)

    listening(work)


def test_what_was_learnt_before_it_listened_is_not_believed(acme: Tenant) -> None:
    """Nor what was read before the connection was lost, on the next one."""

    async def work(directory: Directory) -> None:
        sha = learnt(directory, 1)
        await until(directory.is_fresh)
        assert directory.find(sha) is MISSING
        learnt(directory, 1)
        begun = directory.moment
        await asyncio.to_thread(terminate)
        await until(lambda: directory.moment > begun)
        assert directory.find(sha) is MISSING

    listening(work)


def terminate() -> None:
    """End the listener's session, as its own role may."""
    with psycopg.connect(with_database(settings.DATABASE_URL, DATABASE)) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'machine door listener' AND datname = current_database()"
        )


@contextmanager
def disabled(table: str, trigger: str) -> Iterator[None]:
    """One of its triggers is off."""
    with closing(owner()) as connection:
        connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
        try:
            yield
        finally:
            connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER {trigger}")


@pytest.mark.parametrize(("table", "trigger"), listener.TRIGGERS)
def test_where_a_trigger_is_off_nothing_is_believed(
    acme: Tenant, caplog: pytest.LogCaptureFixture, table: str, trigger: str
) -> None:
    """Silence proves nothing then; the log says what is to be done."""

    async def work(directory: Directory) -> None:
        await until(lambda: "run `migrate`" in caplog.text)
        assert not directory.is_fresh()

    with disabled(table, trigger), caplog.at_level(logging.WARNING):
        listening(work)


def past_the_triggers(trigger: str, change: str) -> None:
    """A change that is not announced as one, by somebody who leaves no trace in one go."""
    with closing(owner()) as acting, acting.transaction():
        acting.execute(f"ALTER TABLE apikeys_apikey DISABLE TRIGGER {trigger}")
        acting.execute(change)
        acting.execute(f"ALTER TABLE apikeys_apikey ENABLE TRIGGER {trigger}")


@pytest.mark.parametrize("trigger", ["set_version", "announce", "USER"])
def test_a_revocation_past_a_trigger_is_met_while_that_is_off_and_afterwards(
    acme: Tenant, make_key: MakeKey, trigger: str
) -> None:
    """Without `set_version` it is announced under the version that is remembered already."""
    keys = [make_key(acme) for _ in range(3)]

    async def work() -> None:
        door = Door()
        async with opened(door) as ask:
            assert door._gate._parts
            is_fresh = door._gate._parts.directory.is_fresh

            async def is_met(revoke: Callable[[str], object], number: int) -> bool:
                key, secret = keys[number]
                statement = f"UPDATE apikeys_apikey SET revoked_at = now() WHERE id = '{key.pk}'"
                assert (await ask(secret)).status == 200
                await asyncio.to_thread(revoke, statement)
                async with asyncio.timeout(SOON_SECONDS):
                    while (await ask(secret)).status == 200:
                        await asyncio.sleep(0.005)
                return code(await ask(secret)) == (403, "key_revoked")

            await until(is_fresh)
            with disabled("apikeys_apikey", trigger):
                assert await is_met(announced_by, 0)
            await until(is_fresh)
            assert code(await ask(keys[0][1])) == (403, "key_revoked")
            assert await is_met(announced_by, 1)
            assert await is_met(partial(past_the_triggers, trigger), 2)

    run(work)


def test_a_server_that_takes_connections_and_says_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As one does that is frozen, or was cut off without a word."""
    monkeypatch.setattr("apikeys.edge.line.CONNECT_SECONDS", 0.02)

    async def work() -> None:
        path = tmp_path / ".s.PGSQL.5432"
        server = await asyncio.start_unix_server(lambda *_: asyncio.sleep(60), path)
        directory = Directory(100)
        listens = Listener({"host": str(tmp_path)}, directory)
        listens.open()
        await until(lambda: "no connection within" in caplog.text)
        assert not directory.is_fresh()
        await listens.close()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    run(work)


def test_a_door_believes_what_it_heard_and_asks_when_it_heard_a_change(
    acme: Tenant, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its tables locked it goes on for keys that it knows, and refuses nobody falsely."""
    monkeypatch.setattr(reads, "PATIENCE_SECONDS", 0.5)
    key, secret = make_key(acme)
    _, other = make_key(acme)

    async def work() -> None:
        door = Door()
        async with opened(door) as ask:
            assert door._gate._parts
            await until(door._gate._parts.store._directory.is_fresh)
            assert (await ask(secret)).status == 200
            with closing(owner()) as locking, locking.transaction():
                await asyncio.to_thread(
                    locking.execute, "LOCK TABLE apikeys_apikey IN ACCESS EXCLUSIVE MODE"
                )
                assert (await ask(secret)).status == 200
                assert code(await ask(other)) == (503, "unavailable")
            await asyncio.to_thread(
                announced_by, f"UPDATE apikeys_apikey SET revoked_at = now() WHERE id = '{key.pk}'"
            )
            async with asyncio.timeout(SOON_SECONDS):
                while (await ask(secret)).status == 200:
                    await asyncio.sleep(0.005)
            assert code(await ask(secret)) == (403, "key_revoked")

    run(work)
