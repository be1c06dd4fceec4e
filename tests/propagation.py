"""Doors in processes of their own, calls to them, and what each call may have met."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from examples.feed.matches import APART_SECONDS

ROOT = Path(__file__).parent.parent
LATE_SECONDS = 1.0  # after its COMMIT a change has taken effect, everywhere
SWITCHED = "ace"  # the market type that is looked for
READ = "cs2:matches:read"

Seen = tuple[object, ...]  # status and code; of a 200 what the caller learns
# By the kind of door what it may answer.
States = Mapping[type["DoorProcess"], tuple[Seen, ...]]


@dataclass(frozen=True)
class Standing:
    """What a secret is good for. refusal: the code that it is refused with, wherever it comes."""

    name: str
    limit_rpm: int
    scopes: tuple[str, ...]
    sports: tuple[str, ...] = ("cs2",)
    revision: int = 0  # of its tenant's markets
    is_on: bool = True  # the type SWITCHED
    refusal: str = ""

    def states(self) -> States:
        """What each kind of door may answer."""
        told: Seen = (200, self.name, self.scopes, self.sports, self.limit_rpm)
        # Without a contract the limit is small, and those who ask here may be over it.
        told_all = (told,) if self.limit_rpm else (told, (429, "rate_limited"))
        if refusal := self.refusal or self._refusal_by_route():
            refused = ((403, refusal),)
            told_all = refused if self.refusal else told_all
            return {DoorProcess: told_all, FeedProcess: refused, AuthorizeProcess: refused}
        at_feed, at_authorize = (200, self.is_on), (200, self.revision)
        return {DoorProcess: told_all, FeedProcess: (at_feed,), AuthorizeProcess: (at_authorize,)}

    def _refusal_by_route(self) -> str:
        """For one match of cs2."""
        if "cs2" not in self.sports:
            return "sport_not_allowed"
        return "" if READ in self.scopes else "scope_not_granted"


@dataclass
class Call:
    """What came back, and between which moments the verdict was given."""

    door: "DoorProcess"
    secret: str
    sent_at: float
    received_at: float
    seen: Seen

    def meets(self, states: States) -> bool:
        """Whether it is what such a door answers to those who stand so."""
        return self.seen in states[type(self.door)]


@dataclass
class Change:
    """From when on a state may be met, and when it was committed."""

    began_at: float
    done_at: float
    states: States


@dataclass
class Timeline:
    """The states that a secret went through."""

    changes: list[Change] = field(default_factory=list)

    def allows(self, call: Call) -> bool:
        """Whether a state that the call met was in force at most LATE_SECONDS before it."""
        for index, change in enumerate(self.changes):
            later = self.changes[index + 1 : index + 2]
            is_over = later and call.sent_at > later[0].done_at + LATE_SECONDS
            if call.received_at >= change.began_at and not is_over and call.meets(change.states):
                return True
        return False

    def complain(self, call: Call) -> str:
        """What it met, and what was in force around it, by seconds from when it was sent."""
        near = [
            f"{change.done_at - call.sent_at:+.3f}: {change.states[type(call.door)]}"
            for change in self.changes
            if abs(change.done_at - call.sent_at) < 10 * LATE_SECONDS
        ]
        return f"{call.door} answered {call.seen}, but {near}"


class DoorProcess:
    """A lone door, `granian … apikeys.edge.app:application`, and a few connections to it."""

    target: ClassVar = "apikeys.edge.app:application"
    rest_seconds: ClassVar = 0.001  # between one call and the next

    def __init__(self, port: int) -> None:
        self.port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.port})"

    async def call(self, secret: str) -> Call:
        """One call over a connection that is kept."""
        sent_at = time.monotonic()
        if self._idle:
            reader, writer = self._idle.pop()
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        lines = [*self._question(), "Host: localhost", f"X-API-Key: {secret}", "", ""]
        writer.write("\r\n".join(lines).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        body = await reader.readexactly(int(headers["content-length"]))
        self._idle.append((reader, writer))
        status = int(head.split()[1])
        seen = self._learned(headers, body) if status == 200 else (json.loads(body)["code"],)
        return Call(self, secret, sent_at, time.monotonic(), (status, *seen))

    async def is_up(self) -> bool:
        """Whether it takes connections."""
        with suppress(OSError, asyncio.IncompleteReadError):
            return (await self.call("")).seen[0] == 401
        return False

    async def close(self) -> None:
        """End the connections."""
        for _, writer in self._idle:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _question(self) -> list[str]:
        return ["GET /v1/whoami HTTP/1.1"]

    def _learned(self, headers: Mapping[str, str], body: bytes) -> Seen:
        data = json.loads(body)["data"]
        may = tuple(data["scopes"]), tuple(data["sport_allowlist"])
        return (data["name"], *may, data["rate_limit_rpm"])


class FeedProcess(DoorProcess):
    """The sample feed behind the guard: whether one of the markets of a live match is shown."""

    target = "examples.feed.app:application"
    rest_seconds = 0.03  # it makes up all of the markets each time

    def _question(self) -> list[str]:
        latest = int(time.time()) // APART_SECONDS
        return [f"GET /cs2/v1/matches/match-{latest} HTTP/1.1"]

    def _learned(self, headers: Mapping[str, str], body: bytes) -> Seen:
        shown = json.loads(body)["data"]["markets"]
        assert shown
        return (SWITCHED in {market["type"] for market in shown},)


class AuthorizeProcess(DoorProcess):
    """The internal listener, asked by a proxy as Traefik asks: the revision of the markets."""

    target = "apikeys.edge.internal:application"
    rest_seconds = 0.005

    def _question(self) -> list[str]:
        return [
            "GET /internal/authorize HTTP/1.1",
            "X-Forwarded-Uri: /cs2/v1/matches/match-1",
            "X-Forwarded-Method: GET",
            "X-Forwarded-For: 127.0.0.1",
        ]

    def _learned(self, headers: Mapping[str, str], body: bytes) -> Seen:
        return (int(headers["x-markets-revision"]),)


@contextmanager
def door_processes(
    number: int, urls: Mapping[str, str], *others: type[DoorProcess]
) -> Iterator[list[DoorProcess]]:
    """So many lone doors, and one process of each other kind, until the block ends."""
    with ExitStack() as running:
        doors = []
        for kind in [DoorProcess] * number + list(others):
            with socket.create_server(("127.0.0.1", 0)) as probe:
                port = probe.getsockname()[1]
            command = [sys.executable, "-m", "granian", "--interface", "asgi", "--no-access-log"]
            command += [kind.target, "--port", str(port), "--workers", "1"]
            process = subprocess.Popen(
                [*command, "--log-level", "warning", "--workers-kill-timeout", "3"],
                cwd=ROOT,
                env={**os.environ, **urls},
            )
            running.callback(_end, process)
            doors.append(kind(port))
        yield doors


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
