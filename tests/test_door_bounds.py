"""What one process of the machine door holds has bounds, whatever is sent to it."""

import asyncio
from collections.abc import Sequence

import pytest

from apikeys.edge import directory as directories
from apikeys.edge import reads
from apikeys.edge.database import LANES, Database, DatabaseAway, Rows
from apikeys.edge.directory import MISSING, Directory
from apikeys.edge.store import Store
from apikeys.verdict import KeyRecord
from tests.door import run
from tests.test_directory import learnt, make_row


class Slow(Database):
    """Answers, when it is told to, that it has none of those."""

    def __init__(self) -> None:
        super().__init__({})
        self.answers = asyncio.Event()

    async def ask(
        self, statement: str, parameters: Sequence[object] = (), *, seconds: float
    ) -> Rows:
        """Waits, however long."""
        await self.answers.wait()
        return []


def test_a_secret_too_many_is_given_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And whoever asks about one that waits already waits with it; later there is room again."""
    monkeypatch.setattr(reads, "MOST_WAITING", 3)
    monkeypatch.setattr(reads, "PATIENCE_SECONDS", 10)

    async def work() -> None:
        database = Slow()
        asked = Store(database, Directory(100))
        calls: list[asyncio.Task[object]] = []

        async def come(*numbers: int) -> None:
            for number in numbers:
                calls.append(asyncio.create_task(asked.key_record(f"vbk_{number:024d}")))
                await asyncio.sleep(0)  # it is waiting
                await asyncio.sleep(0)  # a lane that is free has asked

        await come(*range(LANES), *range(100, 103), 100)
        assert len(asked._reads._waiting) == 3 and not any(call.done() for call in calls)
        with pytest.raises(DatabaseAway, match="3 reads are waiting already"):
            await asked.key_record(f"vbk_{200:024d}")
        database.answers.set()
        assert set(await asyncio.gather(*calls)) == {None}
        assert await asked.key_record(f"vbk_{200:024d}") is None
        assert not asked._reads._reads and not asked._reads._waiting
        await asked.close()

    run(work)


def test_combinations_of_scopes_and_sports_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are never let go; so above it everything is forgotten, and read anew."""
    monkeypatch.setattr(directories, "MOST_COMBINATIONS", 5)
    directory = Directory(1000)
    for number in range(100):
        learnt(directory, 1000 + number)
    assert len(directory) == 100 and directory._entries.combinations == 1
    for number in range(40):
        row = make_row(number, scopes=(f"cs2:{number}:list",))
        sha = learnt(directory, number, row)
        if directory.find(sha) is MISSING:
            learnt(directory, number, row)
        found = directory.find(sha)
        assert isinstance(found, KeyRecord) and found.key == row.own.key
        assert directory._entries.combinations <= 5
    assert len(directory) <= 5
