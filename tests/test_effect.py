"""In how many processes a change is in effect, and after how long: from their acknowledgements."""

import datetime as dt
from uuid import uuid4

import pytest
from django.db import connection

from accounts.models import Tenant
from accounts.origin import COMMAND_LINE
from apikeys import upkeep
from apikeys.edge import attendance
from apikeys.edge.attendance import Attendance
from apikeys.edge.database import Database
from apikeys.edge.directory import Directory
from apikeys.models import (
    Acknowledgement,
    Announcement,
    ApiKey,
    Canary,
    DoorProcess,
    PropagationRun,
)
from apikeys.propagation import Effect, await_effect, effect_of
from apikeys.services import change_contract
from apikeys.upkeep import forget_propagation, measure_propagation
from portal.lib import clock
from tests.conftest import MakeKey
from tests.effect import PATIENCE, a_process, aside, edited, nobody_can_ask, with_doors

LISTENERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = 'machine door listener' AND datname = current_database()
"""


@pytest.fixture
def acme(committed_db: None, acme: Tenant) -> Tenant:
    """Acme, committed: doors have connections of their own."""
    return acme


def test_a_change_is_in_effect_when_every_process_has_said_so(
    acme: Tenant, make_key: MakeKey
) -> None:
    """Key, contract and tenant alike; each process for itself."""
    key, _ = make_key(acme)

    def change() -> list[Effect | None]:
        version = edited(key)
        by_key = await_effect("key", key.pk, version, seconds=PATIENCE)
        terms = {"limit_rpm": 7}
        contract = change_contract(tenant=acme, actor=None, origin=COMMAND_LINE, terms=terms)
        by_contract = await_effect("contract", acme.pk, contract.version, seconds=PATIENCE)
        Tenant.objects.filter(pk=acme.pk).update(name="Renamed")
        return [by_key, by_contract, await_effect("tenant", acme.pk, 2, seconds=PATIENCE)]

    async def work() -> None:
        for effect in await aside(change):
            assert effect and (effect.reached, effect.processes) == (2, 2)
            assert effect.seconds is not None and 0 < effect.seconds < PATIENCE
            assert effect.sentence.startswith("In effect on every process after ")

    with_doors(2, work)


def test_a_process_that_has_ended_does_not_count_and_one_that_is_silent_does(
    acme: Tenant, make_key: MakeKey
) -> None:
    """The silent one for a while: nobody knows what it believes."""
    key, _ = make_key(acme)

    async def work() -> None:
        return

    with_doors(1, work)
    assert not DoorProcess.objects.exists()
    version = edited(key)
    assert effect_of("key", key.pk, version) == Effect(0, 0, None)
    silent = a_process()
    effect = effect_of("key", key.pk, version)
    assert effect and not effect.is_everywhere
    assert effect.sentence == "Not yet everywhere: in effect in 0 of 1 processes."
    silent.counted_until = clock.now() - dt.timedelta(seconds=1)
    silent.save()
    assert effect_of("key", key.pk, version) == Effect(0, 0, None)


def test_an_older_acknowledgement_is_none(acme: Tenant, make_key: MakeKey) -> None:
    """Of a lower version, or of a row that had the same id and version before."""
    key, _ = make_key(acme)
    process = a_process()
    version = edited(key)
    now = Announcement.objects.get(kind="key", name=str(key.pk)).at
    said = {"kind": "key", "name": str(key.pk), "process": process.id}
    for number, heard_at in (
        (version - 1, now + dt.timedelta(seconds=1)),
        (version, now - dt.timedelta(seconds=1)),
    ):
        Acknowledgement.objects.all().delete()
        Acknowledgement.objects.create(version=number, heard_at=heard_at, **said)
        effect = effect_of("key", key.pk, version)
        assert effect and effect.reached == 0
    Acknowledgement.objects.update(version=version, heard_at=now + dt.timedelta(seconds=0.25))
    DoorProcess.objects.update(started_at=now - dt.timedelta(minutes=1))
    effect = effect_of("key", key.pk, version)
    assert effect and effect.sentence == "In effect on every process after 0.3 s (1 of 1)."
    assert effect_of("key", key.pk, version + 1) is None


def test_what_was_announced_while_nobody_listened_is_acknowledged_later(
    acme: Tenant, make_key: MakeKey
) -> None:
    """A listener that comes back believes nothing from before, and says so."""
    key, _ = make_key(acme)

    def change() -> Effect | None:
        with connection.cursor() as cursor:
            cursor.execute(LISTENERS)
        return await_effect("key", key.pk, edited(key), seconds=PATIENCE)

    async def work() -> None:
        for _ in range(5):
            effect = await aside(change)
            assert effect and effect.is_everywhere

    with_doors(1, work)


def test_a_process_is_slow_to_say_what_it_cannot_write_and_says_it_then(
    acme: Tenant, make_key: MakeKey
) -> None:
    """With the moment at which it heard."""
    key, _ = make_key(acme)

    def change() -> Effect | None:
        with nobody_can_ask():
            version = edited(key)
            effect = await_effect("key", key.pk, version)
            assert effect and not effect.is_known and not effect.is_everywhere
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(0.5)")
        return await_effect("key", key.pk, version, seconds=PATIENCE)

    async def work() -> None:
        effect = await aside(change)
        assert effect and effect.is_everywhere and effect.seconds
        assert effect.seconds < 0.5

    with_doors(1, work)


def test_what_is_not_said_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a storm of changes, or while nothing can be written."""
    monkeypatch.setattr(attendance, "MOST_UNSAID", 3)
    made = Attendance(Database({}), Directory(1), dict)
    for number in range(9):
        made.hear(f"key:{number % 4}:{number}")
    for nothing in ("*", "secret:1:2", "key:1:0", "key", "key:2:x", ""):
        made.hear(nothing)
    assert {name: version for (_, name), (version, _) in made._unsaid.items()} == {"2": 6, "3": 7}


def test_the_canary_measures_and_opens_nothing(acme: Tenant) -> None:
    """It is announced as a key, and has neither tenant nor secret."""

    def fly() -> None:
        for number in range(1, 3):
            effect = measure_propagation()
            assert effect and effect.is_everywhere and effect.processes == 2
            found = PropagationRun.objects.order_by("-at").first()
            assert found and (found.processes, found.reached) == (2, 2)
            assert found.seconds == effect.seconds and PropagationRun.objects.count() == number
        canary = Canary.objects.get()
        assert Announcement.objects.filter(kind="key", name=str(canary.pk)).exists()
        assert not ApiKey.objects.filter(pk=canary.pk).exists()

    with_doors(2, lambda: aside(fly))


def test_a_canary_that_is_late_is_recorded_as_late(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "CANARY_SECONDS", 0.05)
    a_process()
    measure_propagation()
    found = PropagationRun.objects.get()
    assert (found.processes, found.reached, found.seconds) == (1, 0, None)


def test_what_nobody_asks_about_any_more_is_forgotten(acme: Tenant, make_key: MakeKey) -> None:
    key, _ = make_key(acme)
    edited(key)
    process, gone = a_process(), uuid4()
    for said_by in (process.id, gone):
        Acknowledgement.objects.create(
            kind="key", name=str(key.pk), process=said_by, version=2, heard_at=clock.now()
        )
    forget_propagation()
    assert Acknowledgement.objects.count() == 1 and Announcement.objects.exists()
    clock.move(dt.timedelta(hours=2))
    forget_propagation()
    left = [Acknowledgement, Announcement, DoorProcess]
    assert [model.objects.count() for model in left] == [0, 0, 0]


def test_new_keys_and_secrets_are_not_kept_as_changes(acme: Tenant, make_key: MakeKey) -> None:
    """Nobody can remember them: there would be nothing to wait for."""
    Announcement.objects.all().delete()
    key, _ = make_key(acme)
    assert not Announcement.objects.exists()
    edited(key)
    assert [str(change) for change in Announcement.objects.all()] == [f"key:{key.pk}:{key.version}"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relpersistence = 'u'")
        unlogged = {name for (name,) in cursor.fetchall()}
    tables = {"apikeys_announcement", "apikeys_acknowledgement", "apikeys_doorprocess"}
    assert tables <= unlogged


@pytest.mark.parametrize(
    "said", ["key:1:99999999999999999999", f"key:{'0' * 41}:1", f"{'k' * 17}:1:1"]
)
def test_what_no_trigger_says_keeps_no_process_from_saying_what_it_heard(
    acme: Tenant, make_key: MakeKey, said: str
) -> None:
    """Anybody in the database may announce; no column holds these."""
    key, _ = make_key(acme)

    def change() -> Effect | None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify('portal_changes', %s)", [said])
        return await_effect("key", key.pk, edited(key), seconds=PATIENCE)

    async def work() -> None:
        effect = await aside(change)
        assert effect and (effect.reached, effect.processes) == (1, 1)

    with_doors(1, work)
