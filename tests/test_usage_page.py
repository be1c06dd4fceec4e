"""Usage: calls and refusals of each key by time, against the limit; as a chart, a table, a CSV."""

import csv
import datetime as dt
import io
import re
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Role, Tenant, User
from apikeys.models import ApiKey, CountedHour, KeyCalls, KeyUse, Period
from portal.lib import clock
from tests.conftest import MakeKey, make_authenticator, make_member, signed_in
from tests.pages import Page, text

MINUTE, HOUR, DAY = (dt.timedelta(**{unit: 1}) for unit in ("minutes", "hours", "days"))
NOON = dt.datetime(2026, 3, 4, 12, 30, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def _noon() -> None:
    clock.move(NOON - clock.now())


def wrote(key: ApiKey, ago: dt.timedelta, **counts: int) -> None:
    """What the machine door counted in a minute then."""
    start = (NOON - ago).replace(second=0, microsecond=0)
    for outcome, calls in counts.items():
        KeyCalls.objects.create(
            key=key, period=Period.MINUTE, start=start, outcome=outcome, calls=calls
        )


def counted(hours: int, until: dt.datetime = NOON) -> None:
    """Somebody was there to count for so many hours."""
    whole = until.replace(minute=0)
    CountedHour.objects.bulk_create(CountedHour(start=whole - ago * HOUR) for ago in range(hours))


def sheet(client: Client, query: str = "") -> list[dict[str, str]]:
    """The CSV, a dictionary a line."""
    answer: Any = client.get(f"/client/usage.csv{query}")
    assert answer.status_code == 200
    body = b"".join(answer.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(body)))


def test_each_key_has_its_calls_refusals_and_busiest_minute_against_the_limit(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    pricing, _ = make_key(acme, label="Pricing")
    risk, _ = make_key(acme, label="Risk")
    make_key(acme, label="Idle")
    wrote(pricing, 2 * HOUR, allowed=590, ip_not_allowed=4)
    wrote(pricing, 3 * HOUR, allowed=10)
    wrote(risk, 2 * HOUR, allowed=600, rate_limited=50, too_many_streams=1)
    wrote(risk, 25 * HOUR, allowed=900)
    page = text(signed_in(dave).get("/client/usage"))
    assert "Each key may make 600 requests in 60 seconds." in page
    assert "Pricing 600 0 4 590 of 600 (98 %) Above 80 %" in page
    assert "Risk 600 51 0 600 of 600 (100 %) At its limit" in page
    assert "Idle 0 0 0 –" in page
    assert "allowed 1200" in page and "rate_limited 50" in page


def test_80_percent_itself_is_not_above_it(acme: Tenant, dave: User, make_key: MakeKey) -> None:
    key, _ = make_key(acme)
    wrote(key, HOUR, allowed=480, too_many_streams=3)
    page = text(signed_in(dave).get("/client/usage"))
    assert "At its limit" not in page, "streams have a limit of their own"
    assert "480 of 600 (80 %)" in page and "Above 80 % " not in page.partition("By key")[2]


def test_a_key_and_a_time_are_chosen_in_the_address(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    pricing, _ = make_key(acme, label="Pricing")
    risk, _ = make_key(acme, label="Risk")
    wrote(pricing, 30 * HOUR, allowed=5)
    wrote(risk, HOUR, allowed=7)
    client = signed_in(dave)
    nothing = text(client.get(f"/client/usage?key={pricing.pk}"))
    assert "No data for this time" in nothing and "Pricing – – – –" in nothing
    counted(3)
    ApiKey.objects.update(created_at=NOON - 2 * DAY)
    nothing = text(client.get(f"/client/usage?key={pricing.pk}"))
    assert "No calls in this time." in nothing and "Pricing 0 0 0 –" in nothing
    page = Page(client.get(f"/client/usage?key={pricing.pk}&span=week"))
    assert "allowed 5" in page.text and "Last 7 days, by the hour" in page.text
    assert "7 0 0" not in page.text, "nothing of the other key"
    assert f"/client/usage.csv?span=week&key={pricing.pk}" in page.links
    assert "allowed 12" in text(client.get("/client/usage?span=month"))
    assert "Last 24 hours" in text(client.get("/client/usage?span=nonsense"))


def test_anothers_key_is_as_unknown_as_none(
    acme: Tenant, globex: Tenant, dave: User, mallory: User, make_key: MakeKey
) -> None:
    key, _ = make_key(acme)
    wrote(key, HOUR, allowed=5)
    client = signed_in(mallory)
    for path in ("/client/usage", "/client/usage.csv"):
        answers = [client.get(f"{path}?key={asked}") for asked in (key.pk, uuid4(), "nonsense")]
        assert [answer.status_code for answer in answers] == [404] * 3
    assert "Nothing yet" in text(client.get("/client/usage"))


@pytest.mark.parametrize(
    ("role", "said"),
    [(Role.DEVELOPER, "Make a key"), (Role.VIEWER, "An owner or a developer of your team")],
)
def test_without_a_key_the_page_says_what_it_is(acme: Tenant, role: Role, said: str) -> None:
    page = Page(signed_in(make_member(acme, "Una", role)).get("/client/usage"))
    assert "Nothing yet" in page.text and said in page.text
    may = "/client/api-access/new" in page.links
    assert may == (role == Role.DEVELOPER)
    assert "Download CSV" not in page.text


def test_times_are_the_readers_with_the_zone_and_days_are_utcs(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    User.objects.filter(pk=dave.pk).update(time_zone="Asia/Kolkata")
    key, _ = make_key(acme)
    wrote(key, 2 * HOUR, allowed=5)
    client = signed_in(dave)
    by_hour = client.get("/client/usage").content.decode()
    assert '<time datetime="2026-03-04T10:00:00Z">2026-03-04 15:30 IST</time>' in by_hour
    by_day = client.get("/client/usage?span=month")
    assert "Days begin at midnight UTC." in text(by_day)
    assert '<time datetime="2026-03-04T00:00:00Z">2026-03-04 UTC</time>' in by_day.content.decode()


def test_where_nobody_counted_there_is_no_data_and_not_zero(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    """Counted for three hours until now; and calls of earlier, which are data whatever else."""
    key, _ = make_key(acme)
    ApiKey.objects.update(created_at=NOON - 10 * DAY)
    counted(3)
    wrote(key, HOUR, allowed=5)
    wrote(key, 8 * HOUR, allowed=6)
    client = signed_in(dave)
    page = Page(client.get("/client/usage"))
    assert "2026-03-03 13:00 UTC no data until 2026-03-04 04:00 UTC" in page.text
    assert "2026-03-04 04:00 UTC 6 6 2026-03-04 05:00 UTC no data until 2026-03-04 10:00 UTC" in (
        page.text
    )
    assert "No data is not none" in page.text
    (shape,) = re.findall(r'class="gap" [^>]* d="([^"]+)"', page.html)
    assert shape == "M0 0H375V120H0zM400 0H525V120H400z"
    lines = {line["From (UTC)"]: line["Allowed"] for line in sheet(client)}
    assert len(lines) == 24
    assert lines["2026-03-04T09:00:00Z"] == "" and lines["2026-03-04T10:00:00Z"] == "0"
    assert lines["2026-03-04T11:00:00Z"] == "5" and lines["2026-03-04T04:00:00Z"] == "6"


def test_before_the_key_there_was_nothing_to_count(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    key, _ = make_key(acme)
    ApiKey.objects.update(created_at=NOON - 2 * HOUR)
    counted(48)
    page = text(signed_in(dave).get("/client/usage"))
    assert "No calls in this time. For some of it there is no data" in page
    known = [line["From (UTC)"] for line in sheet(signed_in(dave)) if line["Allowed"] == "0"]
    assert known == [f"2026-03-04T{hour}:00:00Z" for hour in (10, 11, 12)]
    assert key.label in {line["Key"] for line in sheet(signed_in(dave))}


def test_the_csv_has_a_line_for_each_time_and_key_and_no_formulas(
    acme: Tenant, victor: User, make_key: MakeKey
) -> None:
    sneaky, _ = make_key(acme, label='=HYPERLINK("x")')
    plain, _ = make_key(acme, label="Plain, with a comma")
    wrote(sneaky, HOUR, allowed=500, rate_limited=3, not_found=2)
    client = signed_in(victor)
    lines = sheet(client)
    assert len(lines) == 2 * 24
    (busy,) = (line for line in lines if line["Allowed"] == "500")
    assert busy == {
        "From (UTC)": "2026-03-04T11:00:00Z",
        "Key": '\'=HYPERLINK("x")',
        "Key ID": str(sneaky.pk),
        "Allowed": "500",
        "Too many": "3",
        "Refused": "2",
        "Busiest minute": "500",
        "Limit a minute": "600",
    }
    assert {line["Key"] for line in sheet(client, f"?key={plain.pk}")} == {"Plain, with a comma"}
    answer = client.get("/client/usage.csv?span=year")
    assert answer["Content-Disposition"] == 'attachment; filename="acme-usage-year.csv"'


def test_a_revoked_key_is_shown_where_it_was_used(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    used, _ = make_key(acme, label="Once")
    idle, _ = make_key(acme, label="Never")
    ApiKey.objects.update(revoked_at=NOON)
    wrote(used, HOUR, allowed=5)
    page = text(signed_in(dave).get("/client/usage"))
    assert "Once (revoked)" in page and "Never (revoked)" in page
    by_key = page.partition("By key")[2]
    assert "Once revoked 5 0 0" in by_key and "Never" not in by_key
    assert idle.label not in {line["Key"] for line in sheet(signed_in(dave))}


def a_year_of(keys: int, tenant: Tenant) -> None:
    """So many keys more, each with calls let in and refused on every day."""
    made = ApiKey.objects.bulk_create(
        ApiKey(tenant=tenant, label=f"Key {number}", scopes=[], sports=[]) for number in range(keys)
    )
    ApiKey.objects.update(created_at=NOON - 400 * DAY)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO apikeys_keycalls (key_id, period, start, outcome, calls, most) "
            "SELECT key, 'day', %s - day * interval '1 day', outcome, 1000 + day, 60 "
            "FROM unnest(%s::uuid[]) AS key, generate_series(0, 364) AS day, "
            "unnest('{allowed,rate_limited}'::text[]) AS outcome",
            [NOON.replace(hour=0, minute=0), [key.pk for key in made]],
        )


def test_a_chart_costs_one_query_with_a_year_of_fifty_keys(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    make_key(acme)
    client = signed_in(dave)
    for path in PATHS:  # some things are read once
        cost(client, path)
    before = {path: cost(client, path) for path in PATHS}
    a_year_of(50, acme)
    assert {path: cost(client, path) for path in PATHS} == before
    assert max(before.values()) <= 8
    total = 50 * sum(1000 + day for day in range(365))
    assert f"allowed {total}" in text(client.get("/client/usage?span=year"))
    lines = sheet(client, "?span=year")
    assert len(lines) == 365 * 51
    assert sum(int(line["Allowed"] or 0) for line in lines) == total


PATHS = ["/client/usage", "/client/usage?span=year", "/client/usage.csv?span=year", "/client/"]


def cost(client: Client, path: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        answer: Any = client.get(path)
        assert answer.status_code == 200
        if answer.streaming:
            assert b"".join(answer.streaming_content)
    return len(queries)


def test_the_overview_says_what_needs_attention(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    fenced = {"allowlist": ["192.0.2.0/24"]}
    labels = ["At", "Near", "Forgotten", "Young", "Gone"]
    keys = {label: make_key(acme, label=label, **fenced)[0] for label in labels}
    opened, _ = make_key(acme, label="Open")
    ApiKey.objects.filter(label="Forgotten").update(created_at=NOON - 90 * DAY)
    ApiKey.objects.filter(label="Gone").update(created_at=NOON - 90 * DAY, revoked_at=NOON)
    KeyUse.objects.create(key=keys["At"], last_used_at=NOON - 89 * DAY)
    ApiKey.objects.filter(label="At").update(created_at=NOON - 500 * DAY)
    wrote(keys["At"], HOUR, allowed=300, rate_limited=1)
    wrote(keys["Near"], 23 * HOUR, allowed=481)
    wrote(opened, HOUR, allowed=480)
    page = Page(signed_in(dave).get("/client/"))
    attention = page.text.partition("What needs attention")[2].partition("First steps")[0]
    assert re.findall(r"At its limit .*?: (\w+) Usage", attention) == ["At"]
    assert re.findall(r"Above 80 % Above .*?: (\w+) Usage", attention) == ["Near"]
    assert re.findall(r"Not used for 90 days: (\w+)", attention) == ["Forgotten"]
    assert re.findall(r"from anywhere: (.*)", attention) == ["Open "]
    assert "Last 24 hours, by the hour" in page.text and "allowed 1261" in page.text
    clock.move(DAY)
    assert "At its limit" not in text(signed_in(dave).get("/client/"))


def test_a_tenant_without_a_contract_has_pages_all_the_same(
    acme: Tenant, dave: User, sam: User, make_key: MakeKey
) -> None:
    """Calls beyond what `whoami` allows even then were too many; nothing else is near a limit."""
    busy, _ = make_key(acme, label="Busy")
    calm, _ = make_key(acme, label="Calm")
    wrote(busy, HOUR, allowed=60, rate_limited=3)
    wrote(calm, HOUR, allowed=60)
    acme.contract.delete()  # type: ignore[attr-defined]
    client = signed_in(dave)
    page = text(client.get("/client/"))
    assert re.findall(r"At its limit .*?: (\w+) Usage", page) == ["Busy"]
    assert "Above 80 %" not in page and "rate_limited 3" in page
    staff = signed_in(sam, has_second_factor=True)
    make_authenticator(sam)
    for path in ("/staff/accounts/tenant/", f"/staff/accounts/tenant/{acme.pk}/change/"):
        assert staff.get(path).status_code == 200
    for path in ("/client/api-access/", f"/client/api-access/{busy.pk}", "/client/usage"):
        assert client.get(path).status_code == 404


def test_the_overview_is_silent_where_all_is_well(
    acme: Tenant, globex: Tenant, dave: User, make_key: MakeKey
) -> None:
    assert "What needs attention" not in text(signed_in(dave).get("/client/"))
    make_key(acme, allowlist=["192.0.2.0/24"])
    make_key(globex)
    counted(1)
    page = text(signed_in(dave).get("/client/"))
    assert "What needs attention" not in page and "No calls in this time." in page


def test_of_many_keys_five_are_named(acme: Tenant, dave: User, make_key: MakeKey) -> None:
    for number in range(7):
        make_key(acme, label=f"Key {number}")
    assert "and 2 more" in text(signed_in(dave).get("/client/"))
