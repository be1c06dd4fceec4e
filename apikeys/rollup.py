"""Calls by the minute are added to their hour, hours to their day; what is old is forgotten.

Each row says how many of its calls have been added on (`KeyCalls.rolled`); a statement adds the
rest and says so, both or neither. So nothing is added twice, whoever runs this and however often:
after an outage it goes on where it stopped, calls that are written late are added when they are
there, and two workers pass over what the other one is at.
"""

import datetime as dt
from time import monotonic
from typing import Any

from django.db import connection

from apikeys.models import CountedHour, Period, UsageWriter
from portal.lib import clock

KEPT = {
    Period.MINUTE: dt.timedelta(days=2),
    Period.HOUR: dt.timedelta(days=60),
    Period.DAY: dt.timedelta(days=3 * 366),
}
WRITERS_KEPT = dt.timedelta(days=7)  # none comes back after that with what it had not written
BATCH = 2000  # rows in a statement: those who write the same rows wait for milliseconds

# So long is gone on with what there is of a period; what is left then is for the next time. In all
# that is less than the five minutes between two runs (`apikeys.tasks`), so that one worker can do
# both in turn, and none is at it when the next one comes.
ROLL_SECONDS = {Period.MINUTE: 180, Period.HOUR: 40}
FORGET_SECONDS = {Period.MINUTE: 40, Period.HOUR: 10, Period.DAY: 10}

_FIRST = dt.datetime.min.replace(tzinfo=dt.UTC)

# Where to, and when a span is over: what is still growing would be added piece by piece.
_STEPS = {
    Period.MINUTE: (Period.HOUR, dt.timedelta(minutes=1)),
    Period.HOUR: (Period.DAY, dt.timedelta(hours=1)),
}

# `most` of a minute is its calls. The order is that of all who write here, so that no two of them
# wait for each other in a circle; rows that somebody is writing just now wait for the next time.
# `least` is where the batch before ended: what that one has done is not looked through again.
_ROLL = """
WITH picked AS MATERIALIZED (
    SELECT key_id, start, outcome, calls, rolled,
           CASE WHEN period = 'minute' THEN calls ELSE most END AS most
    FROM apikeys_keycalls
    WHERE period = %(period)s AND period <> 'day' AND NOT calls = rolled
    AND start BETWEEN %(least)s AND %(over_by)s
    ORDER BY start LIMIT %(batch)s FOR NO KEY UPDATE SKIP LOCKED
), marked AS (
    UPDATE apikeys_keycalls AS known SET rolled = picked.calls FROM picked
    WHERE known.key_id = picked.key_id AND known.period = %(period)s
    AND known.start = picked.start AND known.outcome = picked.outcome
), added AS (
    INSERT INTO apikeys_keycalls AS known (key_id, period, start, outcome, calls, most)
    SELECT key_id, %(into)s, date_trunc(%(into)s, start, 'UTC') AS whole, outcome,
           sum(calls - rolled), max(most)
    FROM picked GROUP BY key_id, whole, outcome ORDER BY key_id, whole, outcome
    ON CONFLICT (key_id, period, start, outcome) DO UPDATE
    SET calls = known.calls + excluded.calls, most = greatest(known.most, excluded.most)
)
SELECT count(*), max(start) FROM picked
"""

# What was not added on yet stays, however old it is. Rows are deleted where they lie: to find them
# by what they hold may be to read the whole table. One that was just written lies elsewhere.
_FORGET = """
WITH picked AS MATERIALIZED (
    SELECT ctid AS place, start FROM apikeys_keycalls
    WHERE period = %(period)s AND start >= %(least)s AND start < %(before)s
    AND (period = 'day' OR calls = rolled)
    ORDER BY start LIMIT %(batch)s FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM apikeys_keycalls WHERE ctid = ANY(ARRAY(SELECT place FROM picked))
    AND period = %(period)s AND (period = 'day' OR calls = rolled)
)
SELECT count(*), max(start) FROM picked
"""

_MARK = """
INSERT INTO apikeys_countedhour (start)
SELECT DISTINCT generate_series(
    date_trunc('hour', greatest(started_at, seen_at - interval '3 years'), 'UTC'),
    seen_at, interval '1 hour'
) FROM apikeys_doorprocess
ON CONFLICT DO NOTHING
"""


def roll_up() -> int:
    """Minutes to hours, and those to days; as far as there is time. Gives how many rows."""
    return sum(_roll(period) for period in _STEPS)


def mark_counted_hours() -> None:
    """Those since which each process of the machine door has been there.

    Whatever the worker missed is made up for as long as the process is the same.
    """
    with connection.cursor() as cursor:
        cursor.execute(_MARK)


def forget_usage() -> None:
    """Counts that are older than they are kept for, as far as there is time; lost writers."""
    now = clock.now()
    for period, kept in KEPT.items():
        asked = {"period": period, "before": now - kept}
        _in_batches(_FORGET, asked, FORGET_SECONDS[period])
    CountedHour.objects.filter(start__lt=now - KEPT[Period.DAY]).delete()
    UsageWriter.objects.filter(written_at__lt=now - WRITERS_KEPT).delete()


def _roll(period: Period) -> int:
    into, length = _STEPS[period]
    asked = {"period": period, "into": into, "over_by": clock.now() - length}
    return _in_batches(_ROLL, asked, ROLL_SECONDS[period])


def _in_batches(statement: str, asked: dict[str, Any], seconds: float) -> int:
    """The statement again and again until it finds less than it may take, or the time is over.

    Each time is a transaction of its own. Gives how many rows it found.
    """
    ends_at = monotonic() + seconds
    done, found, least = 0, BATCH, _FIRST
    while found == BATCH:
        with connection.cursor() as cursor:
            cursor.execute(statement, {**asked, "batch": BATCH, "least": least})
            found, least = cursor.fetchone()
        done += found
        if monotonic() >= ends_at:
            break
    return done
