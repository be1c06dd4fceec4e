"""Questions to the database are given up in time, against servers that are none."""

import asyncio
import socket
from pathlib import Path

import pytest

from apikeys.edge import database
from apikeys.edge.database import Database, DatabaseAway
from tests.door import run


def test_where_nothing_listens_the_answer_is_at_once_that_it_is_away(tmp_path: Path) -> None:
    """With the reason."""

    async def work() -> None:
        asked = Database({"host": str(tmp_path)})
        asked.open()
        with pytest.raises(DatabaseAway, match=r"OperationalError: .*No such file or directory"):
            await asked.ask("SELECT 1", seconds=30)
        await asked.close()

    run(work)


def test_a_server_that_takes_a_connection_and_says_nothing_is_given_up(tmp_path: Path) -> None:
    """As a frozen one does. The lane that tries to connect is ended when the door closes."""

    async def work() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            listening.bind(str(tmp_path / ".s.PGSQL.5432"))
            listening.listen()
            asked = Database({"host": str(tmp_path)})
            asked.open()
            with pytest.raises(DatabaseAway, match="no answer within"):
                await asked.ask("SELECT 1", seconds=0.02)
            await asked.close()

    run(work)


def test_a_question_too_many_is_given_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long an outage lasts, what waits is bounded."""
    monkeypatch.setattr(database, "MOST_WAITING", 2)

    async def work() -> None:
        asked = Database({})
        waiting = [asyncio.create_task(asked.ask("SELECT 1", seconds=30)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(DatabaseAway, match="2 questions are waiting already"):
            await asked.ask("SELECT 1", seconds=30)
        for each in waiting:
            each.cancel()
        await asyncio.wait(waiting)

    run(work)


def test_a_database_that_was_never_opened_can_be_closed() -> None:
    """Nothing is there to end."""
    run(Database({}).close)
