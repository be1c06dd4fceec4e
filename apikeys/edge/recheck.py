"""After a lost listener: which of the keys are still as they were, asked in few questions.

Nothing that was read before is believed then. Each key would be read again at its next call, all at
once and with callers waiting. What Postgres has to say of one that did not change are sixteen
bytes. docs/decisions/0007-directory.md has the reasons.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic

from apikeys.edge.database import Database, DatabaseAway
from apikeys.edge.directory import Directory
from apikeys.edge.rows import FINGERPRINTS

AT_ONCE = 2_000  # keys in a question
SECONDS = 1.0
AS_LONG_AS_SECONDS = 5.0  # by then calls have asked for what is in use
MOST = 200_000  # keys; about as many as can be asked about in that time
CONFIRMED_AT_ONCE = 250  # keys, then it is the turn of calls; takes two milliseconds
_SIZE = 16  # bytes of a key's fingerprints


class Recheck:
    """Is told of a new epoch by the listener, and then asks."""

    def __init__(self, database: Database, directory: Directory) -> None:
        """Asks nothing yet."""
        self._database = database
        self._directory = directory
        self._asking: asyncio.Task[None] | None = None

    def hear(self, payload: str) -> None:
        """What one announcement overrules is read when it is called for."""

    def begin_epoch(self) -> None:
        """Ask about all that is held. Must be told after the directory."""
        if self._asking:
            self._asking.cancel()
        self._asking = asyncio.create_task(self._ask_all())

    async def close(self) -> None:
        """Ask no more."""
        if self._asking:
            self._asking.cancel()
            await asyncio.wait({self._asking}, timeout=1)

    async def _ask_all(self) -> None:
        held, ends_at = self._directory.held(MOST), monotonic() + AS_LONG_AS_SECONDS
        self._directory.spare(AS_LONG_AS_SECONDS)
        with suppress(DatabaseAway):  # then calls ask for themselves
            for start in range(0, len(held), AT_ONCE):
                if monotonic() > ends_at:
                    break
                await self._ask(held[start : start + AT_ONCE])
        self._directory.spare(0)

    async def _ask(self, keys: Sequence[bytes]) -> None:
        begun = self._directory.moment
        ((found,),) = await self._database.ask(FINGERPRINTS, [keys], seconds=SECONDS)
        for number, sha in enumerate(keys):
            if number % CONFIRMED_AT_ONCE == 0:
                await asyncio.sleep(0)
            self._directory.confirm(sha, found[number * _SIZE : (number + 1) * _SIZE], begun)
