"""Usage, with much, with little and with nothing; and what the Overview says of it."""

import datetime as dt

from django.db import connection
from playwright.sync_api import Page

from accounts.models import Role
from apikeys.models import ApiKey, CountedHour, KeyCalls
from portal.lib import clock
from tests.browser.scenes_keys import LONG_LABEL, make_key
from tests.browser.stage import Stage, scene
from tests.conftest import make_member

USAGE = "client/usage"
AGES = {"minute": ("1 minute", 2880), "hour": ("1 hour", 1440), "day": ("1 day", 1000)}
# Quiet nights, a busy hour of refusals, a day on which the limit was met.
MUCH = """
INSERT INTO apikeys_keycalls (key_id, period, start, outcome, calls, rolled, most)
SELECT key, %(period)s, at, outcome, calls, calls, least(calls, 590)
FROM unnest(%(keys)s::uuid[]) WITH ORDINALITY AS keys (key, nth),
     generate_series(0, %(bars)s) AS ago,
     LATERAL (SELECT date_trunc(%(period)s, %(now)s, 'UTC') - ago * %(length)s::interval)
     AS times (at),
     LATERAL (VALUES
         ('allowed', 60 + (nth * 37 + ago * 13) %% 400),
         ('rate_limited', CASE WHEN ago %% 29 = 3 THEN 80 + nth * 9 ELSE 0 END),
         ('ip_not_allowed', CASE WHEN ago %% 17 = 5 THEN 45 ELSE 0 END),
         ('scope_not_granted', CASE WHEN ago %% 23 = 7 THEN 31 ELSE 0 END)
     ) AS seen (outcome, calls)
WHERE calls > 0 AND NOT ago %% 24 BETWEEN 2 AND 6
"""


def with_much(stage: Stage, keys: int = 12) -> list[ApiKey]:
    """Keys that are three years old, and were used ever since; nobody counted now and then."""
    made = [make_key(stage, label=LONG_LABEL)]
    made += [make_key(stage, label=f"Service {number}") for number in range(2, keys + 1)]
    now = clock.now()
    ApiKey.objects.update(created_at=now - dt.timedelta(days=1000))
    for period, (length, bars) in AGES.items():
        given = {"keys": [key.pk for key in made], "now": now, "length": length, "bars": bars}
        with connection.cursor() as cursor:
            cursor.execute(MUCH, {**given, "period": period})
    whole = now.replace(minute=0, second=0, microsecond=0)
    CountedHour.objects.bulk_create(
        CountedHour(start=whole - dt.timedelta(hours=ago)) for ago in range(4000) if ago % 24 != 4
    )
    return made


def with_little(stage: Stage) -> ApiKey:
    """One key, a few hours old, and a handful of calls."""
    key = make_key(stage)
    now = clock.now().replace(second=0, microsecond=0)
    ApiKey.objects.update(created_at=now - dt.timedelta(hours=5))
    CountedHour.objects.bulk_create(
        CountedHour(start=now.replace(minute=0) - dt.timedelta(hours=ago)) for ago in range(6)
    )
    for ago, counts in ((70, {"allowed": 12}), (200, {"allowed": 3, "ip_not_allowed": 2})):
        start = now - dt.timedelta(minutes=ago)
        for outcome, calls in counts.items():
            KeyCalls.objects.create(
                key=key, period="minute", start=start, outcome=outcome, calls=calls
            )
    return key


@scene(USAGE, "Usage")
def usage_of_much(stage: Stage) -> Page:
    with_much(stage)
    return stage.as_alice("/client/usage?span=week")


@scene(USAGE, "Usage")
def usage_of_a_year_as_a_table(stage: Stage) -> Page:
    key = with_much(stage)[0]
    page = stage.as_alice(f"/client/usage?span=year&key={key.pk}")
    page.get_by_text("The same as a table").click()
    return page


@scene(USAGE, "Usage")
def usage_of_little(stage: Stage) -> Page:
    with_little(stage)
    page = stage.as_alice("/client/usage")
    page.get_by_text("The same as a table").click()
    return page


@scene(USAGE, "Usage")
def usage_of_a_key_without_calls(stage: Stage) -> Page:
    make_key(stage)
    return stage.as_alice("/client/usage")


@scene(USAGE, "Usage")
def usage_without_keys(stage: Stage) -> Page:
    return stage.as_alice("/client/usage")


@scene(USAGE, "Usage")
def usage_without_keys_for_a_viewer(stage: Stage) -> Page:
    return stage.seen_by(make_member(stage.acme, "Victor", Role.VIEWER), "/client/usage")


@scene("client/", "Overview")
def overview_with_what_needs_attention(stage: Stage) -> Page:
    with_much(stage)
    return stage.as_alice("/client/")
