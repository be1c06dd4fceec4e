"""What is counted while something else is being written, late, or not at all for a while."""

import asyncio
import datetime as dt
from typing import Any

import pytest
from django.db import connections

from accounts.models import Tenant
from apikeys.edge import usage, usage_batches
from apikeys.edge.database import Database
from apikeys.edge.usage import Usage
from apikeys.models import KeyRefusal
from apikeys.refusals import ALLOWED, NOT_FOUND, Verdict
from portal.lib import clock
from tests.conftest import MakeKey
from tests.usage import HOME, OFFICE, call_from, calls_of, counting, record

pytestmark = pytest.mark.usefixtures("committed_db")


def test_calls_that_come_in_while_others_are_written_are_written_next(
    acme: Tenant, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of keys that are being written, and of one that was not in use before."""
    keys = [make_key(acme)[0] for _ in range(3)]
    records = [record(key) for key in keys]
    monkeypatch.setattr(usage_batches, "BATCH", 1)
    ask = Database.ask
    asked: list[str] = []

    async def ask_in_use(self: Database, statement: str, *given: Any, **more: Any) -> Any:
        asked.append(statement)
        for of_key in records:
            counted.note(call_from(HOME), of_key, ALLOWED)
            counted.note(call_from(HOME), of_key, NOT_FOUND)
        return await ask(self, statement, *given, **more)

    async def work(counts: Usage) -> None:
        nonlocal counted
        counted = counts
        for of_key in records[:2]:
            counts.note(call_from(OFFICE), of_key, ALLOWED)
        with monkeypatch.context() as patched:
            patched.setattr(Database, "ask", ask_in_use)
            await counts.flush()
        await counts.flush()
        assert (counts.waiting, counts.lost) == (0, 0)

    counted: Usage
    counting(work)
    times = len(asked)
    assert times >= 2
    assert [calls_of(key) for key in keys] == [
        {"allowed": before + times, "not_found": times} for before in (1, 1, 0)
    ]


def test_of_two_refusals_the_later_one_is_kept_whichever_is_written_first(
    acme: Tenant, make_key: MakeKey
) -> None:
    """As after an outage, when one process still has what another one saw before it."""
    key, _ = make_key(acme)
    kept = record(key)

    def refused(path: bytes, detail: str) -> dt.datetime:
        async def work(counts: Usage) -> None:
            counts.note(call_from(path=path), kept, Verdict(404, "not_found", detail))

        counting(work)
        return clock.now()

    later = refused(b"/v1/later", "The later one.")
    clock.move(dt.timedelta(minutes=-3))
    refused(b"/v1/earlier", "The earlier one.")
    refusal = KeyRefusal.objects.get()
    assert (refusal.path, refusal.detail) == ("/v1/later", "The later one.")
    assert abs(refusal.at - later) < dt.timedelta(minutes=1) and refusal.calls == 2
    clock.move(dt.timedelta(minutes=6))
    refused(b"/v1/latest", "The latest one.")
    refusal.refresh_from_db()
    assert (refusal.path, refusal.detail, refusal.calls) == ("/v1/latest", "The latest one.", 3)


def test_whatever_goes_wrong_once_does_not_end_the_writing(
    acme: Tenant,
    make_key: MakeKey,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither in merging nor in writing; it is logged, and tried again."""
    monkeypatch.setattr(usage, "FLUSH_SECONDS", 0.01)
    key, _ = make_key(acme)
    kept = record(key)
    ask = Database.ask
    failed: set[str] = set()

    async def ask_or_fail(self: Database, statement: str, *given: Any, **more: Any) -> Any:
        if statement not in failed:
            failed.add(statement)
            raise ValueError("nobody has thought of this")
        return await ask(self, statement, *given, **more)

    monkeypatch.setattr(Database, "ask", ask_or_fail)

    async def work(counts: Usage) -> None:
        counts.open()
        counts.note(call_from(), kept, ALLOWED)
        async with asyncio.timeout(20):
            while not await asyncio.to_thread(is_written):
                await asyncio.sleep(0.005)

    def is_written() -> bool:
        try:
            return calls_of(key) == {"allowed": 1}
        finally:
            connections.close_all()

    counting(work)
    assert len(failed) >= 2 and caplog.text.count("ValueError: nobody") == len(failed)
    assert "could not be written; it is tried again" in caplog.text
