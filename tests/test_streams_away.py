"""Open WebSockets while Postgres or Redis is away: closed where nobody can vouch for them."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from accounts.models import Tenant
from apikeys.edge import places
from apikeys.edge.places import Places
from apikeys.models import Contract
from tests.conftest import MakeKey
from tests.door import run
from tests.guarded import ROOT, Server, Watcher, serving
from tests.redis_server import RedisServer, redis_server
from tests.test_outages import PREPARE, SECRET, Outages

__all__ = ["redis_server"]  # a fixture

pytestmark = pytest.mark.service

LATE_SECONDS = 1.0
STREAM = "/cs2/v1/stream"
GRANT = """
UPDATE apikeys_contract SET scopes = '{cs2:stream:matches,cs2:stream:markets}';
UPDATE apikeys_apikey SET scopes = '{cs2:stream:matches,cs2:stream:markets}', revoked_at = NULL;
"""


@pytest.fixture(scope="module")
def outages() -> Iterator[Outages]:
    """A Postgres of this module's own, with one live key that may open streams."""
    home = Path(tempfile.mkdtemp(prefix="portal-streams-"))  # one that Postgres's account can enter
    home.chmod(0o711)
    outages = Outages(home)
    try:
        prepare = [sys.executable, "manage.py", "shell", "--no-imports", "-c", PREPARE]
        subprocess.run(prepare, cwd=ROOT, env={**os.environ, **urls(outages)}, check=True)
        yield outages
    finally:
        outages.thaw()
        outages.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def away(outages: Outages) -> Iterator[Server]:
    """A guarded feed on that Postgres."""
    with outages.connect() as owner:
        owner.execute(GRANT)
    with serving(**urls(outages)) as server:
        yield server


def urls(outages: Outages) -> dict[str, str]:
    """For processes that work with this Postgres."""
    return {
        "DATABASE_URL": outages.server.url("portal_app"),
        "DATABASE_OWNER_URL": outages.server.url("portal_owner"),
    }


@pytest.mark.parametrize(
    ("begin", "end"),
    [(Outages.freeze, Outages.thaw), (Outages.stop, Outages.start)],
    ids=["frozen", "stopped"],
)
def test_it_is_closed_when_nobody_can_vouch_for_its_key(
    outages: Outages, away: Server, begin: Callable[[Outages], None], end: Callable[[Outages], None]
) -> None:
    """1013: try again later. The next handshake is a 503, and soon after the outage it opens."""
    with away.stream(SECRET) as watcher:
        watcher.until("market.updated")
        begin(outages)
        try:
            assert watcher.closed(2 * LATE_SECONDS) == (1013, "unavailable")
            refused = away.refused(f"{STREAM}?api_key={SECRET}")
            assert (refused.status, refused.code) == (503, "unavailable")
            assert refused.headers["Retry-After"] == "1"
        finally:
            end(outages)
    assert opens_again(away)


def opens_again(server: Server) -> bool:
    """Soon after the outage."""
    for _ in range(100):
        with suppress(InvalidStatus), server.stream(SECRET) as watcher:
            return bool(watcher.frame())
        time.sleep(0.1)
    return False


@contextmanager
def soon(server: Server, secret: str) -> Iterator[Watcher]:
    """Opened as soon as it can be: a place is free a moment after its stream has ended.

    At the latest when those of a process that could not give them back any more run out.
    """
    until = time.monotonic() + places.KEPT_SECONDS + 10
    while time.monotonic() < until:
        with ExitStack() as opened:
            try:
                watcher = opened.enter_context(server.stream(secret))
            except InvalidStatus:
                time.sleep(0.1)
                continue
            yield watcher
            return
    raise AssertionError("it was refused all the time")


def test_with_a_frozen_listener_postgres_is_asked_instead(outages: Outages, away: Server) -> None:
    """Who may stay stays, and a key that dies meanwhile is closed within the second."""
    with away.stream(SECRET) as watcher, outages.connect() as owner:
        watcher.until("market.updated")
        frozen = [
            pid
            for (pid,) in owner.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'machine door listener'"
            ).fetchall()
        ]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            assert watcher.during(2 * LATE_SECONDS)
            owner.execute("UPDATE apikeys_apikey SET revoked_at = now()")
            owner.commit()
            assert watcher.closed(LATE_SECONDS) == (4403, "key_revoked")
        finally:
            for pid in frozen:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)


def test_that_more_and_more_is_announced_makes_nothing_surer(
    outages: Outages, away: Server
) -> None:
    """Its key cannot be read, and its contract changes ten times a second."""
    with away.stream(SECRET) as watcher, outages.connect() as locking, outages.connect() as owner:
        watcher.until("market.updated")
        locking.execute("LOCK TABLE apikeys_apikey")
        closed: list[tuple[int, str]] = []
        waiting = threading.Thread(target=lambda: closed.append(watcher.closed(4 * LATE_SECONDS)))
        waiting.start()
        while waiting.is_alive():
            owner.execute("UPDATE apikeys_contract SET limit_rpm = limit_rpm")
            owner.commit()
            waiting.join(0.1)
        assert closed == [(1013, "unavailable")]


@pytest.mark.usefixtures("committed_db")
def test_two_processes_count_together_by_redis_and_each_for_itself_without(
    acme: Tenant, make_key: MakeKey, redis_server: RedisServer
) -> None:
    """A process that ends gives its places back."""
    _, secret = make_key(acme)
    Contract.objects.update(max_streams=2)
    target = f"{STREAM}?api_key={secret}"
    with serving(REDIS_URL=redis_server.url) as first:
        with serving(REDIS_URL=redis_server.url) as second:
            with soon(first, secret) as one, soon(second, secret) as two:
                one.frame(), two.frame()
                for server in (first, second):
                    assert server.refused(target).code == "too_many_streams"
            with soon(second, secret) as one, soon(second, secret) as two:
                one.frame(), two.frame()
                second.process.send_signal(signal.SIGTERM)
                second.process.wait(10)
        with soon(first, secret) as one, soon(first, secret) as two:
            one.frame(), two.frame()
        redis_server.stop()
        with soon(first, secret) as one, soon(first, secret) as two:
            one.frame(), two.frame()
            assert first.refused(target).code == "too_many_streams"
        redis_server.start()


def test_the_places_of_a_process_that_died_are_free_after_a_while(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And those of one that lives are kept for as long as it does."""
    monkeypatch.setattr(places, "KEPT_SECONDS", 2)
    monkeypatch.setattr(places, "RENEWED_SECONDS", 0.3)
    tenant, other = uuid.uuid4(), uuid.uuid4()

    async def work() -> None:
        died, lives = Places(redis_server.url), Places(redis_server.url)
        assert await died.take(tenant, uuid.uuid4(), 1)
        assert await lives.take(other, uuid.uuid4(), 1)
        assert not await lives.take(tenant, uuid.uuid4(), 1)
        died._taken.clear()  # it does nothing any more
        async with asyncio.timeout(20):
            while not await lives.take(tenant, uuid.uuid4(), 1):
                await asyncio.sleep(0.05)
        assert not await lives.take(other, uuid.uuid4(), 1)
        await lives.close()
        await died.close()

    run(work)


def test_places_are_kept_for_no_longer_when_redis_clock_was_set_back(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the moment in which one runs out lies far ahead."""
    monkeypatch.setattr(places, "KEPT_SECONDS", 2)
    tenant, place = uuid.uuid4(), uuid.uuid4()

    async def work() -> None:
        died, lives = Places(redis_server.url), Places(redis_server.url)
        assert await died.take(tenant, place, 1)
        died._taken.clear()  # it does nothing any more
        key = f"portal:streams:{tenant.hex}"
        await died._redis.zincrby(key, 3600, place.hex)
        await died._redis.expire(key, 3600)
        assert not await lives.take(tenant, uuid.uuid4(), 1)
        async with asyncio.timeout(20):
            while not await lives.take(tenant, uuid.uuid4(), 1):
                await asyncio.sleep(0.05)
        await lives.close()
        await died.close()

    run(work)


def test_a_place_that_is_given_back_while_all_are_renewed_stays_free(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The renewal has to connect first, and so reaches Redis last."""
    monkeypatch.setattr(places, "RENEWED_SECONDS", 0.2)
    monkeypatch.setattr(places, "ANSWER_SECONDS", 20)
    tenant, place = uuid.uuid4(), uuid.uuid4()

    async def work() -> None:
        asked, other = Places(redis_server.url), Places(redis_server.url)
        assert await asked.take(tenant, place, 1)
        pool = asked._redis.connection_pool
        connection = await pool.get_connection()
        redis_server.freeze()
        try:
            await asyncio.sleep(3 * places.RENEWED_SECONDS)
            await pool.release(connection)
            leaving = asyncio.create_task(asked.leave(tenant, place))
            await asyncio.sleep(0.1)
        finally:
            redis_server.thaw()
        await leaving
        await asyncio.sleep(places.RENEWED_SECONDS)
        async with asyncio.timeout(20):
            while not await other.take(tenant, uuid.uuid4(), 1):
                await asyncio.sleep(0.05)
        await other.close()
        await asked.close()

    run(work)


def test_a_handshake_that_was_called_off_holds_no_place(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place is not renewed: whatever Redis made of the question, it is over in a while."""
    monkeypatch.setattr(places, "KEPT_SECONDS", 2)
    monkeypatch.setattr(places, "RENEWED_SECONDS", 0.1)
    tenant = uuid.uuid4()

    async def work() -> None:
        asked = Places(redis_server.url)
        assert await asked.take(uuid.uuid4(), uuid.uuid4(), 1)
        redis_server.freeze()
        try:
            taking = asyncio.create_task(asked.take(tenant, uuid.uuid4(), 1))
            await asyncio.wait({taking}, timeout=0.2)
            taking.cancel()
            await asyncio.wait({taking})
        finally:
            redis_server.thaw()
        async with asyncio.timeout(20):
            while not await asked.take(tenant, uuid.uuid4(), 1):
                await asyncio.sleep(0.05)
        await asked.close()

    run(work)


def test_redis_that_answers_nobody_holds_no_handshake_up(redis_server: RedisServer) -> None:
    """The tenant's own ceiling in this process still holds; the failure is counted."""

    async def work() -> None:
        asked = Places(redis_server.url)
        redis_server.freeze()
        try:
            assert await asyncio.wait_for(asked.take(uuid.uuid4(), uuid.uuid4(), 1), 5)
            assert asked.failures == 1
        finally:
            redis_server.thaw()
        await asked.close()

    run(work)
