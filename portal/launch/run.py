"""`bin/run`: Postgres, migrations, demo data and the server, up together and down together."""

import errno
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from portal.embedded_postgres import Server, embedded_postgres
from portal.launch.environment import (
    ROOT,
    Address,
    django_environment,
    home_folder,
    internal_address,
    listen_address,
    manage_command,
    uses_own_postgres,
)
from portal.launch.home import Holder, Home, LaunchError, Secrets
from portal.launch.terminal import say
from portal.launch.worker import Worker
from portal.lib.processes import Pause, Signals, Stopped, start, stop, wait

MARKET_TYPES = ROOT / "markets" / "data" / "market_types.json"
PORTAL, INTERNAL = "portal.asgi:application", "apikeys.edge.internal:application"
SERVER_START_SECONDS = 60
OPEN_CONNECTIONS_SECONDS = 3  # that a server which ends waits for its open connections

USAGE = """\
bin/run starts the whole portal on this machine, and Ctrl-C stops it. It takes no arguments;
these variables change what it does:

  PORT          the port to listen on (8000)
  HOST          the address to listen on (127.0.0.1)
  PORTAL_HOME   the folder for data, mails and secrets (.portal in the clone)
  INTERNAL_PORT the port for proxies that ask before they let a call pass (none)
  DATABASE_URL  another Postgres instead of the embedded one, as the application's role
  DATABASE_OWNER_URL  the same database as its owner, who migrates
  EMAIL_URL     smtp://… or smtp+tls://…: send mails instead of writing them to files
  PYTHON        the Python to make .venv with
"""


def main(caller: Path, arguments: list[str]) -> int:
    """Runs until it is stopped (0) or one of its processes but the worker dies (LaunchError)."""
    if arguments:
        if set(arguments) <= {"-h", "--help"}:
            sys.stdout.write(USAGE)
            return 0
        raise LaunchError("takes no arguments; bin/run --help shows what can be set.")
    address, internal = listen_address(), internal_address()
    home = Home(home_folder(caller))
    with Signals() as signals:
        try:
            _run(home, address, internal, signals.pause)
        except Stopped:
            say("Stopped.")
        finally:
            home.unlock()
    return 0


def _run(home: Home, address: Address, internal: Address | None, pause: Pause) -> None:
    base_url = os.environ.get("PORTAL_BASE_URL") or address.base_url
    holder = Holder("bin/run", os.getpid(), base_url)
    _take(home, holder, pause)
    _check_port(address, "PORT")
    if internal:
        _check_port(internal, "INTERNAL_PORT")
    secrets = home.secrets()
    with _postgres(home, secrets, pause) as server:
        environment = django_environment(
            home=home.folder, secrets=secrets, base_url=base_url, server=server
        )
        links = _prepare(environment, pause)
        say("Starting the server …")
        with (
            _granian(PORTAL, address, environment) as granian,
            _internal(internal, environment) as listener,
            Worker(environment) as worker,
        ):
            _await_health(address, granian, pause)
            if internal and listener:
                _await_health(internal, listener, pause)
            home.remember_base_url(base_url)
            home.announce(replace(holder, ready=True))
            _summarize(home, base_url, internal, server, links)
            try:
                ours = {"server": granian, "internal listener": listener}
                _watch(ours, worker, server, home, pause)
            finally:
                home.announce(holder)


def _take(home: Home, holder: Holder, pause: Pause) -> None:
    """Becomes the one bin/run of this PORTAL_HOME; waits for a bin/manage to finish first."""
    told = False
    while not home.try_lock(holder):
        other = home.holder()
        if other and other.command == "bin/run":
            raise LaunchError(
                f"is already running on {home.folder} (process {other.pid}, {other.base_url}). "
                "Stop that one first, or give this one a PORTAL_HOME and a PORT of its own."
            )
        if not told and other:
            say(f"Waiting for {other.command} (process {other.pid}) to finish …")
            told = True
        pause(0.1)


def _check_port(address: Address, variable: str) -> None:
    """Before anything starts: a port in use should cost a second, not a migration."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise LaunchError(f"HOST={address.host} is not an address: {error.strerror}.") from None
    family, kind, _, _, target = found[0]
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(target)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise LaunchError(
                    f"Port {address.port} on {address.host} is in use. "
                    f"Another one: {variable}={address.port % 65535 + 1} bin/run"
                ) from None
            raise LaunchError(
                f"Cannot listen on {address.host}, port {address.port}: {error.strerror}."
            ) from None


@contextmanager
def _postgres(home: Home, secrets: Secrets, pause: Pause) -> Iterator[Server | None]:
    if not uses_own_postgres():
        yield None
        return
    say("Starting Postgres …")
    with embedded_postgres(
        home.folder, passwords=secrets.postgres, pause=pause, tell=say
    ) as server:
        yield server


def _prepare(environment: Mapping[str, str], pause: Pause) -> dict[str, str]:
    """Brings database and static files up to date; gives the demo's links by name."""
    say("Preparing the database …")
    quietly = ["--no-input", "--verbosity=0"]
    # Beside the others: it is the slowest, and needs no database.
    with _django(["collectstatic", *quietly], environment, pause) as collectstatic:
        with _django(["migrate", *quietly], environment, pause) as migrate:
            migrate()
        # Before the demo's tenant comes, to which new types would be news.
        catalogue = ["load_market_types", "--if-empty", str(MARKET_TYPES)]
        with (
            _django(["compile_translations"], environment, pause) as compile_translations,
            _django(catalogue, environment, pause) as load_market_types,
        ):
            compile_translations()
            load_market_types()
        with _django(["demo"], environment, pause) as demo:
            output = demo()
        collectstatic()
    return dict(line.split(" ", 1) for line in output.splitlines() if " " in line)


@contextmanager
def _django(
    arguments: list[str], environment: Mapping[str, str], pause: Pause
) -> Iterator[Callable[[], str]]:
    """Starts one of Django's commands; calling what is given waits for its end and its output."""
    with tempfile.TemporaryFile() as output:
        command = manage_command(sys.executable, arguments)
        child = start(command, env=environment, cwd=ROOT, stdout=output)

        def finish() -> str:
            if wait(child, pause):
                raise LaunchError(f"manage.py {arguments[0]} failed; what it said is above.")
            output.seek(0)
            return output.read().decode()

        try:
            yield finish
        finally:
            stop(child, (signal.SIGTERM, 5))


@contextmanager
def _granian(
    target: str, address: Address, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "granian", "--interface", "asgi", target]
    command += ["--host", address.host, "--port", str(address.port), "--workers", "1"]
    # Requests are logged by the portal itself, which knows what to leave out.
    command += ["--no-access-log", "--log-level", "warning"]
    command += ["--workers-kill-timeout", str(OPEN_CONNECTIONS_SECONDS)]
    # Where the real feed will stand; EXAMPLE_FEED=0 leaves the place empty.
    granian = start(command, env={"EXAMPLE_FEED": "1", **environment}, cwd=ROOT)
    try:
        yield granian
    finally:
        stop(granian, (signal.SIGTERM, OPEN_CONNECTIONS_SECONDS + 3))


@contextmanager
def _internal(
    address: Address | None, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes] | None]:
    """What proxies ask. A process of its own, since no port of it may be a public one."""
    if address is None:
        yield None
        return
    with _granian(INTERNAL, address, environment) as listener:
        yield listener


def _await_health(address: Address, granian: subprocess.Popen[bytes], pause: Pause) -> None:
    deadline = time.monotonic() + SERVER_START_SECONDS
    while not _is_healthy(address):
        if granian.poll() is not None:
            raise LaunchError("The server ended while it was starting; what it said is above.")
        if time.monotonic() > deadline:
            raise LaunchError(f"The server did not answer within {SERVER_START_SECONDS} seconds.")
        pause(0.05)


def _is_healthy(address: Address) -> bool:
    connection = http.client.HTTPConnection(address.reachable_host, address.port, timeout=5)
    try:
        connection.request("GET", "/healthz", headers={"Host": f"localhost:{address.port}"})
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _summarize(
    home: Home,
    base_url: str,
    internal: Address | None,
    server: Server | None,
    links: Mapping[str, str],
) -> None:
    rows = {
        "Portal": f"{base_url}/client/",
        "Operator's invite": links.get("operator", ""),
        "Staff's invite": links.get("staff", ""),
        "Internal": f"{internal.base_url}/internal/authorize" if internal else "",
        "Mails": "go out by EMAIL_URL" if os.environ.get("EMAIL_URL") else home.folder / "mail",
        "Data": home.folder,
        "Database": server.data if server else "the one of DATABASE_URL",
    }
    lines = [f"  {name:<18} {value}" for name, value in rows.items() if value]
    text = ["", "The portal is up.", "", *lines, "", "Ctrl-C stops everything.", ""]
    sys.stdout.write("\n".join(text))
    sys.stdout.flush()


def _watch(
    ours: Mapping[str, subprocess.Popen[bytes] | None],
    worker: Worker,
    server: Server | None,
    home: Home,
    pause: Pause,
) -> None:
    """Returns never: what it waits for is a signal, or the end of a child but for the worker."""
    postgres = server.process if server else None
    while True:
        for name, child in ours.items():
            if child and child.poll() is not None:
                raise LaunchError(f"The {name} ended by itself (code {child.returncode}).")
        if postgres and postgres.poll() is not None:
            log = home.folder / "log" / "postgres.log"
            raise LaunchError(
                f"Postgres ended by itself (code {postgres.returncode}); its log is {log}."
            )
        # Last: where others have ended it has nothing to come back to.
        if not worker.restart_if_ended(pause):
            pause(60)  # a child's end cuts it short
