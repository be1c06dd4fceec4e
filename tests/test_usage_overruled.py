"""Calls that were let in and refused after all: each is counted as what its caller was told."""

import datetime as dt
import re

import pytest

from accounts.models import Tenant, User
from apikeys.edge import usage_batches
from apikeys.edge.app import Door
from apikeys.edge.guard import Guard
from apikeys.edge.internal import Internal
from apikeys.edge.usage import Usage
from apikeys.models import ApiKey, KeyCalls
from apikeys.refusals import ALLOWED, TOO_MANY_STREAMS, UNAVAILABLE
from portal.lib import clock
from tests.conftest import MakeKey, signed_in
from tests.door import Reply, code, opened, rename_table, run
from tests.proxies import by_traefik
from tests.test_guard import Mirror
from tests.usage import (
    HOME,
    OFFICE,
    OVER,
    call_from,
    calls_of,
    counting,
    merge,
    record,
    shown,
    use_of,
)

pytestmark = pytest.mark.usefixtures("door_beside")

MATCHES = "/cs2/v1/matches"


def by_minute(key: ApiKey) -> list[tuple[str, int]]:
    """What the key's rows say, the earliest minute first."""
    rows = KeyCalls.objects.filter(key=key, period="minute").order_by("start", "outcome")
    return [(row.outcome, row.calls) for row in rows]


def at_the_end_of_a_minute() -> None:
    """So that what is refused a second later is refused in the next one."""
    clock.move(dt.timedelta(seconds=59.5 - clock.timestamp() % 60))


def test_a_call_that_is_refused_after_all_is_counted_as_that(
    acme: Tenant, make_key: MakeKey
) -> None:
    """As a WebSocket that is one too many; also when the other count is on its way already."""
    key, _ = make_key(acme)
    kept = record(key)

    async def work(counts: Usage) -> None:
        for number in range(4):
            counted_at = counts.note(call_from(), kept, ALLOWED)
            if number == 1:
                await counts.flush()
            if number % 2:
                counts.overrule(call_from(), kept, TOO_MANY_STREAMS, counted_at)

    counting(work)
    assert calls_of(key) == {"allowed": 2, "too_many_streams": 2}


@pytest.mark.parametrize("is_written", [False, True])
def test_it_is_taken_back_from_the_minute_in_which_it_was_counted(
    acme: Tenant, dave: User, make_key: MakeKey, is_written: bool
) -> None:
    """Which may be over by then, and be written; no minute ever has fewer calls than none."""
    key, _ = make_key(acme)
    kept = record(key)
    at_the_end_of_a_minute()

    async def work(counts: Usage) -> None:
        counts.note(call_from(), kept, ALLOWED)
        counted_at = counts.note(call_from(), kept, ALLOWED)
        if is_written:
            await counts.flush()
        clock.move(dt.timedelta(seconds=1))
        counts.overrule(call_from(), kept, TOO_MANY_STREAMS, counted_at)

    counting(work)
    assert by_minute(key) == [("allowed", 1), ("too_many_streams", 1)]
    page = signed_in(dave).get(f"/client/api-access/{key.pk}").content.decode()
    assert 'height="-' not in page
    assert re.findall(r'<td data-label="\w+">(\d+)</td>', page) == ["1", "0", "0", "1"]


@pytest.mark.parametrize("is_merged", [False, True])
def test_it_is_taken_back_from_what_waits_to_be_merged_too(
    acme: Tenant, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch, is_merged: bool
) -> None:
    """As when many keys are in use."""
    monkeypatch.setattr(usage_batches, "MOST_BY_ROW", 0)
    key, _ = make_key(acme)
    kept = record(key)
    at_the_end_of_a_minute()

    async def work(counts: Usage) -> None:
        counts.note(call_from(), kept, ALLOWED)
        counted_at = counts.note(call_from(), kept, ALLOWED)
        await counts.flush()
        clock.move(dt.timedelta(seconds=1))
        counts.overrule(call_from(), kept, TOO_MANY_STREAMS, counted_at)

    counting(work)
    if is_merged:
        clock.move(OVER)
        merge()
        assert by_minute(key) == [("allowed", 1), ("too_many_streams", 1)]
    assert shown(key) == {"allowed": 1, "too_many_streams": 1}


def test_what_was_not_counted_for_want_of_room_is_not_taken_back(
    acme: Tenant, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where there is room again by then."""
    monkeypatch.setattr("apikeys.edge.usage.MOST_TALLIES", 1)
    (one, _), (other, _) = make_key(acme), make_key(acme)
    kept, crowded = record(one), record(other)

    async def work(counts: Usage) -> None:
        counts.note(call_from(), kept, ALLOWED)
        counted_at = counts.note(call_from(), crowded, ALLOWED)
        assert (counts.lost, counted_at) == (1, None)
        await counts.flush()
        counts.overrule(call_from(), crowded, TOO_MANY_STREAMS, counted_at)

    counting(work)
    assert calls_of(one) == {"allowed": 1} and calls_of(other) == {"too_many_streams": 1}


def test_it_was_no_use_of_the_key(acme: Tenant, make_key: MakeKey) -> None:
    """The last use is the one before; calls that are under way at the same time do no harm."""
    used, unused = make_key(acme)[0], make_key(acme)[0]
    kept, other = record(used), record(unused)

    async def work(counts: Usage) -> None:
        counts.note(call_from(OFFICE), kept, ALLOWED)
        clock.move(dt.timedelta(seconds=0.001))
        counted_at = counts.note(call_from(HOME), kept, ALLOWED)
        counts.overrule(call_from(HOME), kept, UNAVAILABLE, counted_at)
        both = []
        for _ in range(2):
            clock.move(dt.timedelta(seconds=0.001))
            both.append(counts.note(call_from(), other, ALLOWED))
        for counted_at in both:
            counts.overrule(call_from(), other, UNAVAILABLE, counted_at)

    clock.move(dt.timedelta(seconds=10 - clock.timestamp() % 60))
    counting(work)
    found = use_of(used)
    assert found and found[1] == str(OFFICE)
    assert use_of(unused) is None and calls_of(unused) == {"unavailable": 2}


def test_a_path_with_no_feed_behind_it_is_counted_as_not_found(
    acme: Tenant, make_key: MakeKey
) -> None:
    """By a door that stands alone. It costs quota all the same."""
    key, secret = make_key(acme)

    async def work() -> list[Reply]:
        async with opened(Door()) as ask:
            return [await ask(secret, path=MATCHES) for _ in range(2)]

    replies = run(work)
    assert [code(reply) for reply in replies] == [(404, "not_found")] * 2
    assert [reply.headers["ratelimit"].split(";")[1] for reply in replies] == ["r=599", "r=598"]
    assert calls_of(key) == {"not_found": 2} and use_of(key) is None


@pytest.mark.parametrize("by", ["guard", "forward auth"])
def test_a_call_whose_markets_cannot_be_read_is_counted_as_what_it_was_told(
    acme: Tenant, make_key: MakeKey, by: str
) -> None:
    """503, and no use."""
    key, secret = make_key(acme)
    feed = Mirror()

    async def work() -> Reply:
        if by == "guard":
            async with opened(Guard(feed)) as ask:  # type: ignore[arg-type]
                return await ask(secret, path=MATCHES)
        async with opened(Internal()) as ask:  # type: ignore[arg-type]
            return await ask(**by_traefik(MATCHES, secret))

    rename_table("markets_tenantmarkets", "markets_tenantmarkets_away")
    try:
        reply = run(work)
    finally:
        rename_table("markets_tenantmarkets_away", "markets_tenantmarkets")
    assert code(reply) == (503, "unavailable") and feed.seen == []
    assert calls_of(key) == {"unavailable": 1} and use_of(key) is None
