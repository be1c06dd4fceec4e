"""Hears what the database announces, and proves several times a second that it would.

The proof is an announcement to itself, by way of the same queue in Postgres, which is kept in the
order of the commits: whoever hears its own has heard every other that was committed before it was
sent. An answer to `SELECT 1` would prove less: only that the connection lives.

When one is not heard within SILENT_SECONDS the connection is given up. As the next is sent
PROBE_SECONDS after the last, the cache is then as old as `BELIEVED_SECONDS` lets it become, and
is passed over until a new connection has begun a new epoch.
"""

import asyncio
import logging
import secrets
from collections.abc import Mapping
from time import monotonic
from typing import Protocol

from psycopg.conninfo import make_conninfo

from apikeys.edge.directory import Directory
from apikeys.edge.line import Line, LineLost, Values, connect
from portal.lib.redact import redacted

CHANNEL = "portal_changes"
PROBE_SECONDS = 0.2  # between two proofs
SILENT_SECONDS = 0.4
PAUSE_SECONDS = 0.1  # before another try to connect
COMPLAINT_SECONDS = 10  # at most one line in so long a time

TABLES = (
    "accounts_tenant",
    "apikeys_contract",
    "apikeys_apikey",
    "apikeys_apikeysecret",
    "markets_tenantmarkets",
    "markets_catalogue",
)
# Table and trigger of each that a verdict depends on: without one of them a change would not be
# announced, or under the version before it, and silence would prove nothing.
TRIGGERS = (
    *((table, name) for table in TABLES for name in ("set_version", "announce", "announce_all")),
    ("markets_markettype", "move_catalogue"),
)
_NAMED = ", ".join(f"(to_regclass('{table}'), name '{name}')" for table, name in TRIGGERS)
# How many of them are in force (not disabled, and not for replicas alone), and a sum that grows
# when one is altered: who did that and undid it in one transaction may have changed rows in it.
_STATE = f"""
SELECT count(*), sum(pg_trigger.xmin::text::bigint)
FROM (VALUES {_NAMED}) AS named (tgrelid, tgname) JOIN pg_trigger USING (tgrelid, tgname)
WHERE tgenabled IN ('O', 'A')
"""  # noqa: S608 - names of our own

_log = logging.getLogger(__name__)


class Hearer(Protocol):
    """Whoever else remembers something that announcements overrule."""

    def hear(self, payload: str) -> None:
        """An announcement: `kind:id:version`, or `*` for everything."""

    def begin_epoch(self) -> None:
        """Some may have been lost: nothing that was read until now is to be believed."""


class Listener:
    """Keeps a directory told, over a connection of its own that it opens again when it is lost."""

    def __init__(self, keywords: Mapping[str, str], directory: Directory, *also: Hearer) -> None:
        """keywords: libpq's, from `portal.lib.env.database_parts`. Nothing is opened yet.

        also: told of everything, after the directory.
        """
        # Nothing is ever written over it, so no proof need wait for a disk.
        options = f"{keywords.get('options', '')} -c synchronous_commit=off"
        named = {"application_name": "machine door listener", **keywords, "options": options}
        self._conninfo = make_conninfo(**named)
        self._directory = directory
        self._hearers: tuple[Hearer, ...] = (directory, *also)
        self._own_channel = f"portal_probe_{secrets.token_hex(8)}"
        self.losses = 0  # how often the connection was lost, or could not be made
        self._sent = 0
        self._heard = 0  # the number of the last probe that came back
        self._listening: asyncio.Task[None] | None = None
        self._complained_at = float("-inf")

    def open(self) -> None:
        """Begin to listen, in the running event loop."""
        self._listening = asyncio.create_task(self._listen_for_ever())

    async def close(self) -> None:
        """End the connection."""
        if self._listening:
            self._listening.cancel()
            await asyncio.wait({self._listening}, timeout=2)

    async def _listen_for_ever(self) -> None:
        while True:
            try:
                await self._listen()
            except Exception as error:  # whatever it is, it must not end the listening
                self.losses += 1
                self._complain(error)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _listen(self) -> None:
        """Until the connection is lost, which raises LineLost.

        LISTEN is in force before the epoch begins, and the triggers have been looked at: what is
        read from then on is either newer than a change, or the change is heard.
        """
        line = Line(await connect(self._conninfo), self._hear)
        try:
            listen = f"LISTEN {CHANNEL}; LISTEN {self._own_channel}; {_STATE}"
            before = await line.ask(listen, seconds=SILENT_SECONDS)
            for hearer in self._hearers:
                hearer.begin_epoch()
            while True:
                await self._prove(line, before)
                self._directory.tidy()
                await line.rest(PROBE_SECONDS)
        finally:
            line.close()

    async def _prove(self, line: Line, before: Values) -> None:
        """before: the triggers as they were when the epoch began."""
        began_at = monotonic()
        self._sent += 1
        probe = f"SELECT pg_notify('{self._own_channel}', '{self._sent}'); {_STATE}"
        found = await line.ask(probe, seconds=SILENT_SECONDS)
        if found[0] != str(len(TRIGGERS)):
            raise LineLost("not all triggers that announce changes are in force: run `migrate`")
        if found != before:
            raise LineLost("triggers were altered, perhaps to change something unannounced")
        if self._heard != self._sent:
            raise LineLost("announcements do not come through: is there a pooler in between?")
        self._directory.prove(began_at)
        if self._complained_at > 0:
            _log.warning("Changes are heard again")
            self._complained_at = float("-inf")

    def _hear(self, channel: str, payload: str) -> None:
        if channel == CHANNEL:
            for hearer in self._hearers:
                hearer.hear(payload)
        elif channel == self._own_channel:
            self._heard = int(payload)

    def _complain(self, error: Exception) -> None:
        """Now and then, until changes are heard again."""
        if monotonic() >= self._complained_at + COMPLAINT_SECONDS:
            self._complained_at = monotonic()
            is_ours = isinstance(error, LineLost)
            reason = redacted(f"{error}" if is_ours else f"{type(error).__name__}: {error}")
            _log.warning("Changes are not heard: %s", reason, exc_info=not is_ours)
