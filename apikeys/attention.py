"""What needs attention about a tenant's keys: for the Overview, of what its page has at hand."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q

from apikeys.models import ApiKey
from apikeys.usage import Report
from portal.lib import clock

UNUSED_DAYS = 90


@dataclass(frozen=True)
class Attention:
    """Live keys: at the limit and above 80 % of it in the report's span, unused, open to all."""

    at_limit: list[ApiKey]
    near_limit: list[ApiKey]
    unused: list[ApiKey]
    without_allowlist: list[ApiKey]

    def __bool__(self) -> bool:
        """There is something."""
        return any((self.at_limit, self.near_limit, self.unused, self.without_allowlist))


def attention_of(keys: Sequence[ApiKey], report: Report) -> Attention:
    """keys: with their use. No query."""
    live = sorted((key for key in keys if key.is_live), key=lambda key: key.label)
    near = [key for key in live if report.is_near_limit(key)]
    since = unused_since()
    return Attention(
        at_limit=[key for key in near if report.has_met_limit(key)],
        near_limit=[key for key in near if not report.has_met_limit(key)],
        unused=[key for key in live if _last_seen(key) <= since],
        without_allowlist=[key for key in live if not key.allowlist],
    )


def unused_since() -> dt.datetime:
    """Who was last used, or made, before that is unused."""
    return clock.now() - dt.timedelta(days=UNUSED_DAYS)


def is_unused() -> Q:
    """The same as a condition on keys."""
    since = unused_since()
    return Q(created_at__lte=since) & (Q(use=None) | Q(use__last_used_at__lte=since))


def _last_seen(key: ApiKey) -> dt.datetime:
    return key.use.last_used_at if hasattr(key, "use") else key.created_at
