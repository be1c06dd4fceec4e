"""The database backend that `settings.DATABASES` names."""

import select
from typing import Any

import psycopg
from django.db.backends.postgresql import base
from psycopg_pool import ConnectionPool


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection that waited in the pool is known to be whole by its silence.

    A Postgres that goes away says so, or its system closes the socket: either way there is
    something to be read where nothing was asked. Only then is a question put, as Django would with
    CONN_HEALTH_CHECKS before every request. What breaks without a word is found by neither.
    """

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """One that works, of the pool where there is one."""
        while True:
            found = super().get_new_connection(conn_params)
            pool = self.pool
            if pool is None or _is_silent(found) or _works(found):
                return found
            pool.putconn(found)  # which drops it, and makes another


def _is_silent(connection: Any) -> bool:
    watch = select.poll()
    watch.register(connection.fileno(), select.POLLIN)
    return not watch.poll(0)


def _works(connection: Any) -> bool:
    try:
        ConnectionPool.check_connection(connection)
    except psycopg.Error:
        return False
    return True
