"""When and from where a key was last let in: noted by the machine door, written later."""

import asyncio
import datetime as dt
import ipaddress
import uuid
from collections.abc import Awaitable, Callable

import pytest
from django.db import connections

from accounts.models import Tenant
from apikeys.edge import last_use, store
from apikeys.edge.app import Door
from apikeys.edge.database import Database
from apikeys.edge.last_use import LastUse
from apikeys.edge.settings import edge_settings
from apikeys.models import ApiKey, KeyUse
from portal.lib import clock
from tests.conftest import MakeKey
from tests.door import opened, rename_table, run

OFFICE = ipaddress.ip_address("203.0.113.7")
HOME = ipaddress.ip_address("2001:db8::1")


@pytest.fixture
def acme(committed_db: None, acme: Tenant) -> Tenant:
    """Acme, committed: the door has connections of its own."""
    return acme


def use_of(key: ApiKey) -> tuple[dt.datetime, str] | None:
    """When and from where the database says that the key was last let in."""
    use = KeyUse.objects.filter(key=key).first()
    return (use.last_used_at, use.last_address) if use else None


def noting(work: Callable[[LastUse], Awaitable[None]]) -> None:
    """Runs the work with notes that are written at its end."""

    async def around() -> None:
        database = Database(edge_settings().database)
        database.open()
        notes = LastUse(database)
        await work(notes)
        await notes.close()
        await database.close()

    run(around)


def note(*uses: tuple[uuid.UUID, last_use.Address | None]) -> None:
    """Notes these uses, and has them written."""

    async def work(notes: LastUse) -> None:
        for key_id, address in uses:
            notes.note(key_id, address)

    noting(work)


def test_a_call_that_was_let_in_is_a_use_and_a_refused_one_is_none(
    acme: Tenant, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written when the door closes at the latest, with time and address."""
    monkeypatch.setattr(store, "PATIENCE_SECONDS", 20)  # for a machine that is busy besides
    used, secret = make_key(acme)
    unused, other_secret = make_key(acme, allowlist=["192.0.2.0/24"])

    async def work() -> None:
        async with opened(Door()) as ask:
            await ask(secret)
            await ask(other_secret)
            await ask(other_secret, peer="192.0.2.1", path="/v1/nothing")

    run(work)
    found = use_of(used)
    assert found and found[1] == "203.0.113.7"
    assert abs(clock.now() - found[0]) < dt.timedelta(minutes=1)
    assert use_of(unused) is None


def test_uses_are_written_while_the_door_is_open(
    acme: Tenant, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every few seconds; here, at once."""
    monkeypatch.setattr(last_use, "FLUSH_SECONDS", 0.001)
    key, _ = make_key(acme)

    async def work(notes: LastUse) -> None:
        notes.open()
        notes.note(key.pk, OFFICE)
        async with asyncio.timeout(5):
            while not await asyncio.to_thread(is_written):
                await asyncio.sleep(0.005)

    def is_written() -> bool:
        try:
            return use_of(key) is not None
        finally:
            connections.close_all()

    noting(work)


def test_the_last_use_never_moves_backwards(acme: Tenant, make_key: MakeKey) -> None:
    """Another process may have written a later one."""
    key, _ = make_key(acme)
    later = clock.now() + dt.timedelta(minutes=5)
    KeyUse.objects.create(key=key, last_used_at=later, last_address="192.0.2.99")
    note((key.pk, OFFICE))
    assert use_of(key) == (later, "192.0.2.99")
    clock.move(dt.timedelta(minutes=10))
    note((key.pk, HOME))
    found = use_of(key)
    assert found and found[0] > later and found[1] == "2001:db8::1"


def test_the_last_of_several_uses_is_the_one_written(acme: Tenant, make_key: MakeKey) -> None:
    """Each key's own; an address that could not be read is none."""
    one, _ = make_key(acme)
    other, _ = make_key(acme)
    note((one.pk, OFFICE), (other.pk, OFFICE), (one.pk, HOME), (other.pk, None))
    assert [found and found[1] for found in (use_of(one), use_of(other))] == ["2001:db8::1", None]


def test_a_use_during_a_write_waits_for_the_next_one(acme: Tenant, make_key: MakeKey) -> None:
    """A key in constant use is written every few seconds, not all the time."""
    key, _ = make_key(acme)
    seen: list[str | None] = []

    def look() -> None:
        found = use_of(key)
        seen.append(found and found[1])
        connections.close_all()

    async def work(notes: LastUse) -> None:
        notes.note(key.pk, OFFICE)
        writing = asyncio.create_task(notes.flush())
        await asyncio.sleep(0)
        notes.note(key.pk, HOME)
        await writing
        await asyncio.to_thread(look)

    noting(work)
    look()
    assert seen == ["203.0.113.7", "2001:db8::1"]


def test_a_key_deleted_meanwhile_does_not_keep_the_others_from_being_written(
    acme: Tenant, make_key: MakeKey
) -> None:
    """It is left out."""
    key, _ = make_key(acme)
    note((uuid.uuid4(), None), (key.pk, OFFICE), (uuid.uuid4(), HOME))
    assert use_of(key)
    assert KeyUse.objects.count() == 1


def test_more_uses_than_a_statement_takes_are_all_written(
    acme: Tenant, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In several."""
    monkeypatch.setattr(last_use, "BATCH", 2)
    keys = [make_key(acme)[0] for _ in range(5)]
    note(*[(key.pk, OFFICE) for key in keys])
    assert KeyUse.objects.count() == 5


def test_what_could_not_be_written_is_kept_and_written_later(
    acme: Tenant, make_key: MakeKey, caplog: pytest.LogCaptureFixture
) -> None:
    """Here the table was away for two tries; the log says so once."""
    key, _ = make_key(acme)

    async def work(notes: LastUse) -> None:
        notes.note(key.pk, OFFICE)
        rename_table("apikeys_keyuse", "apikeys_keyuse_away")
        try:
            await notes.flush()
            await notes.flush()
        finally:
            rename_table("apikeys_keyuse_away", "apikeys_keyuse")

    noting(work)
    assert use_of(key)
    assert caplog.text.count("is not written") == 1


def test_while_nothing_can_be_written_what_is_kept_is_bounded(
    acme: Tenant, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys that are noted already go on being noted."""
    monkeypatch.setattr(last_use, "MOST_NOTED", 2)
    keys = [make_key(acme)[0] for _ in range(3)]
    note(*[(key.pk, OFFICE) for key in keys], (keys[0].pk, HOME))
    found = [use_of(key) for key in keys]
    assert found[0] and found[0][1] == "2001:db8::1"
    assert found[1] and not found[2]
