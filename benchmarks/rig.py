"""Postgres with a hundred thousand live keys, servers beside each other, and wrk before them."""

import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from benchmarks.stage import ROOT
from portal.embedded_postgres import Server as Postgres
from portal.embedded_postgres import embedded_postgres
from portal.launch.environment import django_environment, manage_command
from portal.launch.home import Home

KEYS = 100_000
START_SECONDS = 60
CONNECTIONS = 64
TRIES = 3
WARM_SECONDS = 300  # at most

_FILL = """
from accounts.models import Tenant
from apikeys.catalogue import DEFAULT_BUNDLE, bundles
from apikeys.models import ApiKey, ApiKeySecret, Contract
from portal.lib.crypto import digest

secrets = open(%(path)r).read().split()
scopes = list(bundles()[DEFAULT_BUNDLE].scopes)
tenants = Tenant.objects.bulk_create(
    Tenant(slug=f"bench-{n}", name=f"Bench {n}") for n in range(%(tenants)d))
Contract.objects.bulk_create(
    Contract(tenant=t, scopes=scopes, sports=["cs2"], limit_rpm=1_000_000) for t in tenants)
keys = ApiKey.objects.bulk_create(
    (ApiKey(tenant=tenants[n %% len(tenants)], label=f"Key {n}", scopes=scopes, sports=["cs2"])
     for n in range(len(secrets))), batch_size=5000)
ApiKeySecret.objects.bulk_create(
    (ApiKeySecret(key=key, sha256=digest(secret), first_4=secret[4:8], last_4=secret[-4:])
     for key, secret in zip(keys, secrets)), batch_size=5000)
"""

# wrk calls `request` for each request. Each of its threads asks a port of its own.
_LUA = """
local ports, threads, values = {{ {ports} }}, 0, {{}}
for line in io.lines("{values}") do values[#values + 1] = line end
setup = function(thread)
  threads = threads + 1
  thread.addr = wrk.lookup("127.0.0.1", ports[threads])[1]
end
{draw}
request = function()
  return wrk.format("GET", "{path}", {{ ["{header}"] = values[draw(#values)] }})
end
"""
_AT_RANDOM = """
math.randomseed({seed})
local draw = math.random
"""
_EACH_ONCE = """
local asked, answered = 0, 0
local draw = function(most) asked = asked + 1; return (asked - 1) % most + 1 end
response = function()
  answered = answered + 1
  if answered == #values then os.exit(0) end
end
"""
_PAUSE = "delay = function() return {pause_ms} end\n"


@dataclass(frozen=True)
class Rig:
    """A database with tenants and keys, and a file with the keys' secrets, one a line."""

    folder: Path
    postgres: Postgres
    environment: Mapping[str, str]

    @property
    def keys(self) -> Path:
        """The live ones."""
        return self.folder / "keys"


@dataclass(frozen=True)
class Measured:
    """Of one spell: requests a second, and CPU microseconds of the server's for each."""

    rate: float
    cpu_us: float


@dataclass(frozen=True)
class Served:
    """A server under measurement, and what wrk asks it.

    ports: one for each of its processes that listen. processes: those whose CPU time is its own,
    with their children's.
    """

    name: str
    ports: tuple[int, ...]
    processes: tuple[psutil.Process, ...]
    script: Path
    scheme: str = "http"

    @property
    def port(self) -> int:
        """The first."""
        return self.ports[0]

    def asked(
        self, name: str, path: str, header: str, values: Path, *, pause_ms: int = 0
    ) -> "Served":
        """The same server, asked for a path with one of the values in a header, one a line."""
        draw = _AT_RANDOM.format(seed=self.port)
        text = _text(self.ports, path, header, values, draw)
        script = self.script.with_name(f"{self.port}-{name.replace(' ', '-')}.lua")
        script.write_text(text + (_PAUSE.format(pause_ms=pause_ms) if pause_ms else ""), "utf-8")
        return replace(self, name=name, script=script)

    def warm(self, path: str, header: str, values: Path) -> None:
        """Each of its ports is asked with each of the values once.

        Whatever it answers: on a busy machine some keys are given up, and are read later.
        """
        for port in self.ports:
            script = self.script.with_name(f"{port}-warm.lua")
            script.write_text(_text((port,), path, header, values, _EACH_ONCE), "utf-8")
            self._run_wrk(WARM_SECONDS, (port,), script)

    def measure(self, seconds: float) -> Measured:
        """Load for so long. What holds an answer that is not 200 is thrown away and taken again.

        SystemExit where that happens three times.
        """
        for _ in range(TRIES):
            before = self.cpu_seconds()
            said = self._run_wrk(seconds, self.ports, self.script)
            used = self.cpu_seconds() - before
            if "Non-2xx" not in said and "Socket errors" not in said:
                found = re.search(r"(\d+) requests in", said)
                assert found  # noqa: S101
                requests = int(found[1])
                return Measured(requests / seconds, used / requests * 1e6)
        raise SystemExit(f"{self.name}: {said}")

    def cpu_seconds(self) -> float:
        """That its processes have used since they began."""
        every = [(each, *each.children(recursive=True)) for each in self.processes]
        times = [process.cpu_times() for some in every for process in some]
        seconds: float = sum(each.user + each.system for each in times)
        return seconds

    def _run_wrk(self, seconds: float, ports: Sequence[int], script: Path) -> str:
        load = ["-t", str(len(ports)), "-c", str(CONNECTIONS), "-d", f"{seconds:g}s"]
        command = [wrk(), *load, "-s", str(script), f"{self.scheme}://127.0.0.1:{ports[0]}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
        return done.stdout


def together(name: str, *servers: Served, also: Sequence[psutil.Process] = ()) -> Served:
    """Several that are asked as one. also: further processes whose CPU time is theirs."""
    ports = tuple(port for each in servers for port in each.ports)
    processes = tuple(process for each in servers for process in each.processes)
    first = servers[0]
    return replace(first, name=name, ports=ports, processes=(*processes, *also))


def _text(ports: Sequence[int], path: str, header: str, values: Path, draw: str) -> str:
    among = ", ".join(map(str, ports))
    return _LUA.format(ports=among, values=values, path=path, header=header, draw=draw)


def wrk() -> str:
    """Where it is. SystemExit with a sentence where it is not."""
    found = shutil.which("wrk")
    if not found:
        raise SystemExit("bin/bench needs wrk. On Debian and Ubuntu: apt-get install wrk")
    return found


@contextmanager
def rig(keys: int = KEYS, tenants: int = 5_000) -> Iterator[Rig]:
    """Made, filled, and thrown away at the end."""
    with ExitStack() as stack:
        name = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="portal-rig-", ignore_cleanup_errors=True)
        )
        folder = Path(name).resolve()
        folder.chmod(0o755)
        home = Home(folder / "home")
        secrets = home.secrets()
        postgres = stack.enter_context(
            embedded_postgres(home.folder, passwords=secrets.postgres, durable=False)
        )
        environment = django_environment(
            home=home.folder, secrets=secrets, base_url="http://localhost", server=postgres
        )
        made = Rig(folder, postgres, environment)
        made.keys.write_text("".join(f"vbk_{number:024d}\n" for number in range(keys)))
        manage(made, "migrate", "--no-input", "-v0")
        manage(made, "shell", "-v0", "-c", _FILL % {"path": str(made.keys), "tenants": tenants})
        yield made


def manage(rig: Rig, *arguments: str) -> None:
    """One of Django's commands on the rig's database."""
    command = manage_command(sys.executable, list(arguments))
    subprocess.run(command, env=dict(rig.environment), cwd=ROOT, check=True)  # noqa: S603


@contextmanager
def served(
    rig: Rig,
    name: str,
    command: Sequence[str],
    *,
    keys: Path | None = None,
    **variables: str,
) -> Iterator[Served]:
    """Start `python -m command…` on a free port, which takes the place of PORT, until the end.

    It is asked for whoami with the keys, those of the rig unless others are given.
    """
    port = free_port()
    words = [sys.executable, "-m", *(word.replace("PORT", str(port)) for word in command)]
    environment = {**rig.environment, **variables}
    with (rig.folder / f"{port}.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own commands
            words, env=environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
        )
        try:
            await_port(process, port, rig.folder / f"{port}.log")
            processes = (psutil.Process(process.pid),)
            made = Served(name, (port,), processes, rig.folder / f"{port}.lua")
            yield made.asked(name, "/v1/whoami", "X-API-Key", keys or rig.keys)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def granian(target: str, interface: str = "asgi", workers: int = 1) -> list[str]:
    """Granian as docs/operations.md says, for `served`."""
    threads = ("--blocking-threads", "8") if interface == "wsgi" else ()
    return [
        *("granian", "--interface", interface, target, "--host", "127.0.0.1", "--port", "PORT"),
        *("--workers", str(workers), "--no-access-log", "--log-level", "warning"),
        *threads,
    ]


def ratios(ours: Served, peer: Served, *, rounds: int, seconds: float) -> str:
    """In turn, A B A B: medians and ranges of the paired ratios, by requests and by CPU."""
    pairs = [(ours.measure(seconds), peer.measure(seconds)) for _ in range(rounds)]
    found = [a.rate / b.rate for a, b in pairs]
    cpu = [b.cpu_us / a.cpu_us for a, b in pairs]
    mine, theirs = ([m[i] for m in pairs] for i in (0, 1))
    return (
        f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f}); by CPU "
        f"{statistics.median(cpu):.2f} ({min(cpu):.2f} to {max(cpu):.2f}); "
        f"{_line(mine)} against {_line(theirs)}"
    )


def free_port() -> int:
    """One that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def await_port(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    """Until somebody listens there. SystemExit with the log's end where nobody does in time."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"It did not start: {log.read_text(errors='replace')[-2000:]}")


def _line(measured: Sequence[Measured]) -> str:
    rate = statistics.median(each.rate for each in measured)
    cpu = statistics.median(each.cpu_us for each in measured)
    return f"{rate:,.0f}/s at {cpu:.0f} µs"
