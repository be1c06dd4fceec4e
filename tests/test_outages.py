"""What the machine door answers while its own Postgres is frozen, locked, gone or restarted.

Nothing here is timed: each answer must come while the outage lasts, and psycopg alone would take
longer than the longest of these.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from apikeys.edge import reads
from apikeys.edge.app import Door
from apikeys.edge.database import LANES
from apikeys.edge.settings import EdgeSettings
from portal.embedded_postgres import ROLES, Server, embedded_postgres
from portal.lib.env import database_parts
from tests.door import Ask, Reply, opened, run

pytestmark = pytest.mark.service

SECRET = "vbk_" + "aB3" * 8
BEFORE_THE_END = 3  # seconds; an outage here lasts until its calls are answered, or so long
ROOT = Path(__file__).parent.parent
# In a process of its own: Django's connections in this one lead to another database.
PREPARE = f"""
from django.core.management import call_command
from accounts.models import Tenant
from apikeys.models import ApiKey, ApiKeySecret, Contract
from portal.lib.crypto import digest
call_command("migrate", verbosity=0)
acme = Tenant.objects.create(slug="acme", name="Acme")
Contract.objects.create(tenant=acme, scopes=[], sports=["cs2"])
key = ApiKey.objects.create(tenant=acme, label="Pricing", scopes=[], sports=["cs2"])
ApiKeySecret.objects.create(key=key, sha256=digest("{SECRET}"), first_4="aB3a", last_4="3aB3")
"""


class Outages:
    """A Postgres of this module's own, and what can happen to it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._running = contextlib.ExitStack()
        self.start()

    def start(self) -> None:
        """Entered when it takes connections."""
        passwords = dict.fromkeys(ROLES, "hush")
        self.server: Server = self._running.enter_context(
            embedded_postgres(self.home, passwords=passwords, durable=False)
        )

    def stop(self) -> None:
        """As an administrator stops it."""
        self._running.close()

    def restart(self) -> None:
        """Every connection is lost."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """All of its processes stand still; the kernel still takes connections for it."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """They go on as if nothing had been."""
        self._signal(signal.SIGCONT)

    def freeze_one_lane(self) -> int:
        """One backend of the door stands still: its process."""
        with self.connect() as connection:
            found = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'machine door' LIMIT 1"
            ).fetchone()
        assert found
        os.kill(found[0], signal.SIGSTOP)
        return int(found[0])

    def hide_socket(self) -> None:
        """Nobody finds it any more, and who was connected is cut off."""
        self.server.sockets.rename(self.server.sockets.with_name("hidden"))
        for process in psutil.Process(self._pid()).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if "portal_app" in " ".join(process.cmdline()):
                    process.terminate()

    def show_socket(self) -> None:
        """It is back."""
        self.server.sockets.with_name("hidden").rename(self.server.sockets)

    def lock(self) -> None:
        """What a careless migration does: each lane waits for the table."""
        self._locking = self.connect()
        self._locking.execute("LOCK TABLE apikeys_apikey IN ACCESS EXCLUSIVE MODE")

    def unlock(self) -> None:
        """It commits."""
        self._locking.close()

    def backends(self) -> int:
        """How many connections of the door Postgres knows of."""
        with self.connect() as connection:
            found = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'machine door'"
            ).fetchone()
        return int(found[0]) if found else 0

    def connect(self) -> psycopg.Connection[Any]:
        """As the owner of the tables."""
        return psycopg.connect(self.server.url("portal_owner"))

    def door(self) -> Door:
        """A door to it."""
        return Door(EdgeSettings(database_parts(self.server.url("portal_app"))))

    def _pid(self) -> int:
        assert self.server.process
        return self.server.process.pid

    def _signal(self, number: int) -> None:
        postmaster = psutil.Process(self._pid())
        for process in (postmaster, *postmaster.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)


@pytest.fixture(scope="module")
def outages() -> Iterator[Outages]:
    """With one live key in it."""
    home = Path(tempfile.mkdtemp(prefix="portal-outages-"))  # one that Postgres's account can enter
    home.chmod(0o711)
    outages = Outages(home)
    try:
        urls = {
            "DATABASE_URL": outages.server.url("portal_app"),
            "DATABASE_OWNER_URL": outages.server.url("portal_owner"),
        }
        prepare = [sys.executable, "manage.py", "shell", "--no-imports", "-c", PREPARE]
        subprocess.run(prepare, cwd=ROOT, env={**os.environ, **urls}, check=True)
        yield outages
    finally:
        outages.thaw()
        outages.stop()
        shutil.rmtree(home, ignore_errors=True)


async def during(ask: Ask, calls: int = 20) -> list[Reply]:
    """The answers to so many calls at once; TimeoutError if one comes too late."""
    answers = asyncio.gather(*[ask(SECRET) for _ in range(calls)])
    return await asyncio.wait_for(answers, BEFORE_THE_END)


async def is_back(ask: Ask) -> bool:
    """Whether calls are let in again, soon after the outage."""
    for _ in range(40):
        if (await ask(SECRET)).status == 200:
            return True
        await asyncio.sleep(0.05)
    return False


async def has_left(outages: Outages) -> bool:
    """Whether only the lanes' connections remain: a backend ends a moment after it was left."""
    for _ in range(100):
        if outages.backends() <= LANES:
            return True
        await asyncio.sleep(0.05)
    return False


def assert_unavailable(replies: list[Reply]) -> None:
    """Never a 200, never anything that blames the key."""
    for reply in replies:
        assert (reply.status, json.loads(reply.body)["code"]) == (503, "unavailable")
        assert reply.headers["retry-after"] == "1"


def through(outages: Outages, work: Callable[[Ask], Awaitable[None]]) -> None:
    """Runs the work with a door that was let in once; afterwards nothing may be left over."""

    async def opened_door() -> None:
        async with opened(outages.door()) as ask:
            assert await is_back(ask)
            tasks = len(asyncio.all_tasks())
            await work(ask)
            assert len(asyncio.all_tasks()) <= tasks + LANES  # each may still be at one question
            assert await has_left(outages)

    run(opened_door)


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (Outages.freeze, Outages.thaw),
        (Outages.stop, Outages.start),
        (Outages.hide_socket, Outages.show_socket),
        (Outages.lock, Outages.unlock),
    ],
    ids=["frozen", "stopped", "unreachable", "locked"],
)
def test_while_postgres_is_away_calls_are_answered_503_and_soon_after_let_in_again(
    outages: Outages, begin: Callable[[Outages], None], end: Callable[[Outages], None]
) -> None:
    """Twice, so that what the first round left behind would show."""

    async def work(ask: Ask) -> None:
        for _ in range(2):
            begin(outages)
            try:
                assert_unavailable(await during(ask))
                assert_unavailable(await during(ask, 1))
                ready = await ask(path="/readyz")
                assert ready.status == 503 or begin is Outages.lock
            finally:
                end(outages)
            assert await is_back(ask)

    through(outages, work)


def test_one_frozen_backend_costs_one_call(
    outages: Outages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other lanes go on."""
    monkeypatch.setattr(reads, "PATIENCE_SECONDS", 0.8)  # for a machine that is busy besides

    async def work(ask: Ask) -> None:
        frozen = outages.freeze_one_lane()
        try:
            answers = [await ask(SECRET) for _ in range(3 * LANES)]
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(frozen, signal.SIGCONT)
        refused = [reply for reply in answers if reply.status != 200]
        assert_unavailable(refused)
        assert len(refused) == 1

    through(outages, work)


def test_after_a_restart_no_call_meets_a_dead_connection(
    outages: Outages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each lane notices by its first question, and asks again over a fresh connection."""
    monkeypatch.setattr(reads, "PATIENCE_SECONDS", 20)  # for a machine that is busy besides

    async def work(ask: Ask) -> None:
        outages.restart()
        assert {(await ask(SECRET)).status for _ in range(3 * LANES)} == {200}

    through(outages, work)


def test_a_door_opens_without_its_database_and_lets_in_when_it_comes(outages: Outages) -> None:
    """The order in which they are started does not matter."""

    async def work() -> None:
        outages.stop()
        try:
            async with opened(outages.door()) as ask:
                assert_unavailable(await during(ask, 1))
                assert (await ask(path="/healthz")).status == 200
                outages.start()
                assert await is_back(ask)
        finally:
            outages.restart()

    run(work)
