"""When and from where each key was last let in: noted in memory, written in batches."""

import asyncio
import datetime as dt
import logging
import uuid

from apikeys.edge.database import Database, DatabaseAway
from portal.lib import clock
from portal.lib.address import Address
from portal.lib.redact import redacted

FLUSH_SECONDS = 3  # with WRITE_SECONDS, at most five seconds behind
WRITE_SECONDS = 2
MOST_NOTED = 100_000  # keys; while nothing can be written, further ones are not noted
BATCH = 5_000  # keys a statement

_WRITE = """
INSERT INTO apikeys_keyuse AS known (key_id, last_used_at, last_address)
SELECT key.id, noted.at, noted.address::inet
FROM unnest(%s::uuid[], %s::timestamptz[], %s::text[]) AS noted (key_id, at, address)
JOIN apikeys_apikey AS key ON key.id = noted.key_id
ORDER BY key.id
FOR KEY SHARE OF key
ON CONFLICT (key_id) DO UPDATE
SET last_used_at = excluded.last_used_at, last_address = excluded.last_address
WHERE known.last_used_at < excluded.last_used_at
"""

Use = tuple[dt.datetime, str | None]  # when, and from which address

_log = logging.getLogger(__name__)


class LastUse:
    """The last use of each key since it was last written.

    Several processes may write about one key: the later use stays, whoever writes last. A key
    that is deleted before its use is written is left out.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: dict[uuid.UUID, Use] = {}
        self._flushing: asyncio.Task[None] | None = None
        self._is_behind = False

    def note(self, key_id: uuid.UUID, address: Address | None) -> None:
        """The key was let in just now, from that address."""
        if len(self._noted) < MOST_NOTED or key_id in self._noted:
            self._noted[key_id] = (clock.now(), str(address) if address else None)

    def open(self) -> None:
        """Begin to write every few seconds."""
        self._flushing = asyncio.create_task(self._flush_for_ever())

    async def close(self) -> None:
        """Write what is noted, if that can be done in time."""
        if self._flushing:
            self._flushing.cancel()
            await asyncio.wait({self._flushing})
        await self.flush()

    async def flush(self) -> None:
        """Write what is noted; what cannot be written is kept for the next time."""
        noted = list(self._noted.items())
        for start in range(0, len(noted), BATCH):
            batch = noted[start : start + BATCH]
            try:
                await self._write(batch)
            except DatabaseAway as away:
                if not self._is_behind:
                    _log.warning("The last use of keys is not written: %s", redacted(str(away)))
                self._is_behind = True
                return
            self._is_behind = False
            for key_id, use in batch:
                if self._noted.get(key_id) is use:  # else it was used again meanwhile
                    del self._noted[key_id]

    async def _write(self, batch: list[tuple[uuid.UUID, Use]]) -> None:
        keys = [key_id for key_id, _ in batch]
        times = [at for _, (at, _) in batch]
        addresses = [address for _, (_, address) in batch]
        await self._database.ask(_WRITE, [keys, times, addresses], seconds=WRITE_SECONDS)

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()
