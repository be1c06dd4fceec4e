"""Counts of thousands of keys, and counts at an untimely moment: none is lost, none doubled."""

import asyncio
import signal
import socket
from collections import Counter
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from accounts.models import Tenant
from apikeys.edge import usage, usage_batches
from apikeys.edge.database import Database, DatabaseAway
from apikeys.edge.usage import Usage
from apikeys.models import ApiKey, ApiKeySecret
from apikeys.refusals import ALLOWED, NOT_FOUND
from portal.lib.crypto import digest
from tests.conftest import MakeKey
from tests.door import run
from tests.effect import aside
from tests.guarded import serving
from tests.propagation import DoorProcess
from tests.usage import OFFICE, call_from, counting, record, shown

pytestmark = pytest.mark.usefixtures("door_beside")

MANY = usage_batches.MOST_BY_ROW + 2_000  # keys, of which rows are written that hold many
CLIENTS = 16
PATIENCE = 30  # seconds; a bound, not an expectation
WRITTEN = """
SELECT key, sum(calls) FROM (
    SELECT key_id, calls FROM apikeys_keycalls WHERE period = 'minute' AND outcome = 'allowed'
    UNION ALL SELECT unnest(keys), unnest(calls) FROM apikeys_waitinguse
) AS written (key, calls) GROUP BY key
"""


def written() -> Counter[UUID]:
    """How many calls that were let in there are of each key, wherever they lie."""
    with connection.cursor() as cursor:
        cursor.execute(WRITTEN)
        return Counter({key: int(calls) for key, calls in cursor.fetchall()})


def many_keys(acme: Tenant, number: int) -> dict[str, ApiKey]:
    """So many of them, by their secrets."""
    grants: dict[str, Any] = {"scopes": acme.contract.scopes, "sports": acme.contract.sports}
    made = [ApiKey(tenant=acme, label=f"Key {place}", **grants) for place in range(number)]
    keys = {f"vbk_{place:024d}": key for place, key in enumerate(ApiKey.objects.bulk_create(made))}
    ApiKeySecret.objects.bulk_create(
        ApiKeySecret(key=key, sha256=digest(secret), first_4=secret[4:8], last_4=secret[-4:])
        for secret, key in keys.items()
    )
    return keys


def test_what_thousands_of_keys_did_before_a_round_of_writing_is_written_when_it_ends(
    acme: Tenant, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls come by either way meanwhile. As far as one round is from the next, so late it is."""
    monkeypatch.setattr(usage, "FLUSH_SECONDS", 0.2)
    monkeypatch.setattr(usage, "WRITE_SECONDS", PATIENCE)
    kept = record(make_key(acme)[0])
    records = [replace(kept, key=key.pk.bytes) for key in many_keys(acme, MANY).values()]
    for of_key in records:
        of_key.before = SimpleNamespace(address=OFFICE)
    noted: Counter[UUID] = Counter()
    rounds: list[bool] = []

    async def work(counts: Usage) -> None:
        flush = counts.flush

        async def flush_and_look(seconds: float = float("inf")) -> None:
            before = noted.copy()
            await flush(seconds)
            rounds.append(before <= await aside(written))

        counts.flush = flush_and_look  # type: ignore[method-assign]
        counts.open()
        async with asyncio.timeout(PATIENCE):
            while len(rounds) < 3:
                for place, of_key in enumerate(records):
                    noted[of_key.key_id] += 1
                    if place % 2:
                        counts.note(call_from(), of_key, ALLOWED)
                    else:
                        counts.note_again(of_key)
                    if not place % 500:
                        await asyncio.sleep(0.01)

    counting(work)
    assert rounds and all(rounds)
    assert written() == noted and len(noted) == MANY


@pytest.mark.parametrize("is_done", [False, True], ids=["not sent", "answer lost"])
@pytest.mark.parametrize("most_by_row", [0, 1_000], ids=["many keys", "few keys"])
def test_what_could_not_be_written_at_first_is_written_later_and_once(
    acme: Tenant,
    make_key: MakeKey,
    monkeypatch: pytest.MonkeyPatch,
    is_done: bool,
    most_by_row: int,
) -> None:
    """Postgres was away for a moment. It may have done what it was asked; nobody here knows."""
    monkeypatch.setattr(usage_batches, "MOST_BY_ROW", most_by_row)
    key, _ = make_key(acme)
    kept = record(key)
    send = Database.ask

    async def send_in_vain(self: Database, *given: Any, **more: Any) -> Any:
        if is_done:
            await send(self, *given, **more)
        raise DatabaseAway("just now")

    async def work(counts: Usage) -> None:
        for _ in range(3):
            counts.note(call_from(), kept, ALLOWED)
            counts.note(call_from(), kept, NOT_FOUND)
            with monkeypatch.context() as patched:
                patched.setattr(Database, "ask", send_in_vain)
                await counts.flush()
            assert counts.waiting
            counts.note(call_from(), kept, ALLOWED)
            await counts.flush()
            assert (counts.waiting, counts.lost) == (0, 0)

    counting(work)
    assert shown(key) == {"allowed": 6, "not_found": 3}


def test_a_door_that_is_closed_while_it_writes_writes_that_again_and_it_counts_once(
    acme: Tenant, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Postgres has done it, and the answer is on its way; more has come in since."""
    monkeypatch.setattr(usage, "FLUSH_SECONDS", 0.01)
    monkeypatch.setattr(usage, "CLOSE_SECONDS", PATIENCE)
    key, _ = make_key(acme)
    kept = record(key)
    send = Database.ask
    is_done = asyncio.Event()

    async def send_for_ever(self: Database, statement: str, *given: Any, **more: Any) -> Any:
        answer = await send(self, statement, *given, **more)
        if "apikeys_usagewriter" in statement:
            is_done.set()
            await asyncio.Event().wait()
        return answer

    async def work(counts: Usage) -> None:
        counts.note(call_from(), kept, ALLOWED)
        counts.note(call_from(), kept, NOT_FOUND)
        with monkeypatch.context() as patched:
            patched.setattr(Database, "ask", send_for_ever)
            counts.open()
            await asyncio.wait_for(is_done.wait(), PATIENCE)
        counts.note(call_from(), kept, ALLOWED)

    counting(work)
    assert shown(key) == {"allowed": 2, "not_found": 1}


def test_a_door_that_is_closed_while_postgres_is_away_says_what_is_lost(
    acme: Tenant,
    make_key: MakeKey,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In the log: nobody will ever write it."""
    monkeypatch.setattr(usage, "CLOSE_SECONDS", 0.05)
    kept = record(make_key(acme)[0])

    async def work() -> None:
        with socket.socket(socket.AF_UNIX) as listening:  # it takes connections and is silent
            listening.bind(str(tmp_path / ".s.PGSQL.5432"))
            listening.listen()
            database = Database({"host": str(tmp_path)})
            database.open()
            counts = Usage(database)
            counts.note(call_from(), kept, ALLOWED)
            counts.open()
            await counts.close()
            await database.close()

    run(work)
    assert "The use of keys is lost: 1 counts could not be written" in caplog.text


@pytest.mark.service
def test_a_server_that_is_stopped_under_load_loses_no_call_that_it_answered(acme: Tenant) -> None:
    """Whatever it let in when it was told to end is with those that were before."""
    keys = many_keys(acme, usage_batches.MOST_BY_ROW + 200)
    calls = cycle(keys.items())
    answered: Counter[UUID] = Counter()
    sent: Counter[UUID] = Counter()

    async def call_for_ever(door: DoorProcess) -> None:
        try:
            for secret, key in calls:
                sent[key.pk] += 1
                if (await door.call(secret)).seen[0] == 200:
                    answered[key.pk] += 1
        except (OSError, asyncio.IncompleteReadError):  # it has ended
            return

    with serving("apikeys.edge.app:application") as server:

        async def work() -> None:
            door = DoorProcess(server.port)
            async with asyncio.timeout(PATIENCE):
                calling = [asyncio.create_task(call_for_ever(door)) for _ in range(CLIENTS)]
                while len(answered) < len(keys):
                    await asyncio.sleep(0.01)
                server.process.send_signal(signal.SIGTERM)
                await asyncio.gather(*calling)
            await door.close()

        run(work)
        server.process.wait(PATIENCE)
    assert answered <= written() <= sent
