"""Charts of calls over time: of what a picture, and the table behind it, are made.

Nothing here asks a database: counts go in, bars come out. The numbers of a picture are text, as
SVG has it; it is drawn as wide as there is room.
"""

import datetime as dt
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apikeys.models import Period

ALLOWED = "allowed"
LIMITED = frozenset({"rate_limited", "too_many_streams"})

WIDTH, HEIGHT, LIMIT_HEIGHT = 600, 120, 60
GAP = 0.2  # of a bar's width
HEADROOM = 1.1  # so that the line of the limit is not the picture's edge
NEAR_PERCENT = 80  # of the limit: above it there is something to be told

HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
ORIGIN = dt.datetime(1970, 1, 5, tzinfo=dt.UTC)  # a Monday: of minutes, hours, days and weeks


@dataclass(frozen=True)
class Span:
    """What a chart is about: so many bars of one length, up to now. unit: how that is kept."""

    name: str
    label: Any
    bars: int
    bar: dt.timedelta
    unit: Period

    def begins_and_ends_at(self, now: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
        """From whole bar to whole bar: the last one is the one that is under way."""
        ends_at = floor(now, self.bar) + self.bar
        return ends_at - self.bars * self.bar, ends_at

    @property
    def is_by_day(self) -> bool:
        """Its bars are days or longer, and those are UTC's."""
        return self.bar >= DAY


SPANS = {
    span.name: span
    for span in (
        Span(
            "hour",
            gettext_lazy("Last hour, by the minute"),
            60,
            dt.timedelta(minutes=1),
            Period.MINUTE,
        ),
        Span("day", gettext_lazy("Last 24 hours, by the hour"), 24, HOUR, Period.HOUR),
        Span("week", gettext_lazy("Last 7 days, by the hour"), 168, HOUR, Period.HOUR),
        Span("month", gettext_lazy("Last 30 days, by the day"), 30, DAY, Period.DAY),
        Span("year", gettext_lazy("Last 365 days, by the day"), 365, DAY, Period.DAY),
        Span("years", gettext_lazy("Last 3 years, by the week"), 156, 7 * DAY, Period.DAY),
    )
}


@dataclass(frozen=True)
class Counts:
    """What was counted in a span.

    calls: by the beginning of the bar and the outcome. peaks: the most that was let in for one key
    in one minute, by bar. counted: the bars (the hours, where bars are shorter) in which somebody
    was there to count. begins_at: before it there was nothing to be counted.
    """

    calls: Mapping[tuple[dt.datetime, str], int]
    peaks: Mapping[dt.datetime, int]
    counted: frozenset[dt.datetime]
    begins_at: dt.datetime

    def is_known(self, at: dt.datetime, bar: dt.timedelta) -> bool:
        """Whether a bar without calls stands for none, and not for nobody having counted."""
        return at + bar > self.begins_at and floor(at, max(bar, HOUR)) in self.counted


@dataclass(frozen=True)
class Segment:
    """A part of a bar. kind: allowed, limited, refused; of a busiest minute: peak, near."""

    kind: str
    y: str
    height: str


@dataclass(frozen=True)
class Bar:
    """The calls from `at` on, for the length of a bar. counts: in the order of the outcomes.

    peak: the busiest minute in it. is_known: else nobody counted, and nothing is said by zeros.
    """

    at: dt.datetime
    x: str
    counts: list[int]
    total: int
    segments: list[Segment]
    peak: int
    limit_segment: Segment | None
    is_known: bool


@dataclass(frozen=True)
class Row:
    """A line of the table: a bar with calls, or a time without data until `until`."""

    iso: str
    when: str
    cells: list[tuple[str, int]]
    peak: int
    until: str


@dataclass(frozen=True)
class Chart:
    """Calls by time and outcome; outcomes: those there are, with their sums.

    limit: calls a minute and key, where busiest minutes are drawn against it.
    """

    span: Span
    begins_at: dt.datetime
    ends_at: dt.datetime
    bars: list[Bar]
    outcomes: list[tuple[str, int]]
    most: int
    bar_width: str
    limit: int | None
    limit_lines: str

    @cached_property
    def gaps(self) -> list[tuple[Bar, Bar]]:
        """Where there is no data: first and last bar of each run of them."""
        runs = itertools.groupby(self.bars, key=lambda bar: bar.is_known)
        found = [list(run) for is_known, run in runs if not is_known]
        return [(run[0], run[-1]) for run in found]

    @property
    def gaps_path(self) -> str:
        """The same as one shape, as high as there is room."""
        width = WIDTH / len(self.bars)
        place = {bar.at: number for number, bar in enumerate(self.bars)}
        return "".join(
            f"M{number(place[first.at] * width)} 0H{number((place[last.at] + 1) * width)}"
            f"V{HEIGHT}H{number(place[first.at] * width)}z"
            for first, last in self.gaps
        )

    @property
    def is_known(self) -> bool:
        """There is data for some of it; else zeros would say what nobody knows."""
        return any(bar.is_known for bar in self.bars)

    @property
    def columns(self) -> int:
        """Of the table, beside the first one."""
        return len(self.outcomes) + (self.limit is not None)

    @property
    def has_peaks(self) -> bool:
        """There is something to be drawn against the limit."""
        return self.limit is not None and any(bar.peak for bar in self.bars)

    @property
    def rows(self) -> list[Row]:
        """For the table: times with calls, and times without data; others had none."""
        ends = {first.at: last.at + self.span.bar for first, last in self.gaps}
        names = [words_of(outcome) for outcome, _calls in self.outcomes]
        return [
            Row(
                f"{bar.at:%Y-%m-%dT%H:%M:%SZ}",
                self.when(bar.at),
                list(zip(names, bar.counts, strict=True)),
                bar.peak,
                self.when(ends[bar.at]) if bar.at in ends else "",
            )
            for bar in self.bars
            if bar.total or bar.at in ends
        ]

    @property
    def begins(self) -> str:
        """As the reader has it."""
        return self.when(self.begins_at)

    @property
    def ends(self) -> str:
        """As the reader has it."""
        return self.when(self.ends_at)

    def when(self, at: dt.datetime) -> str:
        """A moment in the reader's zone; a day by its date in UTC, whose days they are."""
        if self.span.is_by_day:
            return f"{at:%Y-%m-%d} UTC"
        return f"{timezone.localtime(at):%Y-%m-%d %H:%M %Z}"


def draw(counts: Counts, span: Span, now: dt.datetime, limit: int | None = None) -> Chart:
    """The chart of a span that ends with `now`."""
    begins_at, ends_at = span.begins_and_ends_at(now)
    sums: dict[str, int] = {}
    for (_at, outcome), calls in counts.calls.items():
        sums[outcome] = sums.get(outcome, 0) + calls
    outcomes = sorted(sums.items(), key=lambda each: (each[0] != ALLOWED, -each[1], each[0]))
    names = [outcome for outcome, _sum in outcomes]
    times = [begins_at + place * span.bar for place in range(span.bars)]
    table = [[counts.calls.get((at, name), 0) for name in names] for at in times]
    most = max((sum(row) for row in table), default=0)
    top = max([limit or 0, *counts.peaks.values()]) * HEADROOM
    width = WIDTH / span.bars
    bars = [
        Bar(
            at,
            number((place + GAP / 2) * width),
            row,
            sum(row),
            _segments(names, row, most),
            counts.peaks.get(at, 0),
            _limit_segment(counts.peaks.get(at, 0), limit, top),
            any(row) or counts.is_known(at, span.bar),
        )
        for place, (at, row) in enumerate(zip(times, table, strict=True))
    ]
    bar_width = number(width * (1 - GAP))
    lines = _limit_lines(limit, top)
    return Chart(span, begins_at, ends_at, bars, outcomes, most, bar_width, limit, lines)


def kind_of(outcome: str) -> str:
    """allowed, limited (too many of them) or refused."""
    if outcome == ALLOWED:
        return ALLOWED
    return "limited" if outcome in LIMITED else "refused"


def words_of(outcome: str) -> str:
    """What a reader calls it: a refusal by its code."""
    return _("allowed") if outcome == ALLOWED else outcome


def is_near(peak: int, limit: int) -> bool:
    """Whether so many calls in a minute are above 80 % of the limit."""
    return peak * 100 > limit * NEAR_PERCENT


def floor(moment: dt.datetime, step: dt.timedelta) -> dt.datetime:
    """Where the minute, hour, day (or week) of the moment began, in UTC."""
    return ORIGIN + (moment - ORIGIN) // step * step


def number(value: float) -> str:
    """As SVG has it, two digits after the point at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


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
            segments.append(Segment(kind, number(y), number(HEIGHT * calls / most)))
    return segments


def _limit_segment(peak: int, limit: int | None, top: float) -> Segment | None:
    if not limit or not peak:
        return None
    kind = "near" if is_near(peak, limit) else "peak"
    height = LIMIT_HEIGHT * peak / top
    return Segment(kind, number(LIMIT_HEIGHT - height), number(height))


def _limit_lines(limit: int | None, top: float) -> str:
    """The limit, and 80 % of it."""
    if not limit:
        return ""
    full = LIMIT_HEIGHT * limit / top
    near = full * NEAR_PERCENT / 100
    return "".join(f"M0 {number(LIMIT_HEIGHT - height)}H{WIDTH}" for height in (full, near))
