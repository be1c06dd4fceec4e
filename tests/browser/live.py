"""What the browser talks to: the server as `bin/run` starts it, and a mail server to write to."""

import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from portal.launch.environment import ROOT
from portal.lib.processes import start, stop

START_SECONDS = 60  # a bound, not an expectation
MAIL_SECONDS = 30


@dataclass(frozen=True)
class Portal:
    """A running server with its own PORTAL_HOME, on the database that the test sees."""

    url: str
    environment: Mapping[str, str]
    home: Path
    log: Path

    def manage(self, *arguments: str) -> str:
        """What `bin/manage` with these arguments prints."""
        done = subprocess.run(
            [sys.executable, ROOT / "manage.py", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@contextmanager
def running_portal(home: Path, **settings: str) -> Iterator[Portal]:
    """Granian with the settings given on top of the tests' own, until the block ends."""
    port = free_port()
    url = f"http://localhost:{port}"
    made = {"PORTAL_HOME": str(home), "PORTAL_BASE_URL": url, "FEED_BASE_URL": url}
    made["DJANGO_ALLOW_ASYNC_UNSAFE"] = ""  # that is for the process with Playwright in it
    portal = Portal(url, os.environ | made | settings, home, home / f"server-{port}.log")
    if not (home / "static").exists():
        portal.manage("collectstatic", "--no-input", "--verbosity=0")
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "portal.asgi:application"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--no-access-log", "--log-level", "warning", "--workers-kill-timeout", "1"]
    with portal.log.open("wb") as log:
        server = start(command, env=portal.environment, cwd=ROOT, stdout=log, stderr=log)
    try:
        _await_health(portal, server)
        yield portal
    finally:
        stop(server, (signal.SIGTERM, 10))


def _await_health(portal: Portal, server: subprocess.Popen[bytes]) -> None:
    for _ in range(START_SECONDS * 10):
        with suppress(OSError), urllib.request.urlopen(f"{portal.url}/healthz", timeout=5):
            return
        with suppress(subprocess.TimeoutExpired):
            server.wait(0.1)
            break
    raise AssertionError(f"the server did not start: {portal.log.read_text()}")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


class MailServer:
    """A real SMTP server that keeps what it is given."""

    def __init__(self) -> None:
        self._received: queue.Queue[EmailMessage] = queue.Queue()
        logging.getLogger("mail.log").setLevel(logging.WARNING)  # it would say every command
        self._controller = Controller(self, hostname="127.0.0.1", port=free_port())

    @property
    def url(self) -> str:
        """For EMAIL_URL."""
        return f"smtp://127.0.0.1:{self._controller.port}"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Called by aiosmtpd, in its own thread."""
        content: Any = envelope.content
        received: Any = message_from_bytes(content, policy=policy.default)
        self._received.put(received)
        return "250 OK"

    def next_mail(self) -> EmailMessage:
        """The oldest that was not asked for yet; waits for it."""
        return self._received.get(timeout=MAIL_SECONDS)

    def forget(self) -> None:
        """Nobody reads what is left over from another test."""
        with suppress(queue.Empty):
            while True:
                self._received.get_nowait()

    @contextmanager
    def running(self) -> Iterator["MailServer"]:
        """Listens until the block ends."""
        self._controller.start()
        try:
            yield self
        finally:
            self._controller.stop()
