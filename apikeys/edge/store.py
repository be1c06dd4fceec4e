"""The record of a secret: out of the directory while that may be believed, else out of Postgres."""

from collections.abc import Mapping
from time import monotonic
from typing import Any

from apikeys.edge import reads
from apikeys.edge.database import Database, DatabaseAway
from apikeys.edge.directory import MISSING, Directory, Missing
from apikeys.edge.facts import Histogram
from apikeys.edge.held import Held
from apikeys.edge.rows import LOOKUP, LOOKUP_ONE, Row, parse_row
from portal.lib.crypto import digest


class Store:
    """Finds the record of a secret. Calls with the same secret wait for the same read."""

    def __init__(self, database: Database, directory: Directory, grace_seconds: float = 0) -> None:
        """grace_seconds: for how long of an outage stale records are preferred to no answer."""
        self.lookups = Histogram()  # readings, of up to `reads.MOST_AT_ONCE` secrets each
        self._database = database
        self._directory = directory
        self._grace_seconds = grace_seconds
        self._reads = reads.Reads(
            ask=self._ask,
            moment=lambda: directory.moment,
            learn=directory.learn,
            believes=lambda _, row, begun: directory.believes(row, begun),
        )

    def recall(self, secret: str) -> Held | Missing | None:
        """The record, if what is remembered may be believed; else MISSING: `key_record` reads."""
        return self._directory.find(digest(secret)) if self._directory.is_fresh() else MISSING

    async def key_record(self, secret: str) -> Held | None:
        """The record, or None for a secret that we never made. Raises DatabaseAway, in time."""
        sha = digest(secret)
        if self._directory.is_fresh():
            found = self._directory.find(sha)
            if found is not MISSING:
                return found
        try:
            row = await self._reads.read(sha)
        except DatabaseAway:
            stale = self._find_stale(sha)
            if stale is MISSING:
                raise
            return stale
        return row.record() if row else None

    async def is_ready(self) -> bool:
        """Whether a record could be found just now."""
        try:
            await self._database.ask("SELECT 1", seconds=reads.PATIENCE_SECONDS)
        except DatabaseAway:
            return False
        return True

    async def close(self) -> None:
        """Give up what is being read."""
        await self._reads.close()

    async def _ask(self, shas: list[bytes], seconds: float) -> Mapping[bytes, Row | DatabaseAway]:
        began_at = monotonic()
        try:
            lookup = LOOKUP if len(shas) > 1 else LOOKUP_ONE
            rows = await self._database.ask(lookup, [shas], seconds=seconds)
            return {bytes(row[0]): _parsed(row) for row in rows}
        finally:
            self.lookups.add(monotonic() - began_at)

    def _find_stale(self, sha: bytes) -> Held | Missing | None:
        if self._grace_seconds and self._directory.is_fresh(self._grace_seconds):
            return self._directory.find(sha)
        return MISSING


def _parsed(columns: tuple[Any, ...]) -> Row | DatabaseAway:
    """One that somebody made unreadable by hand is no other key's affair."""
    try:
        return parse_row(columns)
    except Exception as error:
        return reads.unreadable(error)
