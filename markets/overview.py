"""What the Overview says of markets, in a number of queries that no row adds to."""

import datetime as dt
from dataclasses import dataclass

from django.db import connection

from accounts.models import Tenant
from markets.catalogue import TypeFacts
from markets.models import Revision
from markets.state import State, state_of

MOST_OFF = 5  # named on the page, those that went off last
MOST_CHANGES = 3

# Of each of these types, the last revision that switched it off.
_SINCE = """
SELECT DISTINCT ON (code) code, revision.at, revision.actor_name
FROM markets_revision AS revision, unnest(revision.went_off) AS code
WHERE revision.tenant_id = %s AND code = ANY(%s)
ORDER BY code, revision.number DESC
"""


@dataclass(frozen=True)
class Off:
    """A type that is off. Without a moment it came to a default that was off already."""

    market_type: TypeFacts
    since: dt.datetime | None
    by: str


@dataclass(frozen=True)
class MarketOverview:
    """off: those that went off last, of off_count. changes: (revision, names on, names off)."""

    state: State
    off: list[Off]
    off_count: int
    new_types: list[TypeFacts]
    changes: list[tuple[Revision, list[str], list[str]]]


def market_overview(tenant: Tenant) -> MarketOverview:
    """What is off and since when, which new types wait, and who changed what last."""
    state = state_of(tenant)
    off = [each for each in state.catalogue.live if not state.choices.is_on(each)]
    revisions = Revision.objects.for_tenant(tenant).defer("overrides")[:MOST_CHANGES]
    name = state.catalogue.name_of
    return MarketOverview(
        state,
        _last_off(tenant, off)[:MOST_OFF],
        len(off),
        state.new_types,
        [
            (each, [name(code) for code in each.went_on], [name(code) for code in each.went_off])
            for each in revisions
        ],
    )


def _last_off(tenant: Tenant, off: list[TypeFacts]) -> list[Off]:
    if not off:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_SINCE, [tenant.pk, [each.code for each in off]])
        since = {code: (at, by) for code, at, by in cursor.fetchall()}
    found = [Off(each, *since.get(each.code, (each.announced_at, ""))) for each in off]
    beginning = dt.datetime.min.replace(tzinfo=dt.UTC)
    return sorted(found, key=lambda each: each.since or beginning, reverse=True)
