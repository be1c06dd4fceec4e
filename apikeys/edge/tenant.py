"""What a guarded feed service is told about whoever calls; no key is among it."""

import uuid
from typing import Protocol

from apikeys.edge.markets import Switched
from apikeys.verdict import KeyRecord


class Standing(Protocol):
    """What is known of a caller now; of an open WebSocket it changes while it is open."""

    @property
    def record(self) -> KeyRecord:
        """The key, and what it may do."""

    @property
    def switched(self) -> Switched:
        """What its tenant has switched off."""


class Tenant:
    """The tenant that calls, by which key, and what that key may see.

    On a WebSocket every answer is the present one: ask again for each frame, keep none.
    """

    __slots__ = ("_standing",)

    def __init__(self, standing: Standing) -> None:
        self._standing = standing

    @property
    def id(self) -> uuid.UUID:
        """Never changes, and is never given to another."""
        return self._standing.record.tenant_id

    @property
    def slug(self) -> str:
        """Its short name, which never changes either."""
        return self._standing.record.tenant_slug

    @property
    def name(self) -> str:
        """Its name, for people."""
        return self._standing.record.tenant_name

    @property
    def key_id(self) -> uuid.UUID:
        """Of the key, which stays the same when it is rotated."""
        return self._standing.record.key_id

    @property
    def scopes(self) -> tuple[str, ...]:
        """What the key may see, in the catalogue's order."""
        return self._standing.record.scopes

    @property
    def sports(self) -> tuple[str, ...]:
        """The sports that the key may ask about."""
        return self._standing.record.sports

    @property
    def markets_revision(self) -> int:
        """How often the tenant has changed its markets."""
        return self._standing.switched.revision

    def market_enabled(self, code: str) -> bool:
        """Whether a market of this type may be shown. Settlements are shown whatever this says."""
        return self._standing.switched.is_enabled(code)
