"""How keys are used, for pages: charts and sums, the last refusals, retired secrets in use."""

import datetime as dt
import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from django.db import connection
from django.db.models import OuterRef, QuerySet, Subquery

from accounts.models import Tenant
from apikeys.charts import (
    ALLOWED,
    SPANS,
    Chart,
    Counts,
    Span,
    draw,
    floor,
    is_near,
    kind_of,
)
from apikeys.counting import FOR_CHARTS, FOR_TABLES, OF_KEYS, OF_TENANT, counting, times
from apikeys.models import ApiKey, KeyRefusal, SecretUse
from portal.lib import clock
from portal.lib.compiled import Question

__all__ = [
    "SPANS",
    "calls_of",
    "chart_of",
    "counted_of",
    "last_refusals",
    "report_of",
    "retired_since",
    "table_of",
    "with_retired_use",
]

STILL = dt.timedelta(days=1)  # for which what was sent last counts as still in use


class Used(Protocol):
    """A key, or what a page has of one."""

    @property
    def pk(self) -> uuid.UUID:
        """The key's."""

    @property
    def created_at(self) -> dt.datetime:
        """When it was made."""


@dataclass
class Sums:
    """The calls of a key, by what became of them. peak: in its busiest minute.

    limited: too many calls, or too many WebSockets of the tenant; over: the calls among those.
    """

    allowed: int = 0
    limited: int = 0
    refused: int = 0
    peak: int = 0
    over: int = 0

    def add(self, outcome: str, calls: int, peak: int) -> None:
        """So many calls more with one outcome."""
        kind = kind_of(outcome)
        setattr(self, kind, getattr(self, kind) + calls)
        self.peak = max(self.peak, peak)
        if outcome == "rate_limited":
            self.over += calls

    @property
    def total(self) -> int:
        """All of them."""
        return self.allowed + self.limited + self.refused


@dataclass(frozen=True)
class Report:
    """How some keys were used in a span.

    limit: calls a minute and key, as it is now; None without a contract.
    """

    chart: Chart
    sums: dict[uuid.UUID, Sums]
    limit: int | None

    def of(self, key: Used) -> Sums:
        """Of one of the keys."""
        return self.sums.get(key.pk, Sums())

    def has_met_limit(self, key: Used) -> bool:
        """A call of it was too many."""
        sums = self.of(key)
        return sums.over > 0 or (self.limit is not None and sums.peak >= self.limit)

    def is_near_limit(self, key: Used) -> bool:
        """A minute of it was above 80 % of the limit, or at it."""
        is_met = self.has_met_limit(key)
        return is_met or (self.limit is not None and is_near(self.of(key).peak, self.limit))

    def percent(self, key: Used) -> int | None:
        """Of the limit, in the busiest minute."""
        return self.of(key).peak * 100 // self.limit if self.limit else None


@dataclass(frozen=True)
class Counted:
    """What was counted of some keys, as it was read: a report is made of it when one is shown.

    span: its name. now: to a whole bar. began_at: before it none of them was there. limit: as the
    report has it.
    """

    lines: tuple[tuple[Any, ...], ...]
    span: str
    now: dt.datetime
    began_at: dt.datetime
    limit: int | None

    @cached_property
    def report(self) -> Report:
        """Their chart, and the sums of each."""
        counts, sums = _counts(self.lines, self.began_at)
        return Report(draw(counts, SPANS[self.span], self.now, self.limit), sums, self.limit)


@dataclass
class Table:
    """The calls of each key by the bar; None where there is no data."""

    span: Span
    counts: Counts
    cells: dict[tuple[dt.datetime, uuid.UUID], Sums] = field(default_factory=dict)

    def of(self, key: Used, at: dt.datetime) -> Sums | None:
        """Of one of the keys, in the bar that begins then."""
        found = self.cells.get((at, key.pk))
        was_there = at + self.span.bar > key.created_at
        is_known = was_there and self.counts.is_known(at, self.span.bar)
        return found or (Sums() if is_known else None)


def chart_of(key: ApiKey, span: Span) -> Chart:
    """One query, whatever the number of calls."""
    now = clock.now()
    counts, _sums = _counts(_ask([key], span, now, FOR_CHARTS), key.created_at)
    return draw(counts, span, now)


def report_of(keys: Collection[Used], span: Span, limit: int) -> Report:
    """All of them in one chart, and the sums of each; one query, whatever there is."""
    now = clock.now()
    return counted_of(_ask(keys, span, now, FOR_CHARTS), keys, span, now, limit).report


def calls_of(tenant: Tenant, span: Span, now: dt.datetime) -> Question[tuple[Any, ...]]:
    """What `counted_of` takes of all keys of a tenant."""
    return Question(counting(FOR_CHARTS, OF_TENANT), {"tenant": tenant.pk} | times(span, now))


def counted_of(
    lines: list[Any], keys: Collection[Used], span: Span, now: dt.datetime, limit: int | None
) -> Counted:
    """A report before it is worked out."""
    return Counted(tuple(lines), span.name, floor(now, span.bar), _first_day(keys), limit)


def table_of(keys: Collection[ApiKey], span: Span) -> Table:
    """Each of them by the bar; one query, whatever there is."""
    rows = _ask(keys, span, clock.now(), FOR_TABLES)
    counted = frozenset(at for at, _key, outcome, _calls, _peak in rows if outcome is None)
    table = Table(span, Counts({}, {}, counted, _first_day(keys)))
    for at, key_id, outcome, calls, peak in rows:
        if outcome is not None:
            table.cells.setdefault((at, key_id), Sums()).add(outcome, calls, peak)
    return table


def last_refusals(key: ApiKey) -> QuerySet[KeyRefusal]:
    """The latest first: one for each reason and address, as many as are kept."""
    return KeyRefusal.objects.filter(key=key).order_by("-at", "-pk")


def retired_since() -> dt.datetime:
    """What was sent last before that is no longer in use."""
    return clock.now() - STILL


def with_retired_use(keys: QuerySet[ApiKey], since: Any = None) -> QuerySet[ApiKey]:
    """Each with the retired secret that was sent last, if one was within the last day.

    retired_seen_at and retired_from: when and from where it was sent; retired_on: the moment it was
    retired, which for one that was alive to the end is that of the key's revocation. All None where
    there is none. since: for queries that are compiled once.
    """
    last = SecretUse.objects.filter(
        secret__key=OuterRef("pk"), last_used_at__gte=since or retired_since()
    ).order_by("-last_used_at")
    return keys.annotate(
        retired_seen_at=Subquery(last.values("last_used_at")[:1]),
        retired_from=Subquery(last.values("last_address")[:1]),
        retired_on=Subquery(last.values("secret__retired_at")[:1]),
    )


def _counts(
    lines: Collection[tuple[Any, ...]], began_at: dt.datetime
) -> tuple[Counts, dict[uuid.UUID, Sums]]:
    calls: dict[tuple[dt.datetime, str], int] = {}
    peaks: dict[dt.datetime, int] = {}
    counted = set()
    sums: dict[uuid.UUID, Sums] = {}
    for at, key_id, outcome, number, peak in lines:
        if outcome is None:
            counted.add(at)
        elif key_id is not None:
            sums.setdefault(key_id, Sums()).add(outcome, number, peak)
        else:
            calls[at, outcome] = number
            if outcome == ALLOWED:
                peaks[at] = peak
    return Counts(calls, peaks, frozenset(counted), began_at), sums


def _ask(keys: Collection[Used], span: Span, now: dt.datetime, grouping: str) -> list[Any]:
    """(bar, key or None, outcome, calls, busiest minute); without an outcome: it was counted."""
    given = {"keys": f"{{{','.join(str(key.pk) for key in keys)}}}"} | times(span, now)
    with connection.cursor() as cursor:
        cursor.execute(counting(grouping, OF_KEYS), given)
        return list(cursor.fetchall())


def _first_day(keys: Collection[Used]) -> dt.datetime:
    """Before the first of the keys was made there was nothing to count."""
    return min((key.created_at for key in keys), default=clock.now())
