"""This process among those of the machine door: that it is there, and what it has heard.

A page that has changed something says in how many processes the change is in effect. It knows from
rows that those processes write: an announcement is acknowledged by its kind, id and version after
the directory has been told, so that nothing older is believed here from then on.
"""

import asyncio
import json
import logging
import re
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic

from apikeys.edge.database import Database, DatabaseAway, Rows
from apikeys.edge.directory import Directory

PAUSE_SECONDS = 0.1  # between two writings, while there is something new
HEARTBEAT_SECONDS = 1.0
COUNTED_SECONDS = 10  # for which a process that has fallen silent still counts as one that is there
WRITE_SECONDS = 1.0
MOST_UNSAID = 10_000  # rows; further ones are not acknowledged, so their changes seem to be late
KEPT_MINUTES = 60  # for which it matters to somebody who has heard of a change

_SAY = """
WITH heard AS (
    INSERT INTO apikeys_acknowledgement (kind, name, process, version, heard_at)
    SELECT said.kind, said.name, %s, said.version, now() - said.age * interval '1 second'
    FROM jsonb_to_recordset(%s::jsonb) AS said (kind text, name text, version bigint, age float)
    ORDER BY said.kind, said.name
    ON CONFLICT (kind, name, process)
    DO UPDATE SET version = excluded.version, heard_at = excluded.heard_at
)
INSERT INTO apikeys_doorprocess (id, started_at, seen_at, counted_until, is_remembering, facts)
VALUES (%s, now() - %s * interval '1 second', now(), now() + %s * interval '1 second', %s, %s)
ON CONFLICT (id) DO UPDATE
SET seen_at = excluded.seen_at, counted_until = excluded.counted_until,
    is_remembering = excluded.is_remembering, facts = excluded.facts
"""
_LEAVE = "DELETE FROM apikeys_doorprocess WHERE id = %s"
_UNHEARD = """
SELECT change.kind, change.name, change.version
FROM apikeys_announcement AS change
LEFT JOIN apikeys_acknowledgement AS said
ON said.kind = change.kind AND said.name = change.name AND said.process = %s
WHERE change.at > now() - %s * interval '1 minute'
AND (said.process IS NULL OR said.version <> change.version OR said.heard_at < change.at)
ORDER BY change.at DESC LIMIT %s
"""

# As long as their columns, so that it can be acknowledged.
_ANNOUNCED = re.compile(r"(?P<kind>[a-z]{1,16}):(?P<name>[0-9a-f-]{1,40}):(?P<version>[0-9]{1,18})")

_log = logging.getLogger(__name__)

Facts = Mapping[str, object]
_Change = tuple[str, str]  # kind and id of a row


class Attendance:
    """Says once a second that the process is there, and at once what it has heard.

    One of the listener's hearers. A process that believes nothing just now, because it has no
    listener or has lost it, asks Postgres on each call: it does not count as one that remembers.
    """

    def __init__(
        self,
        database: Database,
        directory: Directory,
        facts: Callable[[], Facts],
        grace_seconds: float = 0,
    ) -> None:
        """facts: of the process, for the metrics; what JSON can hold.

        grace_seconds: for which it believes in an outage what may have changed, so it counts so
        much longer after it has fallen silent.
        """
        self.process = uuid.uuid4()
        self._database = database
        self._directory = directory
        self._facts = facts
        self._grace_seconds = grace_seconds
        self._counted_seconds = COUNTED_SECONDS + grace_seconds
        self._began_at = monotonic()
        self._said_at = float("-inf")
        self._unsaid: dict[_Change, tuple[int, float]] = {}  # version, and when it was heard
        self._something_new = asyncio.Event()
        self._leaving = asyncio.Event()
        self._must_catch_up = False
        self._missed: tuple[float, Rows] | None = None  # when it was read, and kinds, ids, versions
        self._saying: asyncio.Task[None] | None = None

    def hear(self, payload: str) -> None:
        """The directory was told so. Secrets are passed over: their keys change with them.

        So is what no trigger of ours says: anybody in the database may announce, and one row that
        cannot be written would keep all others from it.
        """
        found = _ANNOUNCED.fullmatch(payload)
        if found is None or found["kind"] == "secret":
            return
        change, version = (found["kind"], found["name"]), found["version"]
        if version == "0":  # the row is gone
            self._unsaid.pop(change, None)
        elif len(self._unsaid) < MOST_UNSAID or change in self._unsaid:
            self._unsaid[change] = (int(version), monotonic())
            self._something_new.set()

    def begin_epoch(self) -> None:
        """Nothing that was read until now is believed: of that, too, there is something to say."""
        self._must_catch_up = True
        self._something_new.set()

    def open(self) -> None:
        """Begin, in the running event loop."""
        self._saying = asyncio.create_task(self._say_for_ever())

    async def close(self) -> None:
        """Take leave, so that nobody waits for this process any more; in two seconds at most.

        What is being said is said to its end: it must not come after the leave.
        """
        self._leaving.set()
        self._something_new.set()
        if self._saying:
            await asyncio.wait({self._saying}, timeout=WRITE_SECONDS)
            self._saying.cancel()
        try:
            await self._database.ask(_LEAVE, [self.process], seconds=WRITE_SECONDS)
        except DatabaseAway:
            return  # then it is counted for a few seconds more

    async def _say_for_ever(self) -> None:
        while not self._leaving.is_set():
            try:
                await self._catch_up()
                if self._unsaid or monotonic() >= self._said_at + HEARTBEAT_SECONDS:
                    await self._say()
            except DatabaseAway:  # the listener and the store complain of it
                pass
            except Exception:  # whatever it is, it must not end the attendance
                _log.exception("This process cannot say what it has heard")
            await _wait(self._leaving, PAUSE_SECONDS)
            if not (self._unsaid or self._missed or self._must_catch_up or self._leaving.is_set()):
                self._something_new.clear()
                await _wait(self._something_new, self._said_at + HEARTBEAT_SECONDS - monotonic())

    async def _catch_up(self) -> None:
        """What was announced while nobody listened is in effect since the epoch began.

        But what is found here may be on its way still, if it was committed after LISTEN: so first
        a proof has to come in that began later than this reading ended.
        """
        if self._must_catch_up:
            self._must_catch_up, self._missed = False, None
            asked = [self.process, KEPT_MINUTES, MOST_UNSAID]
            try:
                missed = await self._database.ask(_UNHEARD, asked, seconds=WRITE_SECONDS)
            except DatabaseAway:
                self._must_catch_up = True
                raise
            self._missed = (monotonic(), missed)
        if self._missed and self._directory.proved_at >= self._missed[0]:
            for kind, name, version in self._missed[1]:
                self._unsaid.setdefault((kind, name), (version, monotonic()))
            self._missed = None
            self._said_at = float("-inf")  # it remembers again: that is to be said at once

    async def _say(self) -> None:
        """What cannot be said now is said later, with the moment at which it was heard."""
        now, unsaid = monotonic(), self._unsaid
        self._unsaid = {}
        said = [
            {"kind": kind, "name": name, "version": version, "age": now - heard_at}
            for (kind, name), (version, heard_at) in unsaid.items()
        ]
        age, facts = now - self._began_at, json.dumps(self._facts())
        is_remembering = self._directory.is_fresh(self._grace_seconds)
        row = [self.process, age, self._counted_seconds, is_remembering, facts]
        try:
            parameters = [self.process, json.dumps(said), *row]
            await self._database.ask(_SAY, parameters, seconds=WRITE_SECONDS)
        except DatabaseAway:
            self._unsaid = {**unsaid, **self._unsaid}
            raise
        self._said_at = now


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
