"""A turnstile: so many at once, the others wait their turn, and nobody waits for ever."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# In the ASGI scope of a request whose turn did not come: the pages refuse it at once.
CAME_TOO_OFTEN = "portal.came_too_often"


class Turnstile:
    """For what is dear and may be asked by anybody. Waiting costs no thread."""

    def __init__(self, at_once: int, patience_seconds: float) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._way_out = asyncio.Semaphore(1)
        self._patience_seconds = patience_seconds

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[bool]:
        """A place, kept until the block ends; False for whose turn did not come in time.

        First come, first served. Whoever is refused has waited, so that asking again at once, and
        again, is little work for us; and leaves one by one, since crowds come and go together.
        """
        try:
            async with asyncio.timeout(self._patience_seconds):
                await self._places.acquire()
        except TimeoutError:
            async with self._way_out:
                yield False
            return
        try:
            yield True
        finally:
            self._places.release()
