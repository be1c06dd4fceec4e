"""What waits of the use of many keys is merged, once, whoever does it and whatever fails."""

import asyncio
import datetime as dt
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import connections

from accounts.models import Tenant
from apikeys.edge import merging, usage_batches
from apikeys.edge.usage import Usage
from apikeys.edge.usage_sql import MERGE
from apikeys.models import ApiKey, KeyUse, WaitingUse
from portal.lib import clock
from tests.conftest import MakeKey
from tests.door import rename_table
from tests.usage import (
    OFFICE,
    OVER,
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


def test_the_minute_under_way_is_not_merged(acme: Tenant, make_key: MakeKey) -> None:
    """Others may still write about it."""
    key, _ = make_key(acme)
    clock.move(dt.timedelta(seconds=10 - clock.timestamp() % 60))
    count((record(key), OFFICE))
    clock.move(dt.timedelta(seconds=30))
    merge()
    assert calls_of(key) == {} and shown(key) == {"allowed": 1}


def test_the_door_merges_while_it_is_open(acme: Tenant, make_key: MakeKey) -> None:
    """Also what another process has written, that is gone."""
    key, _ = make_key(acme)
    count((record(key), OFFICE))
    clock.move(OVER)

    def is_merged() -> bool:
        try:
            return calls_of(key) == {"allowed": 1} and not WaitingUse.objects.exists()
        finally:
            connections.close_all()

    async def work(counts: Usage) -> None:
        counts.open()
        async with asyncio.timeout(20):
            while not await asyncio.to_thread(is_merged):
                await asyncio.sleep(0.005)

    counting(work)


def test_what_one_process_is_merging_is_passed_over_by_the_others(
    acme: Tenant, make_key: MakeKey, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits, nothing is counted twice, and pages miss nothing meanwhile."""
    key, _ = make_key(acme)
    for _ in range(4):
        count((record(key), OFFICE), times=2)
    clock.move(OVER)
    row = WaitingUse.objects.first()
    assert row
    with psycopg.connect(os.environ["DATABASE_URL"]) as other:
        other.execute(MERGE, [row.slice, row.start, 1000])
        merge(pauses=1)
        assert calls_of(key) == {} and shown(key) == {"allowed": 8}
        assert "is not merged" not in caplog.text
    assert calls_of(key) == shown(key) == {"allowed": 8}
    assert not WaitingUse.objects.exists()


def test_processes_that_merge_at_once_count_each_call_once(acme: Tenant, make_key: MakeKey) -> None:
    """Whoever comes first to a row."""
    keys = [make_key(acme)[0] for _ in range(5)]
    for _ in range(6):
        count(*[(record(key), OFFICE) for key in keys], times=2)
    clock.move(OVER)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(merge, [16] * 3))
    assert not WaitingUse.objects.exists()
    assert [calls_of(key) for key in keys] == [{"allowed": 12}] * 5


def test_a_key_that_was_deleted_meanwhile_is_left_out(acme: Tenant, make_key: MakeKey) -> None:
    """The others of its slice are not."""
    gone, _ = make_key(acme)
    neighbour = UUID(bytes=uuid4().bytes[:-1] + gone.pk.bytes[-1:])
    here = ApiKey.objects.create(id=neighbour, tenant=acme, label="Here", scopes=[], sports=[])
    kept = record(gone)
    count((kept, OFFICE), (replace(kept, key=here.pk.bytes), OFFICE))
    assert set(WaitingUse.objects.get().keys) == {gone.pk, here.pk}
    ApiKey.objects.filter(pk=gone.pk).delete()
    clock.move(OVER)
    merge()
    assert not WaitingUse.objects.exists()
    assert calls_of(here) == {"allowed": 1} and KeyUse.objects.get().key_id == here.pk


def test_what_could_not_be_merged_waits_and_is_merged_later(
    acme: Tenant, make_key: MakeKey, caplog: pytest.LogCaptureFixture
) -> None:
    """Here a table was away for some tries; the log says so once, and pages miss nothing."""
    key, _ = make_key(acme)
    count((record(key), OFFICE), times=3)
    clock.move(OVER)
    rename_table("apikeys_keyuse", "apikeys_keyuse_away")
    try:
        merge(pauses=2)
    finally:
        rename_table("apikeys_keyuse_away", "apikeys_keyuse")
    assert caplog.text.count("is not merged") == 1
    assert calls_of(key) == {} and shown(key) == {"allowed": 3}
    merge()
    assert calls_of(key) == shown(key) == {"allowed": 3} and use_of(key)


def test_more_than_a_statement_takes_is_merged_in_several(
    acme: Tenant, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an outage."""
    monkeypatch.setattr(merging, "MOST_TALLIES", 2)
    key, _ = make_key(acme)
    for _ in range(5):
        count((record(key), OFFICE))
    clock.move(OVER)
    merge(pauses=1)
    assert calls_of(key) == {"allowed": 2} and shown(key) == {"allowed": 5}
    merge()
    assert calls_of(key) == shown(key) == {"allowed": 5}
