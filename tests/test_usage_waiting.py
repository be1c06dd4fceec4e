"""The use of many keys waits in rows of many, and is merged into the rows of each key later."""

import asyncio
import datetime as dt
from collections import Counter
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Tenant, User
from apikeys import rollup
from apikeys.charts import SPANS
from apikeys.edge import merging, usage_batches
from apikeys.edge.app import Door
from apikeys.edge.database import Database
from apikeys.edge.usage import Usage
from apikeys.models import ApiKey, KeyCalls, KeyRefusal, KeyUse, WaitingUse
from apikeys.refusals import ALLOWED, NOT_FOUND
from apikeys.usage import report_of
from portal.lib import clock
from tests.conftest import MakeKey, signed_in
from tests.door import opened, run
from tests.pages import text
from tests.usage import (
    HOME,
    OFFICE,
    OVER,
    call_from,
    calls_of,
    count,
    counting,
    merge,
    record,
    shown,
    use_of,
)

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture(autouse=True)
def _many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A single key counts as many."""
    monkeypatch.setattr(usage_batches, "MOST_BY_ROW", 0)


def peak(key: ApiKey) -> int:
    """The calls in the key's busiest minute, as **Usage** has it."""
    return report_of([key], SPANS["day"], 600).sums[key.pk].peak


def test_pages_say_the_same_before_and_after_it_is_merged(
    acme: Tenant, dave: User, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums, charts and last uses; of keys in several slices, in two minutes."""
    keys = [make_key(acme, label=f"Key {number}") for number in range(6)]
    clock.move(dt.timedelta(seconds=10 - clock.timestamp() % 60))

    async def work() -> None:
        async with opened(Door()) as ask:
            for _key, secret in keys[1:]:
                await ask(secret)
        clock.move(dt.timedelta(minutes=1))
        async with opened(Door()) as ask:
            for times, (_key, secret) in enumerate(keys):
                for number in range(times):
                    await ask(secret, peer=f"198.51.100.{number}")

    with monkeypatch.context() as patched:
        patched.setattr(merging, "MERGED_AFTER", 3600)
        run(work)
    assert WaitingUse.objects.exists() and not KeyCalls.objects.exists()
    clock.move(OVER)
    client = signed_in(dave)
    paths = ["", "usage", "usage?span=hour", "api-access"]
    paths += [f"api-access/{key.pk}" for key, _secret in keys]

    def pages() -> list[str]:
        sheet = client.get("/client/usage.csv").getvalue().decode()
        return [*(text(client.get(f"/client/{path}")) for path in paths), sheet]

    before = pages()
    assert "198.51.100.3" in before[3] and "198.51.100.3" in before[-3]
    cells = [line.split(",") for line in before[-1].splitlines() if "Key 5" in line]
    assert sum(int(line[3] or 0) for line in cells) == 6
    assert [shown(key) for key, _ in keys] == [{}] + [{"allowed": n + 1} for n in range(1, 6)]
    merge()
    assert not WaitingUse.objects.exists()
    assert [calls_of(key) for key, _ in keys] == [{}] + [{"allowed": n + 1} for n in range(1, 6)]
    assert pages() == before


def test_the_busiest_minute_is_all_of_it_wherever_its_parts_are(
    acme: Tenant, make_key: MakeKey
) -> None:
    """A part waits; one was written at once, since it came with a refusal, and is rolled up."""
    key, _ = make_key(acme)
    kept = record(key)
    clock.move(dt.timedelta(seconds=10 - clock.timestamp() % 60))
    count((kept, OFFICE), times=5)

    async def work(counts: Usage) -> None:
        for verdict in (ALLOWED, ALLOWED, ALLOWED, NOT_FOUND):
            counts.note(call_from(), kept, verdict)

    counting(work)
    assert calls_of(key) == {"allowed": 3, "not_found": 1} and peak(key) == 8
    clock.move(OVER)
    rollup.roll_up()
    assert peak(key) == 8
    merge()
    assert peak(key) == 8
    rollup.roll_up()
    assert peak(key) == 8 and shown(key) == {"allowed": 8, "not_found": 1}


def test_of_several_last_uses_the_latest_is_shown_and_stays(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    """Whether it waits or is the key's own."""
    key, _ = make_key(acme)
    kept = record(key)
    for address in (OFFICE, HOME):
        count((kept, address))
        clock.move(dt.timedelta(seconds=1))
    client = signed_in(dave)

    def pages() -> list[str]:
        paths = ["", f"/{key.pk}", f"/{key.pk}/rotate"]
        return [text(client.get(f"/client/api-access{path}")) for path in paths]

    assert all(str(HOME) in page for page in pages())
    later = clock.now()
    KeyUse.objects.create(key=key, last_used_at=later, last_address="192.0.2.99")
    assert all("192.0.2.99" in page and str(HOME) not in page for page in pages())
    clock.move(OVER)
    merge()
    assert use_of(key) == (later, "192.0.2.99")
    KeyUse.objects.update(last_used_at=later - dt.timedelta(days=1))
    count((kept, HOME))
    assert all(str(HOME) in page and "192.0.2.99" not in page for page in pages())
    clock.move(dt.timedelta(seconds=1))
    count((kept, OFFICE), (kept, None))
    clock.move(OVER)
    merge()
    found = use_of(key)
    assert found and found[0] > later and found[1] is None


def test_what_is_sent_twice_is_counted_and_merged_once(
    acme: Tenant, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the connection is lost before the answer comes."""
    key, _ = make_key(acme)
    send = Database.ask

    async def send_twice(self: Database, *args: Any, **given: Any) -> Any:
        first = await send(self, *args, **given)
        await send(self, *args, **given)
        return first

    monkeypatch.setattr(Database, "ask", send_twice)
    count((record(key), OFFICE), times=3)
    assert shown(key) == {"allowed": 3}
    clock.move(OVER)
    merge()
    assert calls_of(key) == shown(key) == {"allowed": 3}


@pytest.mark.parametrize("most_by_row", [0, 1_000])
@pytest.mark.parametrize("is_refused_once", [True, False])
def test_calls_of_the_short_way_and_of_the_long_are_one_sum(
    acme: Tenant,
    make_key: MakeKey,
    monkeypatch: pytest.MonkeyPatch,
    most_by_row: int,
    is_refused_once: bool,
) -> None:
    """Also where the key was changed in between, so that another record stands for it."""
    monkeypatch.setattr(usage_batches, "MOST_BY_ROW", most_by_row)
    (key, _), (other, _) = make_key(acme), make_key(acme)
    before, after, beside = record(key), record(key), record(other)
    for of_key in (before, after, beside):
        of_key.before = SimpleNamespace(address=HOME)
    clock.move(dt.timedelta(seconds=10 - clock.timestamp() % 60))

    async def work(counts: Usage) -> None:
        for of_key, times in ((before, 2), (after, 3)):
            counts.note(call_from(OFFICE), of_key, ALLOWED)
            for _ in range(times):
                counts.note_again(of_key)
                counts.note_again(beside)
            clock.move(dt.timedelta(seconds=1))
        if is_refused_once:
            counts.note(call_from(), after, NOT_FOUND)
        assert counts.allowed == 12
        await counts.flush()
        assert (counts.waiting, counts.lost) == (0, 0)

    counting(work)
    expected = {"allowed": 7} | ({"not_found": 1} if is_refused_once else {})
    assert (shown(key), shown(other)) == (expected, {"allowed": 5})
    clock.move(OVER)
    merge()
    assert (calls_of(key), calls_of(other)) == (expected, {"allowed": 5})
    for each in (key, other):
        used = use_of(each)
        assert used and used[1] == str(HOME)


def test_only_minutes_of_many_keys_wait(
    acme: Tenant, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few keys go to their own rows at once, and so does whatever was refused."""
    monkeypatch.setattr(usage_batches, "MOST_BY_ROW", 2)
    keys = [make_key(acme)[0] for _ in range(4)]
    records = [record(key) for key in keys]
    clock.move(dt.timedelta(seconds=10 - clock.timestamp() % 60))

    async def work(counts: Usage) -> None:
        for of_minute in (records[:2], records, records[2:]):
            for of_key in of_minute:
                counts.note(call_from(), of_key, ALLOWED)
            clock.move(dt.timedelta(minutes=1))
        counts.note(call_from(), records[0], NOT_FOUND)
        assert counts.waiting == 9
        await counts.flush()
        assert counts.waiting == 0

    counting(work)
    assert [calls_of(key) for key in keys] == [
        {"allowed": 1, "not_found": 1},
        {"allowed": 1},
        {"allowed": 1},
        {"allowed": 1},
    ]
    assert len({row.start for row in WaitingUse.objects.all()}) == 1
    assert [shown(key)["allowed"] for key in keys] == [2] * 4
    clock.move(OVER)
    merge()
    assert [calls_of(key)["allowed"] for key in keys] == [2] * 4


ACTS = st.one_of(
    st.tuples(st.sampled_from(["let in", "refused"]), st.integers(0, 2)),
    st.sampled_from([("written", 0), ("merged", 0), ("later", 40)]),
)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=st.lists(ACTS, max_size=25))
def test_whatever_comes_between_the_sums_are_those_of_the_calls(
    acme: Tenant, make_key: MakeKey, acts: list[tuple[str, int]]
) -> None:
    """And the last use is the last one."""
    keys = list(ApiKey.objects.all()) or [make_key(acme)[0] for _ in range(3)]
    records = [record(key) for key in keys]
    called: list[Counter[str]] = [Counter() for _ in keys]
    used_from: dict[UUID, str] = {}

    async def work(counts: Usage) -> None:
        for number, (act, what) in enumerate(acts):
            if act == "written":
                await counts.flush()
            elif act == "merged":
                await asyncio.to_thread(merge, 3)
            elif act == "later":
                clock.move(dt.timedelta(seconds=what))
            else:
                is_allowed = act == "let in"
                verdict = ALLOWED if is_allowed else NOT_FOUND
                counts.note(call_from(OFFICE + number), records[what], verdict)
                clock.move(dt.timedelta(milliseconds=5))
                called[what]["allowed" if is_allowed else "not_found"] += 1
                if is_allowed:
                    used_from[keys[what].pk] = str(OFFICE + number)

    try:
        counting(work)
        assert [shown(key) for key in keys] == called
        listed = {key.pk: key.last_use for key in ApiKey.objects.for_display()}
        clock.move(OVER)
        merge()
        assert [calls_of(key) for key in keys] == called
        assert {key: use.address for key, use in listed.items() if use} == used_from
        assert dict(KeyUse.objects.values_list("key_id", "last_address")) == used_from
    finally:
        for model in (KeyCalls, KeyRefusal, KeyUse, WaitingUse):
            model.objects.all().delete()
        clock.reset()
