"""What the Overview says of markets, in a number of queries that no row adds to."""

import datetime as dt
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import QuerySet, Value

from accounts.models import Tenant
from markets.catalogue import TypeFacts
from markets.models import Act, Revision
from markets.state import State
from portal.lib.compiled import Question, ask, compiled

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


class Change(NamedTuple):
    """A revision, with the names of what went on and off. restored: the one that came back."""

    number: int
    at: dt.datetime
    act: str
    restored: int | None
    actor_name: str
    went_on: tuple[str, ...]
    went_off: tuple[str, ...]

    @property
    def get_act_display(self) -> str:
        """In the reader's language."""
        return str(Act(self.act).label)


@dataclass(frozen=True)
class MarketOverview:
    """off: those that went off last, of off_count. Names are in the reader's language."""

    revision: int
    is_on_by_default: bool
    types: int
    off: tuple[Off, ...]
    off_count: int
    new_count: int
    changes: tuple[Change, ...]


def market_overview(tenant: Tenant, state: State) -> MarketOverview:
    """What is off and since when, which new types wait, and who changed what last."""
    live = state.catalogue.live
    off = [each for each in live if not state.choices.is_on(each)]
    name = state.catalogue.name_of
    since, changes = _asked(tenant, off) if state.revision else ([], [])
    return MarketOverview(
        revision=state.revision,
        is_on_by_default=state.choices.default_on,
        types=len(live),
        off=tuple(_last_off(off, since)[:MOST_OFF]),
        off_count=len(off),
        new_count=len(state.new_types),
        changes=tuple(
            each._replace(
                went_on=tuple(map(name, each.went_on)), went_off=tuple(map(name, each.went_off))
            )
            for each in changes
        ),
    )


def _asked(tenant: Tenant, off: list[TypeFacts]) -> list[list[Any]]:
    """Since when each of them is off, and by whom; and the last changes."""
    since = Question[Any](_SINCE, [tenant.pk, [each.code for each in off]])
    return ask(since, _changes.of(tenant_id=tenant.pk))


@compiled(Change._make)
def _changes(tenant_id: Value) -> QuerySet[Any, Any]:
    revisions = Revision.objects.filter(tenant=tenant_id)
    return revisions.values_list(*Change._fields)[:MOST_CHANGES]


def _last_off(off: list[TypeFacts], since: list[tuple[str, dt.datetime, str]]) -> list[Off]:
    known = {code: (at, by) for code, at, by in since}
    found = [Off(each, *known.get(each.code, (each.announced_at, ""))) for each in off]
    beginning = dt.datetime.min.replace(tzinfo=dt.UTC)
    return sorted(found, key=lambda each: each.since or beginning, reverse=True)
