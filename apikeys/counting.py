"""The statement by which pages read how many calls there were, in whatever form they are kept."""

import datetime as dt
from functools import cache
from typing import Any

from apikeys.charts import HOUR, ORIGIN, Span
from apikeys.models import Period
from apikeys.waiting import PLACE, WAITING

# What is kept by the span's own unit, what of the finer ones has not been added to it yet, and what
# waits to be merged into those: so a sum is right whatever has been done by now. And the hours that
# somebody counted in. Of a minute that waits a part may be merged, or written at once: its calls
# are all of them.
_COUNTS = """
WITH pending AS (
    SELECT key.id AS key_id, start, sum(waiting.calls[{place}])::bigint AS calls
    FROM apikeys_apikey AS key, {waiting} AND key.id = ANY({keys})
    AND start >= %(begins_at)s AND start < %(ends_at)s GROUP BY key.id, start
), part AS (
    SELECT date_bin(%(bar)s, start, %(origin)s) AS bar, key_id, outcome, calls,
           CASE WHEN period = 'minute' THEN calls ELSE most END AS most
    FROM apikeys_keycalls
    WHERE key_id = ANY({keys}) AND period = %(unit)s
    AND start >= %(begins_at)s AND start < %(ends_at)s
    UNION ALL
    SELECT date_bin(%(bar)s, start, %(origin)s), key_id, outcome, calls - rolled,
           CASE WHEN period = 'minute' THEN calls ELSE most END
    FROM apikeys_keycalls
    WHERE key_id = ANY({keys}) AND period = ANY(%(finer)s) AND period <> 'day'
    AND NOT calls = rolled AND start >= %(begins_at)s AND start < %(ends_at)s
    UNION ALL
    SELECT date_bin(%(bar)s, start, %(origin)s), key_id, 'allowed', calls, calls + coalesce((
        SELECT known.calls FROM apikeys_keycalls AS known
        WHERE known.key_id = pending.key_id AND known.period = 'minute'
        AND known.start = pending.start AND known.outcome = 'allowed'
    ), 0) FROM pending
), counted AS (
    SELECT start FROM apikeys_countedhour
    WHERE start >= date_trunc('hour', %(begins_at)s, 'UTC') AND start < %(ends_at)s
    UNION
    SELECT generate_series(
        date_trunc('hour', greatest(started_at, %(begins_at)s), 'UTC'),
        least(seen_at, %(ends_at)s), interval '1 hour'
    ) FROM apikeys_doorprocess
)
SELECT bar, key_id, outcome, sum(calls)::bigint,
       coalesce(max(most) FILTER (WHERE outcome = 'allowed'), 0)
FROM part GROUP BY {grouping}
UNION ALL
SELECT DISTINCT date_bin(%(hours)s, start, %(origin)s), NULL::uuid, NULL, 0, 0 FROM counted
"""
OF_KEYS = "%(keys)s::uuid[]"
OF_TENANT = "(SELECT array_agg(id) FROM apikeys_apikey WHERE tenant_id = %(tenant)s)::uuid[]"
FOR_CHARTS = "GROUPING SETS ((bar, outcome), (key_id, outcome))"
FOR_TABLES = "bar, key_id, outcome"
_FINER = {Period.MINUTE: [], Period.HOUR: ["minute"], Period.DAY: ["minute", "hour"]}


@cache
def counting(grouping: str, keys: str) -> str:
    """The statement: bar, key or None, outcome, calls, busiest minute; see `times`."""
    place, waiting = PLACE.format(key="key.id"), WAITING.format(key="key.id")
    return _COUNTS.format(grouping=grouping, keys=keys, place=place, waiting=waiting)


def times(span: Span, now: dt.datetime) -> dict[str, Any]:
    """The statement's values, apart from those of the keys."""
    begins_at, ends_at = span.begins_and_ends_at(now)
    return {
        "unit": span.unit,
        "finer": _FINER[span.unit],
        "bar": span.bar,
        "hours": max(span.bar, HOUR),
        "origin": ORIGIN,
        "begins_at": begins_at,
        "ends_at": ends_at,
    }
