"""Whoever tries many secrets that are none of ours waits for the refusals, so that others need not.

A secret that is not known costs a read, many times the price of a call that is let in; and a client
that sends one after the other is as fast as the answers come. So of the refusals only so many go
out at once, and the rest a little later: each after another pause, since those who leave together
come back together. No verdict depends on it, and no call of a live key.
"""

import asyncio
import random
from time import monotonic

WINDOW_SECONDS = 0.1
AT_ONCE = 10  # in a window: 100 a second, far more than mistyped keys ever are
PAUSE_SECONDS = 0.2  # in the middle


class Strangers:
    """Counts the secrets that were read in vain."""

    def __init__(self) -> None:
        self._ends_at = 0.0
        self._seen = 0

    async def wait(self) -> None:
        """For its turn to be refused; mostly not at all."""
        now = monotonic()
        if now >= self._ends_at:
            self._ends_at, self._seen = now + WINDOW_SECONDS, 0
        self._seen += 1
        if self._seen > AT_ONCE:
            await asyncio.sleep(PAUSE_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
