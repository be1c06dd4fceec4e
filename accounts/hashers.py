"""Argon2id, a few at a time: each takes 100 MiB, and a flood of them must not take all there is."""

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher

from accounts.limits import TooManyTries

# Longer than this nobody waits: the thread is needed for somebody else's page.
PATIENCE_SECONDS = 2
RETRY_AFTER_SECONDS = 5
# Of the threads that hash: a tenth of what others of this process get who need the core now. They
# have one to themselves where nobody else does.
NICENESS = 10

_slots = threading.BoundedSemaphore(settings.HASHES_AT_ONCE)


class BoundedArgon2(Argon2PasswordHasher):
    """Django's Argon2 hasher behind a semaphore of HASHES_AT_ONCE; then 429."""

    # Django's 8 lanes are 8 threads a hash, which crowd out whoever else needs a core. What a
    # guess costs is the same in one: the memory, and the work on it.
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        """Hash, when there is a slot."""
        with _slot():
            return _threads.submit(super().encode, password, salt).result()

    def verify(self, password: str, encoded: str) -> bool:
        """Check, when there is a slot."""
        with _slot():
            return _threads.submit(super().verify, password, encoded).result()


def _step_back() -> None:
    """This thread alone; elsewhere than on Linux that would be the process."""
    if sys.platform == "linux":
        os.nice(NICENESS)


_threads = ThreadPoolExecutor(settings.HASHES_AT_ONCE, "hashing", _step_back)


@contextmanager
def _slot() -> Iterator[None]:
    if not _slots.acquire(timeout=PATIENCE_SECONDS):
        raise TooManyTries(RETRY_AFTER_SECONDS)
    try:
        yield
    finally:
        _slots.release()
