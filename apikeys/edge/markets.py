"""Which market types each tenant has switched off: remembered while that may be believed.

By the directory's rules (docs/decisions/0007-directory.md): announcements overrule by version, a
read belongs to the moment it began in, and nothing is believed that would not have been heard.
"""

import asyncio
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic
from typing import Any

from apikeys.edge import store
from apikeys.edge.database import LANES, Database, DatabaseAway
from apikeys.edge.floors import Floors, Part
from markets.disabled import DISABLED_CODES

MOST_TENANTS = 10_000  # remembered; with 60 codes each about 60 MB, unless they chose alike
MOST_AT_ONCE = 200  # tenants in one query
MOST_FLOORS = 100_000

_CATALOGUE: Part = ("catalogue", 1)


class UnknownTenant(LookupError):
    """There is none with this id."""


@dataclass(frozen=True, slots=True)
class Switched:
    """What a tenant has switched off, in which of its revisions, by which catalogue."""

    revision: int
    catalogue_version: int
    disabled: frozenset[str]

    @property
    def tag(self) -> str:
        """Another one whenever anything may have changed, be it by the tenant or by staff."""
        return f"{self.revision}-{self.catalogue_version}"

    def is_enabled(self, code: str) -> bool:
        """Whether the type may be shown to the tenant. What no catalogue knows is on."""
        return code not in self.disabled


_Known = tuple[int, Switched]  # the moment in which the read began, and what it found
_Read = tuple[int, Switched | None] | DatabaseAway


class Markets:
    """The switches of the tenants that are asked about. Tenants asked at once share a query."""

    def __init__(
        self, database: Database, is_fresh: Callable[[float], bool], grace_seconds: float = 0
    ) -> None:
        """is_fresh: the directory's. grace_seconds: as for keys (`EdgeSettings`)."""
        self._database = database
        self._is_fresh = is_fresh
        self._grace_seconds = grace_seconds
        self._known: dict[uuid.UUID, _Known] = {}
        self._floors = Floors()
        self._moment = 0
        self._epoch = 0
        self._reads: dict[uuid.UUID, asyncio.Future[_Read]] = {}
        self._waiting: deque[uuid.UUID] = deque()  # those of _reads that nobody has asked for yet
        self._readers: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    def recall(self, tenant_id: uuid.UUID) -> Switched | None:
        """What may be believed without asking anybody; None where it must be read."""
        return self._recall(tenant_id) if self._is_fresh(0) else None

    async def of(self, tenant_id: uuid.UUID) -> Switched:
        """The tenant's switches. Raises UnknownTenant; DatabaseAway, in time."""
        if (switched := self.recall(tenant_id)) is not None:
            return switched
        try:
            return await self._read(tenant_id)
        except DatabaseAway:
            has_grace = self._grace_seconds and self._is_fresh(self._grace_seconds)
            if has_grace and (stale := self._recall(tenant_id)) is not None:
                return stale
            raise

    async def wait_for_change(self, seconds: float) -> None:
        """Until anything is announced about anybody's switches, or so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    def hear(self, payload: str) -> None:
        """An announcement: `markets:<tenant>:<revision>`, `catalogue:1:<version>`, or another."""
        kind, _, rest = payload.partition(":")
        name, _, number = rest.partition(":")
        if not kind.isalpha():
            self.begin_epoch()
            return
        if kind not in ("markets", "catalogue"):
            return
        try:
            part: Part = (kind, int(name) if kind == "catalogue" else uuid.UUID(name).bytes)
            version = int(number)
        except ValueError:
            self.begin_epoch()
            return
        self._moment += 1
        self._floors.hear(part, version, self._moment)
        if len(self._floors) > MOST_FLOORS:
            self.begin_epoch()
        self._tell()

    def begin_epoch(self) -> None:
        """Nothing that was read until now is believed any more."""
        self._moment += 1
        self._epoch = self._moment
        self._floors.clear()
        self._tell()

    async def close(self) -> None:
        """Give up what is being read."""
        for reader in self._readers:
            reader.cancel()
        if self._readers:
            await asyncio.wait(self._readers, timeout=1)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _recall(self, tenant_id: uuid.UUID) -> Switched | None:
        known = self._known.get(tenant_id)
        return known[1] if known and self._believes(tenant_id, known[1], known[0]) else None

    def _believes(self, tenant_id: uuid.UUID, switched: Switched | None, begun: int) -> bool:
        if begun < self._epoch or switched is None:
            return begun >= self._epoch
        return self._floors.allow(
            ("markets", tenant_id.bytes), switched.revision, begun
        ) and self._floors.allow(_CATALOGUE, switched.catalogue_version, begun)

    async def _read(self, tenant_id: uuid.UUID) -> Switched:
        """As it is in Postgres now.

        It is read again when it was overruled meanwhile, and, for those who came later, when the
        read failed that others had begun.
        """
        deadline = monotonic() + store.PATIENCE_SECONDS
        while True:
            others = self._reads.get(tenant_id)
            read = others or self._begin(tenant_id)
            await asyncio.wait({read}, timeout=deadline - monotonic())
            if not read.done():
                raise DatabaseAway(f"no answer within {store.PATIENCE_SECONDS} seconds")
            found = read.result()
            if isinstance(found, DatabaseAway):
                if others is None or monotonic() >= deadline:
                    raise DatabaseAway(*found.args)
                continue
            begun, switched = found
            if self._believes(tenant_id, switched, begun):
                if switched is None:
                    raise UnknownTenant(str(tenant_id))
                return switched
            if monotonic() >= deadline:
                raise DatabaseAway("what it answers was overruled each time")

    def _begin(self, tenant_id: uuid.UUID) -> asyncio.Future[_Read]:
        read = self._reads[tenant_id] = asyncio.get_running_loop().create_future()
        self._waiting.append(tenant_id)
        if len(self._readers) < LANES:
            self._readers.add(asyncio.create_task(self._read_waiting()))
        return read

    async def _read_waiting(self) -> None:
        try:
            while self._waiting:
                most = min(len(self._waiting), MOST_AT_ONCE)
                await self._read_batch([self._waiting.popleft() for _ in range(most)])
        finally:  # in one step with having seen that nothing waits: else somebody might be missed
            self._readers -= {asyncio.current_task()}

    async def _read_batch(self, batch: list[uuid.UUID]) -> None:
        """Settle these reads, whatever happens."""
        found: dict[uuid.UUID, Switched] = {}
        failure: DatabaseAway | None = DatabaseAway("the door was closed")
        begun = self._moment
        try:
            rows = await self._database.ask(DISABLED_CODES, [batch], seconds=store.READ_SECONDS)
            found.update(map(_parse, rows))
            for tenant_id, switched in found.items():
                self._learn(tenant_id, switched, begun)
            failure = None
        except DatabaseAway as away:
            failure = away
        except Exception as error:  # nothing is shown by what could not be read
            failure = DatabaseAway(f"{type(error).__name__}: {error}")
        finally:
            for tenant_id in batch:
                self._reads.pop(tenant_id).set_result(failure or (begun, found.get(tenant_id)))

    def _learn(self, tenant_id: uuid.UUID, switched: Switched, begun: int) -> None:
        """Of a tenant one read is made after the other, so the last is the newest."""
        if self._believes(tenant_id, switched, begun):
            self._known.pop(tenant_id, None)
            self._known[tenant_id] = (begun, switched)
            if len(self._known) > MOST_TENANTS:
                del self._known[next(iter(self._known))]


def _parse(row: tuple[Any, ...]) -> tuple[uuid.UUID, Switched]:
    tenant_id, revision, catalogue_version, codes = row
    return tenant_id, Switched(revision, catalogue_version, _together(tuple(codes)))


@lru_cache(maxsize=1024)
def _together(codes: tuple[str, ...]) -> frozenset[str]:
    """Many tenants switch off the same: it is held once."""
    return frozenset(codes)
