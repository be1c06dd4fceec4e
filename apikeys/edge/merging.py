"""The use that waits in rows of many keys is merged into the rows of each, a minute later.

With 100,000 keys in use a key is counted in every other writing of a minute. What waits costs a
hundredth of what its own rows would; those are written once for the minute. Any process merges what
any has written, so nothing is left behind by one that is gone.
"""

import logging
from time import monotonic

from apikeys.edge.database import Database, DatabaseAway
from apikeys.edge.usage_sql import MERGE, OVER
from portal.lib import clock
from portal.lib.redact import redacted

MERGED_AFTER = 65  # seconds, from where the minute begins: then every process has written it
MERGE_SECONDS = 1  # a statement's; Postgres ends it before
AT_ONCE = 4  # slices, in the pause between two writings: a round takes 40 seconds
ROUND = 16  # pauses; where more is over than a minute, a round takes no longer
MOST_TALLIES = 12_000  # in a statement: 0.2 seconds of Postgres with 100,000 keys in use
FEWEST_TALLIES = 1_000

_log = logging.getLogger(__name__)


class Merging:
    """Merges in the pauses between two writings of a process, never into the next."""

    def __init__(self, database: Database) -> None:
        """Nothing is done before `run`."""
        self._database = database
        self._most = MOST_TALLIES
        self._is_behind = False

    async def run(self, ends_at: float) -> None:
        """A part of what is over, the oldest first. ends_at: by monotonic().

        What fails stays as it was until the next time, when half as much is tried at once.
        """
        try:
            over = await self._database.ask(
                OVER, [clock.timestamp() - MERGED_AFTER], seconds=MERGE_SECONDS
            )
            for place in over[: max(AT_ONCE, len(over) // ROUND)]:
                if monotonic() + MERGE_SECONDS > ends_at:
                    break
                await self._database.ask(MERGE, [*place, self._most], seconds=MERGE_SECONDS)
                self._most = min(self._most + FEWEST_TALLIES, MOST_TALLIES)
        except DatabaseAway as away:
            if not self._is_behind:
                _log.warning("The use of keys is not merged: %s", redacted(str(away)))
            self._is_behind = True
            self._most = max(self._most // 2, FEWEST_TALLIES)
        else:
            self._is_behind = False
