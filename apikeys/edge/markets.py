"""Which market types each tenant has switched off: remembered while that may be believed.

By the directory's rules (docs/decisions/0007-directory.md): announcements overrule by version, a
read belongs to the moment it began in, and nothing is believed that would not have been heard.
"""

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from apikeys.edge.database import Database, DatabaseAway
from apikeys.edge.floors import Floors, Part
from apikeys.edge.reads import Reads
from markets.disabled import DISABLED_CODES

MOST_TENANTS = 10_000  # remembered; with 60 codes each about 60 MB, unless they chose alike
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
        self._reads = Reads(
            ask=self._ask,
            moment=lambda: self._moment,
            learn=self._learn,
            believes=self._believes,
        )
        self._changed = asyncio.Event()

    def recall(self, tenant_id: uuid.UUID) -> Switched | None:
        """What may be believed without asking anybody; None where it must be read."""
        return self._recall(tenant_id) if self._is_fresh(0) else None

    async def of(self, tenant_id: uuid.UUID, until: float = float("inf")) -> Switched:
        """The tenant's switches. Raises UnknownTenant; DatabaseAway, in time, or then at last."""
        if (switched := self.recall(tenant_id)) is not None:
            return switched
        try:
            switched = await self._reads.read(tenant_id, until)
        except DatabaseAway:
            has_grace = self._grace_seconds and self._is_fresh(self._grace_seconds)
            if has_grace and (stale := self._recall(tenant_id)) is not None:
                return stale
            raise
        if switched is None:
            raise UnknownTenant(str(tenant_id))
        return switched

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
        await self._reads.close()

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

    async def _ask(
        self, tenant_ids: list[uuid.UUID], seconds: float
    ) -> Mapping[uuid.UUID, Switched]:
        rows = await self._database.ask(DISABLED_CODES, [tenant_ids], seconds=seconds)
        return dict(map(_parse, rows))

    def _learn(self, tenant_id: uuid.UUID, switched: Switched | None, begun: int) -> None:
        """Of a tenant one read is made after the other, so the last is the newest."""
        if switched is not None and self._believes(tenant_id, switched, begun):
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
