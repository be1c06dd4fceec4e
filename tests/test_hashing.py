"""Argon2 takes 100 MiB a hash: a few at a time, and whoever would wait too long is told so."""

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from argon2 import low_level
from django.conf import LazySettings
from django.contrib.auth.hashers import check_password, make_password
from django.test import Client

from accounts import hashers
from accounts.limits import TooManyTries
from accounts.models import AuditEvent, User
from tests.conftest import PASSWORD
from tests.pages import sign_in, text

BOUNDED = "accounts.hashers.BoundedArgon2"
ENCODED = "argon2$argon2id$v=19$m=102400,t=2,p=8$c2FsdHNhbHQ$aGFzaGhhc2g"


@pytest.fixture
def bounded(settings: LazySettings) -> int:
    """The hasher of production; how many it lets hash at once."""
    settings.PASSWORD_HASHERS = [BOUNDED]
    return int(settings.HASHES_AT_ONCE)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever finds no slot does not wait for one."""
    monkeypatch.setattr(hashers, "PATIENCE_SECONDS", 0.001)


@pytest.fixture
def all_slots_taken(bounded: int) -> Iterator[None]:
    """As many others hash as may."""
    for _ in range(bounded):
        assert hashers._slots.acquire(blocking=False)
    yield
    for _ in range(bounded):
        hashers._slots.release()


def test_no_more_hash_at_once_than_memory_is_planned_for(
    bounded: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each round of Argon2 waits here for as many others as may come, and counts them."""
    together = threading.Barrier(bounded, timeout=5)
    lock = threading.Lock()
    inside: list[int] = [0]
    seen: list[int] = []

    def hash_secret(*_: Any, **__: Any) -> bytes:
        with lock:
            inside[0] += 1
            seen.append(inside[0])
        together.wait()
        with lock:
            inside[0] -= 1
        return ENCODED.removeprefix("argon2").encode()

    monkeypatch.setattr(low_level, "hash_secret", hash_secret)
    with ThreadPoolExecutor(bounded * 5) as pool:
        made = list(pool.map(make_password, ["a password"] * bounded * 5))
    assert len(made) == bounded * 5
    assert max(seen) == bounded


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has threads of their own niceness")
@pytest.mark.usefixtures("bounded")
def test_whoever_hashes_steps_back_for_calls_and_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """And they do not step back themselves."""

    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def hash_secret(*_: Any, **__: Any) -> bytes:
        seen.append(niceness())
        return ENCODED.removeprefix("argon2").encode()

    seen: list[int] = []
    monkeypatch.setattr(low_level, "hash_secret", hash_secret)
    before = niceness()
    make_password("a password")
    assert (niceness(), seen) == (before, [min(19, before + hashers.NICENESS)])


@pytest.mark.usefixtures("all_slots_taken", "impatient")
def test_who_finds_no_slot_is_told_to_come_back() -> None:
    for act in (lambda: make_password("x"), lambda: check_password("x", ENCODED)):
        with pytest.raises(TooManyTries) as refused:
            act()
        assert refused.value.retry_after == hashers.RETRY_AFTER_SECONDS


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("typed", ["Alice", "nobody"])
def test_a_flood_of_sign_ins_is_answered_with_429(
    alice: User, request: pytest.FixtureRequest, typed: str
) -> None:
    """And not taken for a wrong password: nothing is recorded against anybody."""
    User.objects.filter(pk=alice.pk).update(password=ENCODED)
    request.getfixturevalue("all_slots_taken")
    before = AuditEvent.objects.count()
    answer = sign_in(Client(), typed)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == str(hashers.RETRY_AFTER_SECONDS)
    assert "Wait 5 seconds" in text(answer)
    assert AuditEvent.objects.count() == before


@pytest.mark.usefixtures("impatient")
def test_a_slot_is_given_back_whatever_happens(
    bounded: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> bytes:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(low_level, "hash_secret", broken)
        for _ in range(bounded + 1):
            with pytest.raises(MemoryError):
                make_password(PASSWORD)
    encoded = make_password(PASSWORD)
    assert encoded.startswith("argon2$argon2id$")
    assert check_password(PASSWORD, encoded) and not check_password("x", encoded)
