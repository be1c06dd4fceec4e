"""Switches that must be read, many at once or late: who waits for whom, and what is remembered."""

import asyncio
import uuid
from collections.abc import Sequence
from time import monotonic

import pytest

from apikeys.edge import reads
from apikeys.edge.database import Database, DatabaseAway, Rows
from apikeys.edge.markets import Markets, Switched
from tests.door import run

ACME, GLOBEX = uuid.uuid4(), uuid.uuid4()
NOTHING_OFF = Switched(1, 1, frozenset())


class Slow(Database):
    """Answers each question when it is told to, or fails it; but no later than whoever asks."""

    def __init__(self) -> None:
        super().__init__({})
        self.asked: list[asyncio.Future[bool]] = []  # whether it is answered

    async def ask(
        self, statement: str, parameters: Sequence[object] = (), *, seconds: float
    ) -> Rows:
        """Nothing is off for any tenant."""
        (tenants,) = parameters
        assert isinstance(tenants, list)
        told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.asked.append(told)
        await asyncio.wait({told}, timeout=seconds)
        if not told.done() or not told.result():
            raise DatabaseAway("slow")
        return [(tenant, 1, 1, []) for tenant in tenants]

    async def questions(self, number: int) -> None:
        """Until so many were asked."""
        while len(self.asked) < number:
            await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy with other tests is no outage."""
    monkeypatch.setattr(reads, "PATIENCE_SECONDS", 20)
    monkeypatch.setattr(reads, "READ_SECONDS", 20)


def test_a_slow_read_holds_up_no_other_tenant() -> None:
    """There are several lanes; and nobody reads the same twice at once."""

    async def work() -> None:
        slow = Slow()
        opened = Markets(slow, lambda _: True)
        first = [asyncio.create_task(opened.of(ACME)) for _ in range(2)]
        await slow.questions(1)
        other = asyncio.create_task(opened.of(GLOBEX))
        await slow.questions(2)
        slow.asked[1].set_result(True)
        assert await other == NOTHING_OFF
        assert len(slow.asked) == 2 and not any(task.done() for task in first)
        slow.asked[0].set_result(True)
        assert await asyncio.gather(*first) == [NOTHING_OFF] * 2
        await opened.close()

    run(work)


def test_what_a_late_read_brought_is_remembered_though_its_callers_have_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a Postgres that is a little too slow would be asked for ever, and nobody answered."""
    monkeypatch.setattr(reads, "PATIENCE_SECONDS", 0.02)

    async def work() -> None:
        slow = Slow()
        opened = Markets(slow, lambda _: True)
        with pytest.raises(DatabaseAway):
            await opened.of(ACME)
        assert opened.recall(ACME) is None
        await asyncio.sleep(2 * reads.PATIENCE_SECONDS)  # it is late indeed
        slow.asked[0].set_result(True)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert opened.recall(ACME) == NOTHING_OFF
        await opened.close()

    run(work)


def test_a_call_that_has_waited_already_waits_for_no_more_than_it_says() -> None:
    """It is refused in time, and who comes anew is told what was read."""

    async def work() -> None:
        slow = Slow()
        opened = Markets(slow, lambda _: True)
        async with asyncio.timeout(10):
            with pytest.raises(DatabaseAway):
                await opened.of(ACME, monotonic() + 0.01)
        slow.asked[0].set_result(True)
        assert await opened.of(ACME) == NOTHING_OFF
        await opened.close()

    run(work)


def test_who_came_while_a_read_was_under_way_asks_again_when_it_fails() -> None:
    """It may have been under way for long, and Postgres be back."""

    async def work() -> None:
        slow = Slow()
        opened = Markets(slow, lambda _: True)
        first = asyncio.create_task(opened.of(ACME))
        await slow.questions(1)
        later = asyncio.create_task(opened.of(ACME))
        await asyncio.sleep(0)
        slow.asked[0].set_result(False)
        with pytest.raises(DatabaseAway):
            await first
        await slow.questions(2)
        slow.asked[1].set_result(True)
        assert await later == NOTHING_OFF
        await opened.close()

    run(work)
