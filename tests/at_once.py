"""Things done at the same moment, for tests of races: threads, each with its own connection."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any, TypeVar

from django.conf import settings
from django.db import connection, connections
from django.test import Client

from accounts.models import Action, AuditEvent

T = TypeVar("T")
Act = Callable[[], Any]

PATIENCE_SECONDS = 8  # below the application's statement_timeout
STILL_SECONDS = 3
# By database, not by the threads' connections: Django's test client may make a thread a new one.
# Whoever is no person's (autovacuum) does not count; what kind a backend is, is not told to all.
_STUCK = """
    SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE datname = current_database() AND usesysid IS NOT NULL AND NOT granted
"""


def at_once(acts: Sequence[Callable[[], T]], *, gate: str = "accounts_auditevent") -> list[T]:
    """Do all of them in parallel; what each gave back, in their order.

    Whoever writes into the gate's table waits there until every other has run into a lock, or is
    done: so that all of them have passed whatever they look at before they lock something.
    """
    barrier = Barrier(len(acts) + 1, timeout=30)

    def perform(act: Callable[[], T]) -> T:
        try:
            connection.ensure_connection()
            barrier.wait()
            return act()
        finally:
            connections.close_all()

    owner = connections["owner"]
    with ThreadPoolExecutor(len(acts)) as pool, owner.cursor() as cursor:
        owner.set_autocommit(False)
        try:
            cursor.execute(f"LOCK TABLE {gate} IN SHARE MODE")
            done = [pool.submit(perform, act) for act in acts]
            barrier.wait()
            _wait_until_stuck(done)
        finally:
            owner.rollback()
            owner.set_autocommit(True)
        return [each.result() for each in done]


def _wait_until_stuck(done: Sequence[Future[T]]) -> None:
    """All of them; or all but one, when nothing has moved for a while.

    Once in hundreds of runs one of them waits for something that is no lock in the database. The
    others are where they should be, and what must hold of all holds of that one too.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    moved_at, before = time.monotonic(), (0, 0)
    with connections["owner"].cursor() as cursor:
        while time.monotonic() < deadline:
            finished = sum(each.done() for each in done)
            cursor.execute(_STUCK)
            (stuck,) = cursor.fetchone()
            if stuck + finished == len(done):
                return
            if (stuck, finished) != before:
                moved_at, before = time.monotonic(), (stuck, finished)
            is_still = time.monotonic() > moved_at + STILL_SECONDS
            if is_still and stuck + finished == len(done) - 1:
                return
    raise AssertionError(f"{stuck} wait and {finished} are done, of {len(done)}")


def browser(cookie: str = "") -> Client:
    """A browser that has its parts ready, and a session's cookie if it is given one."""
    client = Client()
    client.get("/healthz")
    if cookie:
        client.cookies[settings.SESSION_COOKIE_NAME] = cookie
    return client


def posts(path: str, form: dict[str, Any], browsers: Sequence[Client | str]) -> list[Act]:
    """The same form from each browser, or from one with that session's cookie."""
    clients = [browser(each) if isinstance(each, str) else each for each in browsers]
    return [partial(client.post, path, form) for client in clients]


def statuses(answers: Sequence[Any]) -> Counter[int]:
    """How often each status came."""
    return Counter(answer.status_code for answer in answers)


def events(action: Action) -> int:
    """How many rows of that action there are."""
    return AuditEvent.objects.filter(action=action).count()
