"""Questions to Postgres that are answered or given up in time, whatever Postgres does.

psycopg's pool was made for callers who wait: a caller that it gave up on stays in its queue,
a lost connection is tried again after ever longer pauses, and cancelling a query on a frozen server
takes it five seconds. Here a few lanes, each with a connection of its own, take questions from one
bounded queue, and whoever asks stops waiting by a clock that depends on none of them.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import make_conninfo

LANES = 4
MOST_WAITING = 1000  # questions; one more is given up at once
STATEMENT_MILLISECONDS = 800  # by Postgres itself, so that no backend waits on after we have left
STUCK_SECONDS = 1.0  # then the connection is given up: Postgres would have ended the statement
CONNECT_SECONDS = 1.0
PAUSE_SECONDS = 0.25  # of a lane that failed, before it connects again

Rows = list[tuple[Any, ...]]
T = TypeVar("T")


class DatabaseAway(Exception):
    """No answer in time, or none at all; the message says why."""


@dataclass(frozen=True, slots=True)
class _Question:
    statement: str
    parameters: Sequence[object]
    answer: asyncio.Future[Rows]


class Database:
    """A few connections to Postgres, opened by the first questions and again when they are lost."""

    def __init__(self, keywords: Mapping[str, str]) -> None:
        """keywords: libpq's, from `portal.lib.env.database_parts`. Nothing is opened yet."""
        options = f"{keywords.get('options', '')} -c statement_timeout={STATEMENT_MILLISECONDS}"
        named = {"application_name": "machine door", **keywords, "options": options}
        self._conninfo = make_conninfo(**named)
        self._questions: asyncio.Queue[_Question] = asyncio.Queue(MOST_WAITING)
        self._lanes: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """Start the lanes in the running event loop. Each connects for its first question."""
        self._lanes = [
            asyncio.create_task(_Lane(self._conninfo).run(self._questions)) for _ in range(LANES)
        ]

    async def warm_up(self) -> None:
        """Let all lanes connect now, so that no caller waits for it; in a second at the most."""
        first = [self.ask("SELECT 1", seconds=CONNECT_SECONDS) for _ in range(LANES)]
        await asyncio.gather(*first, return_exceptions=True)

    async def close(self) -> None:
        """End the lanes and their connections, within a second."""
        for lane in self._lanes:
            lane.cancel()
        if self._lanes:
            await asyncio.wait(self._lanes, timeout=1)

    async def ask(
        self, statement: str, parameters: Sequence[object] = (), *, seconds: float
    ) -> Rows:
        """The rows of one statement, or DatabaseAway after so many seconds at the latest.

        The statement may run twice when a connection is lost: it must be one that can.
        """
        answer: asyncio.Future[Rows] = asyncio.get_running_loop().create_future()
        try:
            self._questions.put_nowait(_Question(statement, parameters, answer))
            await asyncio.wait({answer}, timeout=seconds)
            if not answer.done():
                raise DatabaseAway(f"no answer within {seconds} seconds")
            return answer.result()
        except asyncio.QueueFull:
            raise DatabaseAway(f"{MOST_WAITING} questions are waiting already") from None
        finally:
            answer.cancel()


class _Lane:
    """One connection, and the questions that it answers one after the other."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._connection: psycopg.AsyncConnection | None = None
        self._next_attempt_at = 0.0

    async def run(self, questions: asyncio.Queue[_Question]) -> None:
        """Answer until cancelled."""
        try:
            while True:
                await self._answer(await questions.get())
        finally:
            await self._disconnect()

    async def _answer(self, question: _Question) -> None:
        """Settle the question, unless nobody waits for it any more.

        That a connection was lost while it lay idle shows when it is used: then a fresh one is
        asked. After any other error it is given up too, since nobody knows what became of it.
        """
        is_fresh = False
        while not question.answer.done():
            try:
                if self._connection is None:
                    is_fresh = True
                    self._connection = await self._connect()
                rows = await _within(STUCK_SECONDS, _rows(self._connection, question))
            except Exception as error:
                was_lost = self._connection is not None and self._connection.closed
                await self._disconnect()
                if was_lost and not is_fresh:
                    continue
                self._next_attempt_at = monotonic() + PAUSE_SECONDS
                if not question.answer.done():
                    reason = f"{type(error).__name__}: {error}"
                    question.answer.set_exception(DatabaseAway(" ".join(reason.split())))
            else:
                if not question.answer.done():
                    question.answer.set_result(rows)

    async def _connect(self) -> psycopg.AsyncConnection:
        await asyncio.sleep(self._next_attempt_at - monotonic())
        connecting = psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)
        return await _within(CONNECT_SECONDS, connecting)

    async def _disconnect(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()


async def _rows(connection: psycopg.AsyncConnection, question: _Question) -> Rows:
    cursor = await connection.execute(question.statement, question.parameters)
    return await cursor.fetchall() if cursor.description else []


async def _within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """The result of the work; TimeoutError after so many seconds even where it resists.

    Cancelled once, psycopg asks the server to cancel and waits five seconds for it; cancelled
    again while it does, it closes the connection. Only then may others touch that connection:
    the event loop still watches its socket.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            raise TimeoutError(f"stuck for {seconds} seconds")
        return task.result()
    finally:
        if not task.done():
            task.add_done_callback(_forget)
            task.cancel()
            asyncio.get_running_loop().call_soon(task.cancel)
            await asyncio.wait({task}, timeout=1)


def _forget(task: asyncio.Task[Any]) -> None:
    """Take notice of how an abandoned task ended, or asyncio would complain that nobody did."""
    if not task.cancelled():
        task.exception()
