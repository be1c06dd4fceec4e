"""Doors in processes of their own, calls to them, and what each call may have met."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import SystemRandom
from typing import Any

import psycopg

from tests.changing import LIMIT

ROOT = Path(__file__).parent.parent
LATE_SECONDS = 1.0  # after its COMMIT a change has taken effect, everywhere

TENANTS = 6
REVOKED = (403, "key_revoked")
KEEP = "SELECT to_json(kept)::text FROM apikeys_contract AS kept WHERE tenant_id = %s"
BRING_BACK = (
    "INSERT INTO apikeys_contract SELECT * FROM json_populate_record(NULL::apikeys_contract, %s)"
)

chance = SystemRandom()

Seen = tuple[object, ...]  # status and code; of a 200 the tenant's name and limit


@dataclass
class Call:
    """What came back, and between which moments the verdict was given."""

    port: int
    secret: str
    sent_at: float
    received_at: float
    seen: Seen

    def meets(self, state: Seen) -> bool:
        """Without a contract the limit is small, and those who ask here may be over it."""
        return self.seen == state or (self.seen[0] == 429 and state[-1] == 0)


@dataclass
class Change:
    """From when on a state may be met, and when it was committed."""

    began_at: float
    done_at: float
    seen: Seen


@dataclass
class Timeline:
    """The states that a secret went through."""

    changes: list[Change] = field(default_factory=list)

    def allows(self, call: Call) -> bool:
        """Whether a state that the call met was in force at most LATE_SECONDS before it."""
        for index, change in enumerate(self.changes):
            later = self.changes[index + 1 : index + 2]
            is_over = later and call.sent_at > later[0].done_at + LATE_SECONDS
            if call.meets(change.seen) and call.received_at >= change.began_at and not is_over:
                return True
        return False


class DoorProcess:
    """`granian … apikeys.edge.app:application`, and a few connections to it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def call(self, secret: str) -> Call:
        """One GET of whoami over a connection that is kept."""
        sent_at = time.monotonic()
        if self._idle:
            reader, writer = self._idle.pop()
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        lines = ["GET /v1/whoami HTTP/1.1", "Host: localhost", f"X-API-Key: {secret}", "", ""]
        writer.write("\r\n".join(lines).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        body = await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
        self._idle.append((reader, writer))
        status, told = int(head.split()[1]), json.loads(body)
        data = told.get("data", {})
        seen = (status, data["name"], data["rate_limit_rpm"]) if data else (status, told["code"])
        return Call(self.port, secret, sent_at, time.monotonic(), seen)

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


@contextmanager
def door_processes(number: int, urls: Mapping[str, str]) -> Iterator[list[DoorProcess]]:
    """So many, until the block ends."""
    with ExitStack() as running:
        doors = []
        for _ in range(number):
            with socket.create_server(("127.0.0.1", 0)) as probe:
                port = probe.getsockname()[1]
            command = [sys.executable, "-m", "granian", "--interface", "asgi", "--no-access-log"]
            command += ["apikeys.edge.app:application", "--port", str(port), "--workers", "1"]
            process = subprocess.Popen(
                [*command, "--log-level", "warning", "--workers-kill-timeout", "3"],
                cwd=ROOT,
                env={**os.environ, **urls},
            )
            running.callback(_end, process)
            doors.append(DoorProcess(port))
        yield doors


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Worker:
    """Does acts by the portal's own services, in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def do(self, act: str, **given: Any) -> dict[str, Any]:
        """The act, committed."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{json.dumps({'act': act, **given})}\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@contextmanager
def worker(urls: Mapping[str, str]) -> Iterator[Worker]:
    """One, until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.changing"],
        cwd=ROOT,
        env={**os.environ, **urls},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield Worker(process)
        assert process.stdin
        process.stdin.close()


class Keys:
    """The keys, what each should answer, and the acts that change that."""

    def __init__(
        self, connect: Callable[[], psycopg.Connection[Any]], worker: Worker, spare: int
    ) -> None:
        """connect: as the owner of the tables. spare: how many may be revoked."""
        self._connect = connect
        self._worker = worker
        each = 3 + spare // TENANTS
        made = worker.do("prepare", tenants=TENANTS, keys=each)
        self.timelines: dict[str, Timeline] = {}
        self.live: dict[str, str] = {}  # key → its secret, as it was handed out last
        self._tenant_of: dict[str, str] = {}
        self._terms: dict[str, tuple[str, int]] = {}
        self._revoked: set[str] = set()
        for number, (tenant, key, secret) in enumerate(made["keys"]):
            self._tenant_of[key], self.live[key] = tenant, secret
            self._terms[tenant] = (f"Tenant {number // each}", LIMIT)
            self._begin(secret, made, self._lets_in(tenant))

    def any_key(self) -> str:
        """A live one."""
        return chance.choice([key for key in self.live if key not in self._revoked])

    def change(self, how: str, key: str) -> Iterator[Change]:
        """Do it, step by step; each is committed when it is handed out."""
        tenant, secret = self._tenant_of[key], self.live[key]
        match how:
            case "revoke":
                self._revoked.add(key)
                yield self._note([secret], self._worker.do("revoke", key_id=key), REVOKED)
            case "revoke by SQL":
                self._revoked.add(key)
                statement = "UPDATE apikeys_apikey SET revoked_at = now() WHERE id = %s"
                yield self._note([secret], self._execute(statement, [key]), REVOKED)
            case "rotate":
                done = self._worker.do("rotate", key_id=key)
                self._begin(done["secret"], done, self._lets_in(tenant))
                yield self._note([secret], done, REVOKED)
                self.live[key] = done["secret"]
            case "allowlist":
                done = self._worker.do("allow", key_id=key, networks=["192.0.2.0/24"])
                yield self._note([secret], done, (403, "ip_not_allowed"))
                done = self._worker.do("allow", key_id=key, networks=["127.0.0.0/8"])
                yield self._note([secret], done, self._lets_in(tenant))
            case _:
                yield from self._change_tenant(how, tenant)

    def _change_tenant(self, how: str, tenant: str) -> Iterator[Change]:
        name, limit = self._terms[tenant]
        secrets = [
            secret
            for key, secret in self.live.items()
            if self._tenant_of[key] == tenant and key not in self._revoked
        ]
        match how:
            case "limit":
                self._terms[tenant] = (name, limit + 1)
                done = self._worker.do("limit", tenant_id=tenant, limit_rpm=limit + 1)
            case "suspend":
                done = self._worker.do("activate", tenant_id=tenant, is_active=False)
                yield self._note(secrets, done, (403, "tenant_suspended"))
                done = self._worker.do("activate", tenant_id=tenant, is_active=True)
            case "rename by SQL":
                self._terms[tenant] = (uuid.uuid4().hex, limit)
                statement = "UPDATE accounts_tenant SET name = %s WHERE id = %s"
                done = self._execute(statement, [self._terms[tenant][0], tenant])
            case "contract gone by SQL":
                (kept,) = self._rows(KEEP, [tenant])
                done = self._execute("DELETE FROM apikeys_contract WHERE tenant_id = %s", [tenant])
                yield self._note(secrets, done, (200, name, 0))
                done = self._execute(BRING_BACK, [kept])
        yield self._note(secrets, done, self._lets_in(tenant))

    def _lets_in(self, tenant: str) -> Seen:
        return (200, *self._terms[tenant])

    def _begin(self, secret: str, done: Mapping[str, Any], seen: Seen) -> None:
        self.timelines[secret] = Timeline([Change(done["began_at"], done["done_at"], seen)])

    def _note(self, secrets: list[str], done: Mapping[str, Any], seen: Seen) -> Change:
        change = Change(done["began_at"], done["done_at"], seen)
        for secret in secrets:
            self.timelines[secret].changes.append(change)
        return change

    def _rows(self, statement: str, values: list[str]) -> list[Any]:
        with self._connect() as owner:
            return [value for (value,) in owner.execute(statement, values).fetchall()]

    def _execute(self, statement: str, values: list[str]) -> dict[str, float]:
        with self._connect() as owner:
            began_at = time.monotonic()
            owner.execute(statement, values)
            owner.commit()
            return {"began_at": began_at, "done_at": time.monotonic()}
