"""The sample feed behind the guard in a server of its own, and clients of its streams.

    granian --interface asgi tests.guarded:application

Twenty of the feed's seconds pass in a real one, so that rounds end while a test looks on.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from apikeys.edge.guard import Guard
from examples.feed.feed import Feed
from portal.lib.processes import start, stop
from tests.browser.live import free_port

ROOT = Path(__file__).parent.parent
START_SECONDS = 60
FRAME_SECONDS = 20  # a bound for a busy machine
PACE = 20

application = Guard(Feed(pace=PACE))


@Guard
async def flood(scope: Any, receive: Any, send: Any) -> None:
    """Another feed, that sends more than anybody can read."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            await send({"type": "websocket.send", "text": "odds" * 25_000})


@Guard
async def late(scope: Any, receive: Any, send: Any) -> None:
    """A third one, that does not accept a handshake before it is somebody else's."""
    if scope["type"] == "websocket":
        while (await receive())["type"] != "websocket.disconnect":
            pass


Frame = dict[str, Any]


@dataclass(frozen=True)
class Refused:
    """What a handshake was answered with."""

    status: int
    code: str
    headers: Any


class Watcher:
    """A client of a stream."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def frame(self) -> Frame:
        """The next one."""
        told: Frame = json.loads(self.connection.recv(timeout=FRAME_SECONDS))
        return told

    def until(self, kind: str) -> list[Frame]:
        """All frames up to one of this kind."""
        found = [self.frame()]
        while found[-1]["type"] != kind:
            found.append(self.frame())
        return found

    def during(self, seconds: float) -> list[Frame]:
        """What comes in so long."""
        ends_at = time.monotonic() + seconds
        found = []
        while time.monotonic() < ends_at:
            found.append(self.frame())
        return found

    def closed(self, seconds: float = FRAME_SECONDS) -> tuple[int, str]:
        """Code and reason of the close; frames before it are passed over. TimeoutError."""
        ends_at = time.monotonic() + seconds
        try:
            while True:
                self.connection.recv(timeout=max(0, ends_at - time.monotonic()))
        except ConnectionClosed as closed:
            return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")


@dataclass(frozen=True)
class Server:
    """A running one."""

    port: int
    process: "subprocess.Popen[bytes]"

    @contextmanager
    def stream(self, key: str, path: str = "", **given: Any) -> Iterator[Watcher]:
        """An open stream, with its key in the query."""
        with self.open(f"/cs2/v1/stream{path}?api_key={key}", **given) as watcher:
            yield watcher

    @contextmanager
    def open(self, target: str, **given: Any) -> Iterator[Watcher]:
        """An open WebSocket; raises InvalidStatus."""
        url = f"ws://127.0.0.1:{self.port}{target}"
        with connect(url, proxy=None, compression=None, close_timeout=1, **given) as connection:
            yield Watcher(connection)

    def refused(self, target: str, **given: Any) -> Refused:
        """What the handshake is refused with."""
        try:
            with self.open(target, **given):
                raise AssertionError("it was opened")
        except InvalidStatus as refused:
            response = refused.response
            told = json.loads(bytes(response.body or b""))
            assert told["request_id"] == response.headers["X-Request-Id"]
            return Refused(response.status_code, told["code"], response.headers)

    def get(self, target: str, key: str) -> tuple[int, Any]:
        """Status and JSON of a REST call."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{target}", headers={"X-API-Key": key}
        )
        try:
            with urllib.request.urlopen(request, timeout=FRAME_SECONDS) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


@contextmanager
def serving(target: str = "tests.guarded:application", **settings: str) -> Iterator[Server]:
    """Granian with one worker, until the block ends."""
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "asgi", target]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--no-access-log"]
    command += ["--log-level", "warning", "--workers-kill-timeout", "3"]
    process = start(command, env=os.environ | settings, cwd=ROOT)
    server = Server(port, process)
    try:
        for _ in range(START_SECONDS * 20):
            assert process.poll() is None, "the server ended while it was starting"
            with suppress(OSError):
                server.get("/cs2/v1/matches", "")
                break
            time.sleep(0.05)
        yield server
    finally:
        stop(process, (signal.SIGTERM, 10))
