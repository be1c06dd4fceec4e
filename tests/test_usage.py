"""How keys are used: counted by the machine door, written later; and when each was last let in."""

import asyncio
import datetime as dt
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections

from accounts.models import Tenant
from accounts.origin import COMMAND_LINE
from apikeys.edge import usage, usage_batches
from apikeys.edge.app import Door
from apikeys.edge.database import Database
from apikeys.edge.usage import Usage
from apikeys.models import KeyCalls, KeyRefusal, KeyUse, SecretUse
from apikeys.refusals import ALLOWED, KEY_INVALID, NOT_FOUND
from apikeys.services import rotate_key
from portal.lib import clock
from tests.conftest import MakeKey
from tests.door import opened, rename_table, run
from tests.usage import HOME, OFFICE, call_from, calls_of, count, counting, record, use_of

pytestmark = pytest.mark.usefixtures("door_beside")


def test_so_many_calls_are_counted_as_so_many_by_outcome(acme: Tenant, make_key: MakeKey) -> None:
    """Written when the door closes at the latest; each key's for itself."""
    one, secret = make_key(acme)
    other, other_secret = make_key(acme, allowlist=["192.0.2.0/24"])

    async def work() -> None:
        async with opened(Door()) as ask:
            for _ in range(37):
                await ask(secret)
            for _ in range(3):
                await ask(secret, path="/v1/nothing")
                await ask(other_secret)
            await ask(secret, method="DELETE")

    run(work)
    assert calls_of(one) == {"allowed": 37, "not_found": 3, "method_not_allowed": 1}
    assert calls_of(other) == {"ip_not_allowed": 3}


def test_calls_of_several_processes_add_up(acme: Tenant, make_key: MakeKey) -> None:
    """And those of one process that were written in several parts."""
    key, _ = make_key(acme)
    for times in (3, 4, 5):
        count((record(key), OFFICE), times=times)
    assert calls_of(key) == {"allowed": 12}


def test_calls_are_counted_in_the_minute_they_came_in(acme: Tenant, make_key: MakeKey) -> None:
    """Whatever minute it is when they are written."""
    key, _ = make_key(acme)
    clock.move(dt.timedelta(seconds=59.5 - clock.timestamp() % 60))
    first = clock.now().replace(second=0, microsecond=0)

    async def work(counts: Usage) -> None:
        of_key = record_in(counts)
        counts.note(call_from(), of_key, ALLOWED)
        clock.move(dt.timedelta(minutes=1))
        counts.note(call_from(), of_key, ALLOWED)
        counts.note(call_from(), of_key, NOT_FOUND)

    kept = record(key)

    def record_in(_: Usage) -> Any:
        return kept

    counting(work)
    rows = KeyCalls.objects.order_by("start", "outcome")
    assert [(row.start, row.outcome, row.calls) for row in rows] == [
        (first, "allowed", 1),
        (first + dt.timedelta(minutes=1), "allowed", 1),
        (first + dt.timedelta(minutes=1), "not_found", 1),
    ]


def test_a_call_that_was_let_in_is_a_use_and_a_refused_one_is_none(
    acme: Tenant, make_key: MakeKey
) -> None:
    """With time and address."""
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


def test_they_are_written_while_the_door_is_open(
    acme: Tenant, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every few seconds; here, at once."""
    assert usage.FLUSH_SECONDS + usage.WRITE_SECONDS < 5
    monkeypatch.setattr(usage, "FLUSH_SECONDS", 0.001)
    key, _ = make_key(acme)
    kept = record(key)

    async def work(counts: Usage) -> None:
        counts.open()
        counts.note(call_from(), kept, ALLOWED)
        async with asyncio.timeout(20):
            while not await asyncio.to_thread(is_written):
                await asyncio.sleep(0.005)
        assert counts.waiting == 0

    def is_written() -> bool:
        try:
            return calls_of(key) == {"allowed": 1} and use_of(key) is not None
        finally:
            connections.close_all()

    counting(work)


def test_the_last_use_never_moves_backwards(acme: Tenant, make_key: MakeKey) -> None:
    """Another process may have written a later one."""
    key, _ = make_key(acme)
    later = clock.now() + dt.timedelta(minutes=5)
    KeyUse.objects.create(key=key, last_used_at=later, last_address="192.0.2.99")
    count((record(key), OFFICE))
    assert use_of(key) == (later, "192.0.2.99")
    clock.move(dt.timedelta(minutes=10))
    count((record(key), HOME))
    found = use_of(key)
    assert found and found[0] > later and found[1] == "2001:db8::1"


def test_the_last_of_several_uses_is_the_one_written(acme: Tenant, make_key: MakeKey) -> None:
    """Each key's own; an address that could not be read is none."""
    one, other = record(make_key(acme)[0]), record(make_key(acme)[0])
    count((one, OFFICE), (other, OFFICE), (one, HOME), (other, None))
    found = dict(KeyUse.objects.values_list("key_id", "last_address"))
    assert found == {one.key_id: "2001:db8::1", other.key_id: None}


def test_refusals_are_kept_with_their_reason(acme: Tenant, make_key: MakeKey) -> None:
    """The last of each reason and address, and how many there were; no query, nothing secret."""
    key, secret = make_key(acme, allowlist=["192.0.2.0/24"])

    async def work() -> None:
        async with opened(Door()) as ask:
            for number in range(3):
                await ask(secret, path=f"/v1/{number}", query="api_key=none-of-your-business")

    run(work)
    (blocked,) = KeyRefusal.objects.filter(key=key)
    assert (blocked.outcome, blocked.address, blocked.calls) == ("ip_not_allowed", str(OFFICE), 3)
    assert (blocked.method, blocked.path) == ("GET", "/v1/2")
    assert "You call from 203.0.113.7" in blocked.detail


@pytest.mark.parametrize(
    ("path", "outcome", "kept"),
    [
        ("/v1/{}", "not_found", "/v1/vbk_[redacted]"),
        ("/v1/vbk%5f{}", "not_found", "/v1/vbk_[redacted]"),
        ("/v1/{0}{0}", "not_found", "/v1/vbk_[redacted]"),
        ("/v1/%76bk_{}", "not_found", "/v1/vbk_[redacted]"),
        ("/v1/%41", "not_found", "/v1/%41"),
        ("/{}/v1/matches", "sport_not_allowed", "/vbk_[redacted]/v1/matches"),
    ],
)
def test_a_key_in_the_wrong_place_is_not_kept_with_the_refusal(
    acme: Tenant, make_key: MakeKey, path: str, outcome: str, kept: str
) -> None:
    """Neither where it was called nor in the reason."""
    key, secret = make_key(acme)
    bare = secret if path.startswith(("/{", "/v1/{")) else secret.removeprefix("vbk_")

    async def work() -> None:
        async with opened(Door()) as ask:
            await ask(secret, path=path.format(bare))

    run(work)
    (refusal,) = KeyRefusal.objects.filter(key=key)
    assert (refusal.outcome, refusal.path) == (outcome, kept)
    assert bare not in refusal.detail


def test_of_refusals_only_the_latest_few_are_kept(
    acme: Tenant, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the database and, between two writings, in memory; the others are counted all the same."""
    monkeypatch.setattr(usage_batches, "MOST_REFUSALS", 3)
    monkeypatch.setattr(usage, "MOST_REASONS", 2)
    key, _ = make_key(acme)
    of_key = record(key)
    for start in range(0, 8, 4):
        count(*[(of_key, OFFICE + start + number) for number in range(4)], verdict=NOT_FOUND)
        clock.move(dt.timedelta(seconds=1))
    kept = KeyRefusal.objects.filter(key=key).values_list("address", flat=True)
    assert len(kept) == 3 and {str(OFFICE + 4), str(OFFICE + 5)} < set(kept)
    assert calls_of(key) == {"not_found": 8}


def test_a_retired_secret_that_is_still_sent_is_noted(acme: Tenant, make_key: MakeKey) -> None:
    """Which of them, when, from where and how often; that is no use of the key."""
    key, secret = make_key(acme)
    first = key.secrets.get()
    key.refresh_from_db()
    by: Any = {"actor": key.created_by, "tenant": acme, "origin": COMMAND_LINE}
    rotate_key(key_id=key.pk, version=key.version, **by)

    async def work() -> None:
        async with opened(Door()) as ask:
            for _ in range(2):
                assert (await ask(secret)).status == 403

    run(work)
    use = SecretUse.objects.get()
    assert (use.secret_id, use.last_address, use.calls) == (first.pk, str(OFFICE), 2)
    assert use_of(key) is None
    assert calls_of(key) == {"key_revoked": 2}


def test_a_batch_that_is_sent_twice_is_counted_once(
    acme: Tenant, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the connection is lost before the answer comes."""
    key, _ = make_key(acme)
    kept = record(key)
    send = Database.ask

    async def send_twice(self: Database, *args: Any, **given: Any) -> Any:
        await send(self, *args, **given)
        return await send(self, *args, **given)

    monkeypatch.setattr(Database, "ask", send_twice)

    async def work(counts: Usage) -> None:
        for _ in range(2):
            counts.note(call_from(), kept, NOT_FOUND)
            counts.note(call_from(), kept, ALLOWED)
            await counts.flush()

    counting(work)
    assert calls_of(key) == {"allowed": 2, "not_found": 2}
    assert KeyRefusal.objects.get().calls == 2


def test_a_key_deleted_meanwhile_does_not_keep_the_others_from_being_written(
    acme: Tenant, make_key: MakeKey
) -> None:
    """It is left out."""
    key, _ = make_key(acme)
    here = record(key)
    gone = replace(here, key=uuid4().bytes, secret_id=0, is_secret_retired=True)
    count((gone, OFFICE), (here, OFFICE), verdict=NOT_FOUND)
    count((gone, OFFICE), (here, OFFICE))
    assert calls_of(key) == {"allowed": 1, "not_found": 1}
    assert use_of(key) and KeyUse.objects.count() == 1 and not SecretUse.objects.exists()


def test_more_keys_than_a_statement_takes_are_all_written(
    acme: Tenant, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In several."""
    monkeypatch.setattr(usage_batches, "BATCH", 2)
    keys = [make_key(acme)[0] for _ in range(5)]
    count(*[(record(key), OFFICE) for key in keys])
    assert [calls_of(key) for key in keys] == [{"allowed": 1}] * 5
    assert KeyUse.objects.count() == 5


def test_what_could_not_be_written_is_kept_and_written_later(
    acme: Tenant, make_key: MakeKey, caplog: pytest.LogCaptureFixture
) -> None:
    """Here a table was away for two tries, and for minutes; the log says so once."""
    key, _ = make_key(acme)
    kept = record(key)

    async def work(counts: Usage) -> None:
        rename_table("apikeys_keyuse", "apikeys_keyuse_away")
        try:
            for _ in range(2):
                counts.note(call_from(), kept, ALLOWED)
                await counts.flush()
                clock.move(dt.timedelta(minutes=1))
        finally:
            rename_table("apikeys_keyuse_away", "apikeys_keyuse")
        counts.note(call_from(), kept, ALLOWED)
        await asyncio.sleep(0.3)  # the lane rests after a failure
        await counts.flush()
        assert counts.waiting == 0 and counts.lost == 0

    counting(work)
    assert calls_of(key) == {"allowed": 3}
    assert KeyCalls.objects.count() == 3
    assert caplog.text.count("is not written") == 1


@pytest.mark.parametrize("is_short", [False, True])
def test_what_cannot_be_written_is_bounded_and_the_rest_is_told(
    acme: Tenant, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch, is_short: bool
) -> None:
    """Keys that are counted already go on being counted."""
    monkeypatch.setattr(usage, "MOST_TALLIES", 2)
    keys = [make_key(acme)[0] for _ in range(3)]
    records = [record(key) for key in keys]
    for of_key in records:
        of_key.before = SimpleNamespace(address=OFFICE)

    async def work(counts: Usage) -> None:
        for of_key in [*records, *records]:
            if is_short:
                counts.note_again(of_key)
                counts.note(call_from(), None, KEY_INVALID)
            else:
                counts.note(call_from(), of_key, ALLOWED)
        assert (counts.waiting, counts.allowed, counts.lost) == (2, 6, 2)

    counting(work)
    assert [calls_of(key) for key in keys] == [{"allowed": 2}, {"allowed": 2}, {}]


def test_a_flood_of_unknown_keys_takes_no_memory(acme: Tenant) -> None:
    """They are counted together, by code."""

    async def work(counts: Usage) -> None:
        for number in range(50_000):
            counts.note(call_from(OFFICE + number), None, KEY_INVALID)
        assert counts.waiting == 0 and dict(counts.refused) == {"key_invalid": 50_000}

    counting(work)
    assert not KeyCalls.objects.exists() and not KeyRefusal.objects.exists()
