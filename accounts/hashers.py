"""Argon2id, a few at a time and behind everything else: a flood of sign-ins takes what is left.

Each hash takes 100 MiB and a fifth of a second of a core.
"""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher

from accounts.limits import TooManyTries

T = TypeVar("T")

# Longer than this nobody waits: the thread is needed for somebody else's page.
PATIENCE_SECONDS = 2
RETRY_AFTER_SECONDS = 5
# Of the threads that hash: calls to the feed and pages go first wherever cores are short.
NICENESS = int(os.environ.get("X_NICE", "10"))

_slots = threading.BoundedSemaphore(settings.HASHES_AT_ONCE)


class BoundedArgon2(Argon2PasswordHasher):
    """Django's Argon2 hasher behind a semaphore of HASHES_AT_ONCE; then 429."""

    # Django's 8 lanes are 8 threads a hash, which crowd out whoever else needs a core. The work,
    # and what it costs to guess, is the same in one.
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        """Hash, when there is a slot."""
        return _in_a_slot(super().encode, password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        """Check, when there is a slot."""
        return _in_a_slot(super().verify, password, encoded)


def _in_a_slot(work: Callable[[str, str], T], *given: str) -> T:
    if not _slots.acquire(timeout=PATIENCE_SECONDS):
        raise TooManyTries(RETRY_AFTER_SECONDS)
    try:
        return _threads.submit(work, *given).result()
    finally:
        _slots.release()


def _give_way() -> None:
    """On Linux niceness is a thread's own, and none has to be root to be nicer."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


_threads = ThreadPoolExecutor(settings.HASHES_AT_ONCE, "argon2", initializer=_give_way)
