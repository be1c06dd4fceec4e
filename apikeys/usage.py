"""How keys are used, for pages: the bars of a chart, the last refusals, retired secrets in use."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db.models import DateTimeField, F, Func, OuterRef, QuerySet, Subquery, Sum, Value
from django.utils.translation import gettext_lazy as _

from apikeys.models import ApiKey, KeyCalls, KeyRefusal, Period, SecretUse
from portal.lib import clock

STILL = dt.timedelta(days=1)  # for which what was sent last counts as still in use
ALLOWED = "allowed"
LIMITED = frozenset({"rate_limited", "too_many_streams"})

# Of the picture, in its own units; it is drawn as wide as there is room.
WIDTH, HEIGHT = 600, 120
GAP = 0.2  # of a bar's width


@dataclass(frozen=True)
class Span:
    """What a chart is about: so many bars of one length, up to now."""

    name: str
    label: Any
    bars: int
    bar: dt.timedelta


SPANS = {
    "hour": Span("hour", _("Last hour, by the minute"), 60, dt.timedelta(minutes=1)),
    "day": Span("day", _("Last 24 hours, by the hour"), 24, dt.timedelta(hours=1)),
}


@dataclass(frozen=True)
class Segment:
    """A part of a bar: allowed, limited or refused. The numbers are text as SVG has it."""

    kind: str
    y: str
    height: str


@dataclass(frozen=True)
class Bar:
    """The calls from `at` on, for the length of a bar. counts: in the order of the outcomes."""

    at: dt.datetime
    x: str
    counts: list[int]
    total: int
    segments: list[Segment]


@dataclass(frozen=True)
class Chart:
    """Calls of a key by time and outcome; outcomes: those there are, with their sums."""

    span: Span
    begins_at: dt.datetime
    ends_at: dt.datetime
    bars: list[Bar]
    outcomes: list[tuple[str, int]]
    most: int
    bar_width: str

    @property
    def busy_bars(self) -> list[Bar]:
        """Those with calls, for the table."""
        return [bar for bar in self.bars if bar.total]


def chart_of(key: ApiKey, span: Span) -> Chart:
    """One query, whatever the number of calls."""
    ends_at = _ceiling(clock.now(), span.bar)
    begins_at = ends_at - span.bars * span.bar
    calls = _calls(key, span, begins_at)
    sums: dict[str, int] = {}
    for (_at, outcome), number in calls.items():
        sums[outcome] = sums.get(outcome, 0) + number
    outcomes = sorted(sums.items(), key=lambda each: (each[0] != ALLOWED, -each[1], each[0]))
    times = [begins_at + number * span.bar for number in range(span.bars)]
    table = [[calls.get((at, outcome), 0) for outcome, _sum in outcomes] for at in times]
    most = max((sum(counts) for counts in table), default=0)
    names = [outcome for outcome, _sum in outcomes]
    width = WIDTH / span.bars
    bars = [
        Bar(
            at,
            _number((place + GAP / 2) * width),
            counts,
            sum(counts),
            _segments(names, counts, most),
        )
        for place, (at, counts) in enumerate(zip(times, table, strict=True))
    ]
    return Chart(span, begins_at, ends_at, bars, outcomes, most, _number(width * (1 - GAP)))


def last_refusals(key: ApiKey) -> QuerySet[KeyRefusal]:
    """The latest first: one for each reason and address, as many as are kept."""
    return KeyRefusal.objects.filter(key=key).order_by("-at", "-pk")


def with_retired_use(keys: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
    """Each with the retired secret that was sent last, if one was within the last day.

    retired_seen_at and retired_from: when and from where it was sent; retired_on: the moment it was
    retired. All None where there is none.
    """
    last = SecretUse.objects.filter(
        secret__key=OuterRef("pk"), last_used_at__gte=clock.now() - STILL
    ).order_by("-last_used_at")
    return keys.annotate(
        retired_seen_at=Subquery(last.values("last_used_at")[:1]),
        retired_from=Subquery(last.values("last_address")[:1]),
        retired_on=Subquery(last.values("secret__retired_at")[:1]),
    )


def kind_of(outcome: str) -> str:
    """allowed, limited (too many of them) or refused."""
    if outcome == ALLOWED:
        return ALLOWED
    return "limited" if outcome in LIMITED else "refused"


def _calls(key: ApiKey, span: Span, begins_at: dt.datetime) -> dict[tuple[dt.datetime, str], int]:
    bar = Func(
        Value(span.bar),
        F("start"),
        Value(begins_at),
        function="date_bin",
        output_field=DateTimeField(),
    )
    rows = (
        KeyCalls.objects.filter(key=key, period=Period.MINUTE, start__gte=begins_at)
        .values_list(bar, "outcome")
        .annotate(number=Sum("calls"))
    )
    return {(at, outcome): int(number) for at, outcome, number in rows}


def _segments(outcomes: list[str], counts: list[int], most: int) -> list[Segment]:
    """From the bottom up: what was allowed, what was too much, what was refused."""
    segments = []
    below = 0
    for kind in (ALLOWED, "limited", "refused"):
        calls = sum(
            count
            for outcome, count in zip(outcomes, counts, strict=True)
            if kind_of(outcome) == kind
        )
        if calls:
            below += calls
            y = HEIGHT * (1 - below / most)
            segments.append(Segment(kind, _number(y), _number(HEIGHT * calls / most)))
    return segments


def _ceiling(moment: dt.datetime, step: dt.timedelta) -> dt.datetime:
    epoch = dt.datetime.fromtimestamp(0, dt.UTC)
    return epoch - ((epoch - moment) // step) * step


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
