"""What is counted while something else is being written."""

from typing import Any

import pytest

from accounts.models import Tenant
from apikeys.edge import usage_batches
from apikeys.edge.database import Database
from apikeys.edge.usage import Usage
from apikeys.refusals import ALLOWED, NOT_FOUND
from tests.conftest import MakeKey
from tests.usage import HOME, OFFICE, call_from, calls_of, counting, record


@pytest.fixture
def acme(committed_db: None, acme: Tenant) -> Tenant:
    """Acme, committed: the counter has connections of its own."""
    return acme


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
