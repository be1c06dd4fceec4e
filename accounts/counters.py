"""A small cache in Postgres whose counting is atomic: what django-ratelimit needs without a Redis.

Django's DatabaseCache reads, adds and writes in three steps: of 400 hits at once it counts 95.
Here each step is one statement. It counts and forgets; nothing else should be kept in it.
"""

import datetime as dt
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.db import connection

from portal.lib import clock


class PostgresCounters(BaseCache):
    """Django's cache interface, as far as counting goes, over `accounts_counter`."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)

    def add(
        self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        """Set the counter unless it runs already; did it?"""
        return self._write(key, value, timeout, version, only_if_over=True)

    def set(
        self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        """Set the counter, whatever it was."""
        self._write(key, value, timeout, version, only_if_over=False)

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        """Count, in one statement. ValueError if the counter does not run."""
        row = self._row(
            "UPDATE accounts_counter SET value = value + %s "
            "WHERE key = %s AND expires_at > %s RETURNING value",
            [delta, self.make_key(key, version), clock.now()],
        )
        if row is None:
            raise ValueError(f"the counter {key!r} does not run")
        return int(row[0])

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        """What was counted so far."""
        row = self._row(
            "SELECT value FROM accounts_counter WHERE key = %s AND expires_at > %s",
            [self.make_key(key, version), clock.now()],
        )
        return default if row is None else row[0]

    def delete(self, key: str, version: int | None = None) -> bool:
        """Forget a counter; was there one?"""
        row = self._row(
            "DELETE FROM accounts_counter WHERE key = %s RETURNING 1",
            [self.make_key(key, version)],
        )
        return row is not None

    def clear(self) -> None:
        """Forget all of them."""
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM accounts_counter")

    def _write(
        self, key: str, value: Any, timeout: Any, version: int | None, *, only_if_over: bool
    ) -> bool:
        seconds = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        now = clock.now()
        row = self._row(
            "INSERT INTO accounts_counter (key, value, expires_at) VALUES (%s, %s, %s) "
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value, "
            "expires_at = excluded.expires_at "
            "WHERE NOT %s OR accounts_counter.expires_at <= %s RETURNING 1",
            [
                self.make_key(key, version),
                int(value),
                now + dt.timedelta(seconds=seconds or 0),
                only_if_over,
                now,
            ],
        )
        return row is not None

    def _row(self, statement: str, parameters: list[Any]) -> tuple[Any, ...] | None:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            row: tuple[Any, ...] | None = cursor.fetchone()
            return row
