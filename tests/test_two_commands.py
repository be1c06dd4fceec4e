"""bin/run and bin/manage as a person starts them: what works, what stays, what ends."""

import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psycopg
import pytest

from portal.embedded_postgres import Server, embedded_postgres, running_server
from portal.launch.environment import ROOT, Address
from portal.launch.home import Home
from portal.launch.worker import Worker
from tests.browser.live import free_port

START_SECONDS = 120  # a bound, not an expectation: a cold start takes a few seconds
STOP_SECONDS = 20


@dataclass
class Machine:
    """A PORTAL_HOME and a port of its own, and nothing of ours in the environment."""

    home: Path
    port: int
    internal_port: int | None = None

    def command(self, name: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
        """What `subprocess` needs to start it."""
        environment = {
            name: value for name in ("PATH", "HOME", "LANG") if (value := os.environ.get(name))
        }
        environment |= {"PORTAL_HOME": str(self.home), "PORT": str(self.port)}
        if self.internal_port:
            environment["INTERNAL_PORT"] = str(self.internal_port)
        return [str(ROOT / "bin" / name), *arguments], environment

    def call(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Starts it and waits for its end."""
        command, environment = self.command(name, *arguments)
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=START_SECONDS
        )

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """bin/run, entered once it says that it is up."""
        command, environment = self.command("run")
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
            try:
                until(
                    lambda: b"Ctrl-C stops everything" in said(output) or process.poll() is not None
                )
                assert process.poll() is None, said(output).decode()
                yield process
            finally:
                process.kill()
                process.wait()

    def processes(self) -> dict[int, str]:
        """The command lines of all that works for this PORTAL_HOME, by their ids."""
        mark = os.fsencode(self.home)
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes()
                about = command + (folder / "environ").read_bytes()
            except OSError:  # it ended, or is not ours to look at
                continue
            if command and mark in about:
                found[int(folder.name)] = command.replace(b"\0", b" ").decode()
        return found

    def workers(self) -> set[int]:
        """Those that have come to work, as Postgres knows them; none while it recovers."""
        url = self.server().url("portal_owner")
        with suppress(psycopg.OperationalError), psycopg.connect(url) as connection:
            found = connection.execute("SELECT id FROM procrastinate_workers")
            return {row[0] for row in found}
        return set()

    def server(self) -> Server:
        """The Postgres that bin/run runs."""
        server = running_server(self.home, Home(self.home).secrets().postgres)
        assert server is not None
        return server

    def first_migration(self) -> str:
        """When the database was made: the same for as long as it is the same one."""
        with psycopg.connect(self.server().url("portal_owner")) as connection:
            row = connection.execute("SELECT min(applied)::text FROM django_migrations").fetchone()
        assert row is not None
        return str(row[0])


def said(output: IO[bytes]) -> bytes:
    """What a process has written so far, wherever it is writing."""
    return os.pread(output.fileno(), 1_000_000, 0)


def until(condition: Callable[[], bool], seconds: float = START_SECONDS) -> None:
    """Returns as soon as it holds; fails when it does not within the bound."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


@pytest.fixture
def machine() -> Iterator[Machine]:
    # Not tmp_path: pytest keeps that where only root gets to, when it is root.
    with (
        tempfile.TemporaryDirectory(prefix="portal-two-", ignore_cleanup_errors=True) as folder,
        socket.create_server(("127.0.0.1", 0)) as free,
    ):
        port = free.getsockname()[1]
        free.close()
        yield Machine(Path(folder).resolve(), port)


@pytest.fixture
def passwords() -> dict[str, str]:
    return {"postgres": "s1 /?%", "portal_owner": "s2", "portal_app": "s3"}


@pytest.mark.service
def test_while_it_runs_manage_shares_its_database_and_a_second_run_is_refused(
    machine: Machine,
) -> None:
    with machine.running() as process:
        with urllib.request.urlopen(f"http://localhost:{machine.port}/healthz") as answer:
            assert answer.status == 200

        asked = machine.call(
            "manage",
            "shell",
            "-v0",
            "-c",
            "from portal import settings as s; print(s.PORTAL_BASE_URL)",
        )
        assert asked.stdout == f"http://localhost:{machine.port}\n", asked.stderr

        second = machine.call("run")
        assert second.returncode == 1
        assert f"already running on {machine.home} (process {process.pid}" in second.stderr

        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_SECONDS) == 0
    assert machine.processes() == {}


@pytest.mark.service
def test_with_an_internal_port_proxies_ask_there_and_nowhere_else(machine: Machine) -> None:
    machine.internal_port = machine.port
    assert "INTERNAL_PORT is the same as PORT" in machine.call("run").stderr
    machine.internal_port = free_port()
    with machine.running() as process:
        asked = {
            port: status_of(f"http://localhost:{port}/internal/authorize/v1/whoami")
            for port in (machine.port, machine.internal_port)
        }
        assert asked == {machine.port: 404, machine.internal_port: 401}
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_SECONDS) == 0
    assert machine.processes() == {}


def status_of(url: str) -> int:
    """What is answered there."""
    try:
        with urllib.request.urlopen(url) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.service
def test_the_next_run_finds_the_data_after_ctrl_c_and_after_kill_9(machine: Machine) -> None:
    with machine.running() as process:
        made_at = machine.first_migration()
        process.send_signal(signal.SIGINT)
        assert process.wait(STOP_SECONDS) == 0
    assert machine.processes() == {}

    with machine.running() as process:
        assert machine.first_migration() == made_at
        process.kill()
        process.wait()
        until(lambda: machine.processes() == {}, STOP_SECONDS)

    with machine.running():
        assert machine.first_migration() == made_at
        os.kill(
            int((machine.server().data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL
        )
        until(lambda: machine.processes() == {}, STOP_SECONDS)


@pytest.mark.service
def test_a_crash_of_postgres_ends_nothing_and_a_worker_that_ends_is_started_again(
    machine: Machine,
) -> None:
    """It ends with code 0 if it meets a Postgres in recovery; here it ends so in any case."""
    with machine.running() as process:
        until(lambda: bool(machine.workers()))
        before = machine.workers()
        (worker,) = (pid for pid, name in machine.processes().items() if "procrastinate" in name)
        with psycopg.connect(machine.server().url("portal_app")) as connection:
            os.kill(connection.info.backend_pid, signal.SIGKILL)
        os.kill(worker, signal.SIGTERM)
        until(lambda: process.poll() is not None or bool(machine.workers() - before))
        assert process.poll() is None
        assert status_of(f"http://localhost:{machine.port}/healthz") == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_SECONDS) == 0
    assert machine.processes() == {}


@pytest.mark.service
def test_each_end_of_a_worker_that_cannot_even_start_is_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its settings are unsafe; bin/run waits a moment between two tries."""
    waits: list[float] = []
    with Worker({}) as worker:
        for tries in range(1, 3):
            until(lambda: worker.restart_if_ended(waits.append))
            said = capsys.readouterr().err
            assert said == "The worker ended by itself (code 1). It is started again.\n"
            assert len(waits) == tries and min(waits) > 0


@pytest.mark.service
def test_manage_alone_starts_postgres_and_prints_the_commands_output_only(
    machine: Machine,
) -> None:
    said_and_left = "print('only this'); raise SystemExit(3)"
    done = machine.call("manage", "shell", "--verbosity=0", "--command", said_and_left)

    assert (done.returncode, done.stdout) == (3, "only this\n"), done.stderr
    assert machine.processes() == {}


@pytest.mark.service
def test_a_port_in_use_is_said_in_one_sentence_and_nothing_is_left(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", machine.port)):
        done = machine.call("run")

    assert done.returncode == 1
    assert done.stderr == (
        f"bin/run: Port {machine.port} on 127.0.0.1 is in use. "
        f"Another one: PORT={machine.port + 1} bin/run\n"
    )
    assert machine.processes() == {}


@pytest.mark.service
def test_a_deep_home_gets_a_short_socket_folder_for_as_long_as_it_is_needed(
    machine: Machine, passwords: dict[str, str]
) -> None:
    machine.home.chmod(0o755)
    home = machine.home / ("a" * 60) / ("b, c" * 15)
    home.mkdir(parents=True)

    with embedded_postgres(home, passwords=passwords, durable=False) as server:
        assert home not in server.sockets.parents
        assert server.sockets.stat().st_mode & 0o777 == 0o700
        with psycopg.connect(server.url("portal_app")) as connection:
            settings = connection.execute(
                "SELECT current_user, current_setting('listen_addresses')"
            ).fetchone()
    assert settings == ("portal_app", "")
    assert not server.sockets.exists()


@pytest.mark.service
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to change its account")
def test_in_a_home_that_only_root_may_enter_the_data_lies_elsewhere(
    machine: Machine, passwords: dict[str, str]
) -> None:
    home = machine.home / "closed" / "home"
    home.mkdir(parents=True)
    home.parent.chmod(0o700)
    told: list[str] = []

    with embedded_postgres(home, passwords=passwords, durable=False, tell=told.append) as server:
        assert home not in server.data.parents
        assert any(str(server.data.parent) in sentence for sentence in told)
        assert server.data.stat().st_uid != 0
        with psycopg.connect(server.url("portal_owner")) as connection:
            connection.execute("CREATE TABLE proof ()")
    assert not server.data.exists()  # it was not to last


@pytest.mark.service
def test_the_application_role_may_log_in_and_nothing_else(
    machine: Machine, passwords: dict[str, str]
) -> None:
    with embedded_postgres(machine.home, passwords=passwords, durable=False) as server:
        with psycopg.connect(server.url("portal_app"), autocommit=True) as connection:
            for statement in ("CREATE TABLE t ()", "CREATE SCHEMA s", "CREATE DATABASE d"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(server.url("portal_app").replace("s3", "s2"))


@pytest.mark.parametrize(
    ("host", "base_url", "reachable"),
    [
        ("127.0.0.1", "http://localhost:8000", "127.0.0.1"),
        ("0.0.0.0", "http://localhost:8000", "127.0.0.1"),  # noqa: S104 - nothing is bound
        ("::", "http://localhost:8000", "::1"),
        ("192.0.2.7", "http://192.0.2.7:8000", "192.0.2.7"),
        ("2001:db8::7", "http://[2001:db8::7]:8000", "2001:db8::7"),
        ("portal.test", "http://portal.test:8000", "portal.test"),
    ],
)
def test_links_name_a_host_that_a_browser_on_this_machine_can_reach(
    host: str, base_url: str, reachable: str
) -> None:
    address = Address(host, 8000)

    assert (address.base_url, address.reachable_host) == (base_url, reachable)


def test_the_lock_for_tests_holds_the_lock_of_the_application() -> None:
    def pins(name: str) -> set[str]:
        text = (ROOT / "requirements" / f"{name}.txt").read_text()
        lines = (line.split("    #")[0] for line in text.splitlines())
        return {line.strip(" \\") for line in lines if line.strip() and not line.startswith("#")}

    assert pins("app") <= pins("test")
