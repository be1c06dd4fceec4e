"""A connection to Postgres that hears announcements, and never waits for what does not come.

psycopg's own way of waiting is passed by: cancelled on a frozen server it asks that server to
cancel, and gives up five seconds later. Here libpq's socket is read when there is something to be
read, whoever waits does so by the event loop's clock, and `close` ends the connection at once.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg import pq

CONNECT_SECONDS = 1.0

_ENDED_WELL = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)

Heard = Callable[[str, str], None]  # channel and payload
Values = Sequence[str]  # the first row of the last result


class LineLost(Exception):
    """The connection is of no use any more; the message says why."""


class Line:
    """One connection, one question at a time; what is announced meanwhile goes to `heard`."""

    def __init__(self, connection: psycopg.AsyncConnection, heard: Heard) -> None:
        """connection: one that nobody else uses. It is closed with this line."""
        self._connection = connection  # ends when it is not referred to any more
        self._pgconn = connection.pgconn
        self._pgconn.nonblocking = 1
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._socket = self._pgconn.socket
        self._row: Values = ()
        self._answer: asyncio.Future[Values] | None = None
        self._lost: asyncio.Future[str] = self._loop.create_future()
        self._loop.add_reader(self._socket, self._read)

    async def ask(self, statement: str, *, seconds: float) -> Values:
        """The first row as text; what was announced before it was answered has been heard.

        Raises LineLost, after so many seconds at the latest.
        """
        answer: asyncio.Future[Values] = self._loop.create_future()
        self._row, self._answer = (), answer
        try:
            self._pgconn.send_query(statement.encode())
            self._pgconn.flush()
        except psycopg.Error as error:
            raise LineLost(_in_one_line(error)) from None
        either: set[asyncio.Future[Any]] = {answer, self._lost}
        await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise LineLost(self._lost.result() if self._lost.done() else f"silent for {seconds} s")

    async def rest(self, seconds: float) -> None:
        """Listen for so long, or until the connection is lost: LineLost."""
        await asyncio.wait({self._lost}, timeout=seconds)
        if self._lost.done():
            raise LineLost(self._lost.result())

    def close(self) -> None:
        """End the connection without a word to the server, which may be frozen."""
        self._loop.remove_reader(self._socket)
        self._pgconn.finish()

    def _read(self) -> None:
        try:
            self._pgconn.consume_input()
            is_answered = self._take_results()
            while announced := self._pgconn.notifies():
                self._heard(announced.relname.decode(), announced.extra.decode())
        except (psycopg.Error, LineLost) as error:
            self._loop.remove_reader(self._socket)
            if not self._lost.done():
                self._lost.set_result(_in_one_line(error))
            return
        if is_answered and self._answer and not self._answer.done():
            self._answer.set_result(self._row)

    def _take_results(self) -> bool:
        """Whether the question, if there is one, is answered to its end."""
        while not self._pgconn.is_busy():
            result = self._pgconn.get_result()
            if result is None:
                return True
            if result.status not in _ENDED_WELL:
                raise LineLost(result.get_error_message())
            if result.ntuples:
                values = (result.get_value(0, column) for column in range(result.nfields))
                self._row = [(value or b"").decode() for value in values]
        return False


async def connect(conninfo: str) -> psycopg.AsyncConnection:
    """A connection for a Line. Raises LineLost, after CONNECT_SECONDS at the latest."""
    connecting = asyncio.ensure_future(psycopg.AsyncConnection.connect(conninfo, autocommit=True))
    try:
        await asyncio.wait({connecting}, timeout=CONNECT_SECONDS)
        if not connecting.done():
            raise LineLost(f"no connection within {CONNECT_SECONDS} s")
        return connecting.result()
    except psycopg.Error as error:
        raise LineLost(_in_one_line(error)) from None
    finally:
        if not connecting.done():
            connecting.cancel()
            await asyncio.wait({connecting}, timeout=1)


def _in_one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
