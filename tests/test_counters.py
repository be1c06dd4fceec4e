"""What counts tries: in Postgres, atomically, unless there is a Redis."""

import datetime as dt
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from asgiref.local import Local
from django.core.cache import cache
from django.core.cache.backends.redis import RedisCache
from django.test import Client

from accounts.counters import PostgresCounters
from accounts.models import AuditEvent, Counter, User
from accounts.tasks import forget_what_is_over
from portal.lib import clock
from tests.at_once import at_once, posts, statuses
from tests.conftest import signed_in
from tests.pages import is_signed_in, sign_in
from tests.production import told_by

BACKEND = 'answer = settings.CACHES["default"]'
LOGIN = "/client/login"


@pytest.fixture
def counters(database: None) -> PostgresCounters:
    """The cache of the settings, which is Postgres here."""
    assert isinstance(cache._connections["default"], PostgresCounters)
    return PostgresCounters("", {})


def test_a_counter_that_runs_is_not_begun_again(counters: PostgresCounters) -> None:
    assert counters.add("tries", 1, 60)
    assert not counters.add("tries", 1, 60)
    assert counters.incr("tries") == 2
    assert counters.incr("tries", 3) == counters.get("tries") == 5


def test_what_does_not_run_cannot_be_counted_on(counters: PostgresCounters) -> None:
    with pytest.raises(ValueError, match="does not run"):
        counters.incr("tries")
    assert counters.get("tries") is None
    assert counters.get("tries", 0) == 0
    assert not counters.delete("tries")


def test_a_counter_ends_to_the_second_and_counting_does_not_push_its_end(
    counters: PostgresCounters,
) -> None:
    began = clock.now()
    counters.add("tries", 1, 60)
    clock.move(dt.timedelta(seconds=59))
    assert counters.incr("tries") == 2
    clock.move(began + dt.timedelta(seconds=60.5) - clock.now())
    assert counters.get("tries") is None
    with pytest.raises(ValueError, match="does not run"):
        counters.incr("tries")
    assert counters.add("tries", 1, 60)
    assert counters.get("tries") == 1


def test_setting_sets_whatever_was_there(counters: PostgresCounters) -> None:
    counters.add("tries", 7, 60)
    counters.set("tries", 1, 60)
    assert counters.get("tries") == 1
    assert counters.delete("tries")
    assert counters.get("tries") is None


def test_counters_are_told_apart_and_cleared_together(counters: PostgresCounters) -> None:
    counters.add("a", 1)
    counters.add("b", 5)
    counters.add("a", 9, version=2)
    assert (counters.get("a"), counters.get("b"), counters.get("a", version=2)) == (1, 5, 9)
    counters.clear()
    assert counters.get("a") is counters.get("b") is None


def test_what_is_over_is_swept_up(counters: PostgresCounters) -> None:
    counters.add("short", 1, 60)
    counters.add("long", 1, 600)
    clock.move(dt.timedelta(minutes=5))
    forget_what_is_over(timestamp=0)
    assert Counter.objects.count() == 1
    assert counters.get("long") == 1


@pytest.mark.usefixtures("committed_db")
def test_nothing_that_is_counted_at_once_is_lost() -> None:
    """Of 400 hits at once Django's own DatabaseCache counts 95."""
    counters = PostgresCounters("", {})

    def count() -> int:
        began = counters.add("tries", 1, 60)
        for _ in range(20 - began):
            counters.incr("tries")
        return began

    begun = at_once([count] * 20, gate="accounts_counter")
    assert sum(begun) == 1
    assert counters.get("tries") == 400


@pytest.mark.usefixtures("committed_db")
def test_of_twenty_guesses_at_once_ten_are_looked_at() -> None:
    form = {"username": "nobody", "password": "wrong"}
    answers = at_once(posts(LOGIN, form, [""] * 20), gate="accounts_counter")
    assert statuses(answers) == {200: 10, 429: 10}
    assert AuditEvent.objects.count() == 10


@pytest.mark.service
def test_the_setting_chooses_where_it_is_counted() -> None:
    assert told_by(BACKEND) == {"BACKEND": "accounts.counters.PostgresCounters"}
    chosen = told_by(BACKEND, REDIS_URL="redis://127.0.0.1:6379/3")
    assert chosen == {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": "redis://127.0.0.1:6379/3",
        "OPTIONS": {"socket_connect_timeout": 2, "socket_timeout": 2},
    }


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    """The address of a Redis of the test's own, that keeps nothing."""
    program = shutil.which(os.environ.get("REDIS_SERVER") or "redis-server")
    if program is None:
        sentence = "redis-server is not there: install redis-server (redis)."
        if os.environ.get("PORTAL_REQUIRE_TOOLS") == "1":
            pytest.fail(sentence)
        pytest.skip(sentence)
    path = tmp_path / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no"]
    server = subprocess.Popen([program, *options], cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        _await_socket(path, server)
        yield f"unix://{path}"
    finally:
        server.terminate()
        server.wait(10)


def _await_socket(path: Path, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return
        time.sleep(0.01)
    raise AssertionError("Redis did not start")


def count_in(redis: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have tries counted there, as REDIS_URL would."""
    backend = f"{RedisCache.__module__}.{RedisCache.__qualname__}"
    chosen = {"BACKEND": backend, "LOCATION": redis}
    for name, value in chosen.items():
        monkeypatch.setitem(cache._connections.settings["default"], name, value)
    monkeypatch.setattr(cache._connections, "_connections", Local())


def test_a_redis_that_is_away_is_said_and_lets_nobody_guess(
    alice: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 and when to come back, on what is counted alone; other pages go on."""
    count_in(f"unix://{tmp_path}/nothing.sock", monkeypatch)
    client = Client(raise_request_exception=False)
    answer = sign_in(client, "Alice")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert not is_signed_in(client)
    assert is_signed_in(signed_in(alice))


@pytest.mark.service
@pytest.mark.usefixtures("committed_db")
def test_a_real_redis_counts_exactly_too(redis: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty guesses at once, counted there and not in Postgres."""
    counters: Any = RedisCache(redis, {})
    count_in(redis, monkeypatch)
    form = {"username": "nobody", "password": "wrong"}
    acts = [partial(Client().post, LOGIN, form) for _ in range(20)]
    assert statuses(at_once(acts)) == {200: 10, 429: 10}
    assert not Counter.objects.exists()
    assert counters._cache.get_client().dbsize() == 3
