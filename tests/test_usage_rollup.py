"""Calls by the minute become hours and days, and none is lost or counted twice on the way."""

import datetime as dt
import random
from collections import Counter
from functools import partial
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from procrastinate.contrib.django import app

from accounts.models import Tenant, User
from apikeys import rollup
from apikeys.charts import SPANS
from apikeys.models import ApiKey, CountedHour, DoorProcess, KeyCalls, Period
from apikeys.tasks import forget_use, keep_usage
from apikeys.usage import chart_of
from portal.lib import clock
from tests.at_once import at_once
from tests.conftest import MakeKey
from tests.usage import OFFICE, calls_of, count, record

MINUTE, HOUR, DAY = (dt.timedelta(**{unit: 1}) for unit in ("minutes", "hours", "days"))
NOON = dt.datetime(2026, 3, 4, 12, tzinfo=dt.UTC)
NO_TIME = dict.fromkeys(Period, 0.0)


@pytest.fixture(autouse=True)
def _noon() -> None:
    clock.move(NOON - clock.now())


def write(key: ApiKey, start: dt.datetime, calls: int, outcome: str = "allowed") -> None:
    """As the machine door does: added to what is there."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO apikeys_keycalls AS known (key_id, period, start, outcome, calls) "
            "VALUES (%s, 'minute', %s, %s, %s) ON CONFLICT (key_id, period, start, outcome) "
            "DO UPDATE SET calls = known.calls + excluded.calls",
            [key.pk, start, outcome, calls],
        )


def kept(key: ApiKey, period: Period) -> dict[tuple[dt.datetime, str], tuple[int, int]]:
    """Calls and busiest minute, by start and outcome."""
    rows = KeyCalls.objects.filter(key=key, period=period)
    return {(row.start, row.outcome): (row.calls, row.most) for row in rows}


def test_minutes_become_hours_and_days_with_their_busiest_minute(
    acme: Tenant, alice: User, make_key: MakeKey
) -> None:
    key, _ = make_key(acme)
    hour = NOON - 3 * HOUR
    write(key, hour, 10)
    write(key, hour + 59 * MINUTE, 25)
    write(key, hour + HOUR, 7)
    write(key, hour, 3, "rate_limited")
    write(key, NOON - DAY, 100)
    keep_usage(0)
    hours = kept(key, Period.HOUR)
    assert hours[hour, "allowed"] == (35, 25)
    assert hours[hour + HOUR, "allowed"] == (7, 7)
    assert hours[hour, "rate_limited"] == (3, 3)
    midnight = NOON.replace(hour=0)
    assert kept(key, Period.DAY) == {
        (midnight, "allowed"): (42, 25),
        (midnight, "rate_limited"): (3, 3),
        (midnight - DAY, "allowed"): (100, 100),
    }


def test_doing_it_again_adds_nothing_and_what_comes_late_is_added(
    acme: Tenant, alice: User, make_key: MakeKey
) -> None:
    """Seconds late, into a minute that was rolled up; or hours, after an outage."""
    key, _ = make_key(acme)
    write(key, NOON - 2 * MINUTE, 10)
    for _again in range(3):
        rollup.roll_up()
    write(key, NOON - 2 * MINUTE, 5)
    write(key, NOON - 40 * HOUR, 2)
    for _again in range(3):
        rollup.roll_up()
    assert kept(key, Period.HOUR) == {
        (NOON - HOUR, "allowed"): (15, 15),
        (NOON - 40 * HOUR, "allowed"): (2, 2),
    }


def test_the_minute_under_way_is_left_to_those_who_write_it(
    acme: Tenant, alice: User, make_key: MakeKey
) -> None:
    key, _ = make_key(acme)
    clock.move(30 * dt.timedelta(seconds=1))
    write(key, NOON, 10)
    assert rollup.roll_up() == 0
    clock.move(MINUTE)
    assert rollup.roll_up() == 1


def test_what_the_machine_door_writes_is_rolled_up(
    committed_db: None, acme: Tenant, alice: User, make_key: MakeKey
) -> None:
    """Its own statement, whose rows know nothing of hours."""
    key, _ = make_key(acme)
    count((record(key), OFFICE), times=7)
    clock.move(2 * MINUTE)
    rollup.roll_up()
    assert [calls for calls, _most in kept(key, Period.HOUR).values()] == [7]
    assert calls_of(key) == {"allowed": 7}


def test_a_chart_says_the_same_whatever_the_worker_has_done(
    acme: Tenant, alice: User, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, in the middle and after; by minutes, hours, days."""
    key, _ = make_key(acme)
    key.created_at = NOON - 400 * DAY
    chance = random.Random(7)  # noqa: S311 - no secret
    for _ in range(200):
        ago = chance.randrange(48 * 60) * MINUTE
        write(key, NOON - ago, chance.randrange(1, 50), chance.choice(["allowed", "not_found"]))

    def said() -> list[Any]:
        charts = [chart_of(key, span) for span in SPANS.values()]
        return [[(bar.at, bar.counts, bar.peak) for bar in chart.bars] for chart in charts]

    at_first = said()
    with monkeypatch.context() as patched:
        patched.setattr(rollup, "BATCH", 30)
        patched.setattr(rollup, "ROLL_SECONDS", NO_TIME)
        for _ in range(9):
            assert rollup.roll_up() <= 60
            assert said() == at_first
    rollup.roll_up()
    assert said() == at_first
    assert not KeyCalls.objects.filter(period=Period.MINUTE, rolled=0).exists()


def test_minutes_are_kept_for_two_days_hours_for_sixty_days_for_three_years(
    acme: Tenant, alice: User, make_key: MakeKey
) -> None:
    key, _ = make_key(acme)
    ages = {Period.MINUTE: 2 * DAY, Period.HOUR: 60 * DAY, Period.DAY: 3 * 366 * DAY}
    for period, age in ages.items():
        for start in (NOON - age + MINUTE, NOON - age - MINUTE):
            KeyCalls.objects.create(
                key=key, period=period, start=start, outcome="allowed", calls=1, rolled=1
            )
    rollup.forget_usage()
    left = KeyCalls.objects.values_list("period", "start")
    assert set(left) == {(period, NOON - age + MINUTE) for period, age in ages.items()}


def test_nothing_is_forgotten_before_it_was_added_on(
    acme: Tenant, alice: User, make_key: MakeKey
) -> None:
    """The worker was away for a hundred days."""
    key, _ = make_key(acme)
    write(key, NOON - 100 * DAY, 40)
    rollup.forget_usage()
    assert calls_of(key) == {"allowed": 40}
    rollup.roll_up()
    rollup.forget_usage()
    assert calls_of(key) == {} and kept(key, Period.HOUR) == {}
    midnight = (NOON - 100 * DAY).replace(hour=0)
    assert kept(key, Period.DAY) == {(midnight, "allowed"): (40, 40)}
    write(key, NOON - 100 * DAY, 2)
    rollup.roll_up()
    assert kept(key, Period.DAY) == {(midnight, "allowed"): (42, 40)}


def test_however_much_there_is_it_is_all_done_at_once_while_there_is_time(
    acme: Tenant, alice: User, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch after the other; when the time is over, the rest is for the next time."""
    key, _ = make_key(acme)
    rows = 600
    monkeypatch.setattr(rollup, "BATCH", 2)
    for number in range(rows):
        write(key, NOON - 3 * DAY - number // 5 * MINUTE, 1, f"outcome_{number % 5}")

    def left() -> int:
        return KeyCalls.objects.filter(period=Period.MINUTE).count()

    with monkeypatch.context() as patched:
        patched.setattr(rollup, "ROLL_SECONDS", NO_TIME)
        patched.setattr(rollup, "FORGET_SECONDS", NO_TIME)
        assert rollup.roll_up() == 4
        rollup.forget_usage()
        assert left() == rows - 2
    rollup.roll_up()
    assert sum(calls for calls, _most in kept(key, Period.DAY).values()) == rows
    forget_use(0)
    assert left() == 0


def test_forgetting_is_as_frequent_as_adding_on_and_neither_outlasts_its_turn() -> None:
    """So that with any number of keys as much is forgotten as becomes too old."""
    found = {name: task for (name, _), task in app.periodic_registry.periodic_tasks.items()}
    runs = [found[f"apikeys.tasks.{name}"].croniter for name in ("keep_usage", "forget_use")]
    gaps = set()
    for each in runs:
        times = [each.get_next(start_time=0), *(each.get_next() for _ in range(30))]
        gaps |= {after - before for before, after in pairwise(times)}
    assert gaps == {300}
    most = [*rollup.ROLL_SECONDS.values(), *rollup.FORGET_SECONDS.values()]
    assert sum(most) < 300


def test_workers_that_forget_at_once_do_not_wait_for_each_other(
    committed_db: None,
    acme: Tenant,
    alice: User,
    make_key: MakeKey,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor for somebody who has a row: that one is for the next time."""
    key, _ = make_key(acme)
    monkeypatch.setattr(rollup, "BATCH", 7)
    for number in range(200):
        write(key, NOON - 3 * DAY - number * MINUTE, 1)
    rollup.roll_up()
    with transaction.atomic():
        held = KeyCalls.objects.select_for_update().filter(start=NOON - 3 * DAY, period="minute")
        assert len(held) == 1
        at_once([rollup.forget_usage] * 3)
        assert KeyCalls.objects.filter(period=Period.MINUTE).count() == 1
    rollup.forget_usage()
    assert not KeyCalls.objects.filter(period=Period.MINUTE).exists()
    assert sum(calls for calls, _most in kept(key, Period.DAY).values()) == 200


def test_workers_at_once_beside_calls_that_come_in_count_each_call_once(
    committed_db: None, acme: Tenant, alice: User, make_key: MakeKey
) -> None:
    keys = [make_key(acme)[0] for _ in range(3)]
    clock.move(10 * MINUTE)

    def work(number: int) -> None:
        clock_is_shared = clock.now()
        for turn in range(30):
            if number < 2:
                rollup.roll_up()
            else:
                start = clock_is_shared - (5 + turn % 5) * MINUTE
                start = start.replace(second=0, microsecond=0)
                write(keys[(number + turn) % 3], start, 1)

    at_once([partial(work, number) for number in range(5)])
    clock.move(HOUR)
    rollup.roll_up()
    for period in Period:
        found: Counter[Any] = Counter()
        for row in KeyCalls.objects.filter(period=period):
            found[row.key_id] += row.calls
        assert sum(found.values()) == 90, period


def test_hours_that_were_counted_in_are_known_without_calls(
    acme: Tenant, alice: User, make_key: MakeKey
) -> None:
    """A process that started yesterday makes up for hours in which no worker ran."""
    key, _ = make_key(acme)
    key.created_at = NOON - 10 * DAY
    began = NOON - 5 * HOUR - 10 * MINUTE
    process = DoorProcess.objects.create(
        id=uuid4(),
        started_at=began,
        seen_at=NOON,
        counted_until=NOON,
        is_remembering=True,
        facts={},
    )
    write(key, NOON - 20 * HOUR, 3)

    def known() -> list[int]:
        bars = chart_of(key, SPANS["day"]).bars
        return [(NOON - bar.at) // HOUR for bar in bars if bar.is_known]

    expected = [20, 6, 5, 4, 3, 2, 1, 0]
    assert known() == expected
    rollup.mark_counted_hours()
    rollup.mark_counted_hours()
    process.delete()
    assert known() == expected and CountedHour.objects.count() == 7
    assert (chart_of(key, SPANS["month"]).bars[-1].is_known, known()[0]) == (True, 20)
