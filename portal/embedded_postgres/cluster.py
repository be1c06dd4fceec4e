"""One cluster: made by initdb, served by postgres, ended cleanly, found again after a `kill -9`."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from portal.embedded_postgres.account import succeeds
from portal.embedded_postgres.place import SOCKET_FILE, Place, PostgresError, make_private
from portal.lib.processes import Account, Pause, start, stop, wait

START_SECONDS = 60  # recovery after a crash replays the log first
OLD_SERVER_SECONDS = 12  # longer than the application's statements may run
LOG_BYTES = 5_000_000  # above this a start begins a new log

# No trace of the machine's language: sorting, case and messages are the same everywhere.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
INITDB_OPTIONS = (
    *("--username=postgres", "--auth=scram-sha-256", "--no-instructions"),
    *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
)
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "io_method": "sync",  # no helper processes for a database that fits in memory
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A statement's text, and the values in a message's DETAIL, can hold what must not be logged.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
THROWAWAY_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",  # else it may sit in a template that a test database is made from
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
FAST_SHUTDOWN = signal.SIGINT  # ends sessions, rolls back, writes everything out
IMMEDIATE_SHUTDOWN = signal.SIGQUIT  # the next start recovers


def create(place: Place, password: str, *, durable: bool, pause: Pause) -> None:
    """A new cluster whose superuser is `postgres`; there is either all of it or none."""
    draft = place.data.with_name("postgres.new")
    shutil.rmtree(draft, ignore_errors=True)
    make_private(draft, place.account)
    with (
        tempfile.NamedTemporaryFile("w", dir=place.folder) as secret,
        tempfile.TemporaryFile() as output,
    ):
        secret.write(password)
        secret.flush()
        if place.account:
            os.chown(secret.name, place.account.uid, place.account.gid)
        command: list[str | Path] = [place.programs / "initdb", "-D", draft, *INITDB_OPTIONS]
        command += [f"--pwfile={secret.name}", *([] if durable else ["--no-sync"])]
        child = start(
            command,
            env=ENVIRONMENT,
            cwd=Path("/"),
            stdout=output,
            stderr=output,
            account=place.account,
        )
        try:
            code = wait(child, pause)
        finally:
            stop(child, (signal.SIGTERM, 5))
        if code:
            output.seek(0)
            said = output.read().decode(errors="replace").strip()
            raise PostgresError(f"Postgres's initdb failed:\n{said}")
    draft.rename(place.data)


@contextmanager
def serve(
    place: Place, sockets: Path, *, log: Path, durable: bool, pause: Pause
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs the server until the block ends; entered once it takes connections."""
    quoted = str(sockets).replace('"', '""')
    settings = SETTINGS | ({} if durable else THROWAWAY_SETTINGS)
    settings["unix_socket_directories"] = f'"{quoted}"'
    command: list[str | Path] = [place.programs / "postgres", "-D", place.data]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    process = _start(command, place, log, pause)
    try:
        yield process
    finally:
        stop(process, (FAST_SHUTDOWN, 10), (IMMEDIATE_SHUTDOWN, 5))


def end_orphan(place: Place, pause: Pause) -> None:
    """Ends a server whose launcher was killed, and clears away a lock file that means nothing.

    A lock file whose process is gone is left to Postgres, which also looks for sessions that
    outlived it. One whose number now belongs to another process it would take for a live server.
    """
    pid = _pid(place.data)
    if pid is None or not _exists(pid):
        return
    sockets = socket_folder(place.data)
    is_alive = sockets is not None and answers(sockets)
    if is_alive:
        _signal(pid, FAST_SHUTDOWN, place.account)
    if _ends_within(OLD_SERVER_SECONDS if is_alive else 3, pid, pause):
        return
    if not is_alive:
        (place.data / "postmaster.pid").unlink(missing_ok=True)
        return
    _signal(pid, IMMEDIATE_SHUTDOWN, place.account)
    if not _ends_within(5, pid, pause):
        raise PostgresError(
            f"A Postgres (process {pid}) still runs on {place.data} and does not end."
        )


def socket_folder(data: Path) -> Path | None:
    """Where the last server on this data had its socket; nothing says that it still runs."""
    lines = _lock_file(data)
    return Path(lines[4]) if len(lines) > 4 and lines[4] else None


def answers(sockets: Path) -> bool:
    """Whether a server listens there. Only ours can: the folder is private."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(os.fspath(sockets / SOCKET_FILE))
        except OSError:
            return False
    return True


def _start(
    command: list[str | Path], place: Place, log: Path, pause: Pause
) -> subprocess.Popen[bytes]:
    deadline = time.monotonic() + OLD_SERVER_SECONDS
    while True:
        with _open_log(log) as output:
            written = log.stat().st_size
            process = start(
                command,
                env=ENVIRONMENT,
                cwd=Path("/"),
                stdout=output,
                stderr=output,
                account=place.account,
                farewell=FAST_SHUTDOWN,
            )
        try:
            if _gets_ready(process, place.data, pause):
                return process
        except BaseException:
            stop(process, (FAST_SHUTDOWN, 5), (IMMEDIATE_SHUTDOWN, 5))
            raise
        said = log.read_bytes()[written:].decode(errors="replace")
        # Sessions of a server that was killed see it a moment later, and hold the data until then.
        if "shared memory block" not in said or time.monotonic() > deadline:
            last = "\n".join(said.strip().splitlines()[-5:])
            raise PostgresError(f"Postgres did not start; the end of {log}:\n{last}")
        pause(0.2)


def _gets_ready(process: subprocess.Popen[bytes], data: Path, pause: Pause) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None:
        lines = _lock_file(data)
        if len(lines) > 7 and lines[7] == "ready" and lines[0] == str(process.pid):
            return True
        if time.monotonic() > deadline:
            raise PostgresError(f"Postgres was not ready after {START_SECONDS} seconds.")
        pause(0.01)
    return False


def _ends_within(seconds: float, pid: int, pause: Pause) -> bool:
    deadline = time.monotonic() + seconds
    while _exists(pid):
        if time.monotonic() > deadline:
            return False
        pause(0.02)
    return True


def _signal(pid: int, signum: signal.Signals, account: Account | None) -> None:
    """As the server's account: its lock file is not to say what root signals."""
    if account:
        succeeds(["/bin/sh", "-c", f"kill -{int(signum)} {pid}"], account)
    else:
        os.kill(pid, signum)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):  # another's: not our server
        return False
    return True


def _pid(data: Path) -> int | None:
    lines = _lock_file(data)
    return int(lines[0]) if lines and lines[0].isdecimal() else None


def _lock_file(data: Path) -> list[str]:
    """postmaster.pid: process, data, start, port, socket folder, address, memory, status."""
    try:
        return [line.strip() for line in (data / "postmaster.pid").read_text().splitlines()]
    except FileNotFoundError:
        return []


def _open_log(log: Path) -> IO[bytes]:
    log.parent.mkdir(mode=0o700, exist_ok=True)
    with suppress(FileNotFoundError):
        if log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
    return os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")
