"""A portal of its own to measure, started by `bin/run` as a person would, with a few people in it.

Run the scripts beside this file with the portal's own Python: `.venv/bin/python -m benchmarks.…`.
"""

import json
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "a long walk on a cold day"  # noqa: S105 - of people who live for a minute
START_SECONDS = 180
STOP_SECONDS = 20

PEOPLE = """
import json, uuid
from accounts.models import Membership, Role, User
from accounts.origin import COMMAND_LINE
from accounts.services.invitations import invite
from accounts.services.tenants import set_tenant_active, set_user_active
from apikeys.models import Contract
from apikeys.services import create_key, open_tenant

def member(tenant, name, role):
    user = User(username=name, email=f"{name.lower()}@example.com")
    user.set_password(%(password)r)
    user.save()
    Membership.objects.create(tenant=tenant, user=user, role=role)
    return user

act = {"actor": None, "origin": COMMAND_LINE}
globex = open_tenant(slug="globex", name="Globex", **act)
hooli = open_tenant(slug="hooli", name="Hooli", **act)
alice = member(globex, "Alice", Role.OWNER)
for number in range(20):
    member(globex, f"Member{number}", Role.VIEWER)
ivan = member(globex, "Ivan", Role.VIEWER)
set_user_active(user_id=ivan.pk, is_active=False, **act)
member(hooli, "Sue", Role.OWNER)
set_tenant_active(tenant_id=hooli.pk, is_active=False, **act)
invite(email="ines@example.com", username="Ines", tenant=globex, role=Role.VIEWER,
       send_mail=False, **act)
Contract.objects.update(limit_rpm=1_000_000)
issued = create_key(tenant=globex, actor=alice, origin=COMMAND_LINE, nonce=uuid.uuid4(),
                    label="Measured", allowlist=[], scopes=globex.contract.scopes)
print(json.dumps({"api_key": issued.secret}))
"""


@dataclass(frozen=True)
class Stage:
    """A running portal: where it is, its first process, and a live API key of Globex.

    Alice owns Globex; Member0 to Member19 look on; Ivan is disabled; Ines is invited only; Sue's
    tenant is suspended. All of them have PASSWORD.
    """

    port: int
    process: psutil.Process
    api_key: str

    def server_memory(self) -> tuple[float, float]:
        """MiB that the page server's processes hold now, and the most that they ever did."""
        now = most = 0.0
        for process in self._servers():
            status = Path(f"/proc/{process.pid}/status").read_text()
            fields = dict(line.split(":", 1) for line in status.splitlines())
            now += int(fields["VmRSS"].split()[0]) / 1024
            most += int(fields["VmHWM"].split()[0]) / 1024
        return now, most

    def _servers(self) -> list[psutil.Process]:
        children = self.process.children(recursive=True)
        granian = [child for child in children if "granian" in " ".join(child.cmdline())]
        return [
            *granian,
            *(c for c in children if any(c.ppid() == g.pid for g in granian) and c not in granian),
        ]


@contextmanager
def stage(**settings: str) -> Iterator[Stage]:
    """`bin/run` with these variables, in a folder that is thrown away, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="portal-bench-", ignore_cleanup_errors=True) as folder:
        home, port = Path(folder).resolve(), _free_port()
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environment = kept | {"PORTAL_HOME": str(home), "PORT": str(port)} | settings
        with (home / "run.log").open("w+b") as output:
            run = subprocess.Popen(  # noqa: S603 - our own file
                [str(ROOT / "bin" / "run")], env=environment, stdout=output, stderr=output
            )
            try:
                _await_start(run, output)
                yield Stage(port, psutil.Process(run.pid), _populate(environment)["api_key"])
            finally:
                run.send_signal(signal.SIGTERM)
                try:
                    run.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    run.kill()
                    run.wait()
                _tell_failures(home / "run.log")


def machine() -> str:
    """What the figures were measured on, in a line."""
    memory = psutil.virtual_memory().total / 2**30
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, "
        f"load {load:.1f} at the start"
    )


def say(line: str = "") -> None:
    """A line of the result."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _populate(environment: dict[str, str]) -> dict[str, Any]:
    command = [str(ROOT / "bin" / "manage"), "shell", "-v0", "-c", PEOPLE % {"password": PASSWORD}]
    done = subprocess.run(  # noqa: S603 - our own file
        command, env=environment, capture_output=True, text=True, timeout=START_SECONDS, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    people: dict[str, Any] = json.loads(done.stdout)
    return people


def _await_start(run: "subprocess.Popen[bytes]", output: IO[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while b"Ctrl-C stops everything" not in os.pread(output.fileno(), 100_000, 0):
        if run.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(os.pread(output.fileno(), 100_000, 0).decode())
        time.sleep(0.1)


def _tell_failures(log: Path) -> None:
    """What broke in the server, if anything did: each kind of exception and how often it came."""
    text = log.read_text(errors="replace")
    if "Traceback" in text:
        kinds = re.findall(r"^[\w.]+(?:Error|Timeout|Exception|Interrupted)\b.{0,120}", text, re.M)
        say(f"  tracebacks in the server's log: {dict(Counter(kinds).most_common(5))}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
