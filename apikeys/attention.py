"""What needs attention about a tenant's keys: for the Overview, of what its page has at hand."""

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import Q

from apikeys.usage import Report
from portal.lib import clock

UNUSED_DAYS = 90


class KeySight(NamedTuple):
    """A key as the Overview has it.

    is_open: to every address. retired_…: the retired secret that was sent last, within a day.
    limit_rpm: the contract's, if there is one. has_second_factor: who reads.
    """

    pk: uuid.UUID
    label: str
    created_at: dt.datetime
    revoked_at: dt.datetime | None
    is_live: bool
    is_open: bool
    is_unused: bool
    last_used_at: dt.datetime | None
    retired_seen_at: dt.datetime | None
    retired_from: str | None
    retired_on: dt.datetime | None
    limit_rpm: int | None
    has_second_factor: bool


@dataclass(frozen=True)
class Attention:
    """Live keys: at the limit and above 80 % of it in the report's span, unused, open to all."""

    at_limit: list[KeySight]
    near_limit: list[KeySight]
    unused: list[KeySight]
    without_allowlist: list[KeySight]

    def __bool__(self) -> bool:
        """There is something."""
        return any((self.at_limit, self.near_limit, self.unused, self.without_allowlist))


def attention_of(keys: Sequence[KeySight], report: Report) -> Attention:
    """No query."""
    live = sorted((key for key in keys if key.is_live), key=lambda key: key.label)
    near = [key for key in live if report.is_near_limit(key)]
    return Attention(
        at_limit=[key for key in near if report.has_met_limit(key)],
        near_limit=[key for key in near if not report.has_met_limit(key)],
        unused=[key for key in live if key.is_unused],
        without_allowlist=[key for key in live if key.is_open],
    )


def unused_since() -> dt.datetime:
    """Who was last used, or made, before that is unused."""
    return clock.now() - dt.timedelta(days=UNUSED_DAYS)


def is_unused(since: Any = None) -> Q:
    """The same as a condition on keys. since: for queries that are compiled once."""
    since = since or unused_since()
    return Q(created_at__lte=since) & (Q(use=None) | Q(use__last_used_at__lte=since))
