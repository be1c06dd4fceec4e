"""What pages show of the use of keys: chart, refusals, retired secrets; and **Test this key**."""

import datetime as dt
import re
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Tenant, User
from accounts.origin import COMMAND_LINE
from apikeys.models import ApiKey, Contract, CountedHour, KeyCalls, KeyRefusal, SecretUse
from apikeys.services import revoke_key, rotate_key
from portal.lib import clock
from tests.conftest import MakeKey, signed_in
from tests.pages import Page, text

MINUTE = dt.timedelta(minutes=1)


def calls(key: ApiKey, outcome: str, number: int, ago: dt.timedelta = MINUTE) -> None:
    """So many calls in the minute that was then."""
    start = (clock.now() - ago).replace(second=0, microsecond=0)
    KeyCalls.objects.create(key=key, period="minute", start=start, outcome=outcome, calls=number)


def page_of(key: ApiKey, user: User, query: str = "") -> str:
    """The key's page."""
    answer = signed_in(user).get(f"/client/api-access/{key.pk}{query}")
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_the_chart_shows_the_last_hour_by_outcome_and_the_table_has_the_numbers(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    key, _ = make_key(acme)
    calls(key, "allowed", 30)
    calls(key, "rate_limited", 20)
    calls(key, "ip_not_allowed", 10)
    calls(key, "allowed", 5, ago=20 * MINUTE)
    calls(key, "allowed", 999, ago=61 * MINUTE)
    page = page_of(key, dave)
    bars = re.findall(r'<rect class="(\w+)" x="([\d.]+)" y="([\d.]+)" .*?height="([\d.]+)"', page)
    assert [(kind, y, height) for kind, _, y, height in bars] == [
        ("allowed", "110", "10"),  # 5 of 60 calls, in 120 units
        ("allowed", "60", "60"),
        ("limited", "20", "40"),
        ("refused", "0", "20"),
    ]
    assert float(bars[0][1]) < float(bars[1][1]) == float(bars[2][1])
    rows = re.findall(r"<tr>\s*<th scope=\"row\">.*?</tr>", page, re.DOTALL)
    cells = [re.findall(r"<td[^>]*>(\d+)</td>", row) for row in rows]
    assert [each for each in cells if each] == [["5", "0", "0"], ["30", "20", "10"]]


def test_the_chart_of_a_day_has_a_bar_an_hour(acme: Tenant, dave: User, make_key: MakeKey) -> None:
    key, _ = make_key(acme)
    for ago in (61, 62, 63):
        calls(key, "allowed", 2, ago=ago * MINUTE)
    calls(key, "allowed", 7, ago=dt.timedelta(days=1, minutes=1))
    page = page_of(key, dave, "?chart=day")
    assert 1 <= page.count("<rect") <= 2 and "allowed</span> 7" not in page
    assert re.search(
        r"allowed\s+6", Page(signed_in(dave).get(f"/client/api-access/{key.pk}?chart=day")).text
    )


def test_without_calls_the_page_says_so(acme: Tenant, dave: User, make_key: MakeKey) -> None:
    key, _ = make_key(acme)
    client = signed_in(dave)
    page = text(client.get(f"/client/api-access/{key.pk}"))
    assert "No data for this time: nobody was there to count" in page
    CountedHour.objects.create(start=clock.now().replace(minute=0, second=0, microsecond=0))
    page = text(client.get(f"/client/api-access/{key.pk}"))
    assert "No calls in this time." in page and "None: every call so far was let in." in page


def test_refusals_are_listed_with_reason_and_cure(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    """The latest first; each leads to the code's line on the page with the cures."""
    key, _ = make_key(acme)
    for number, code in enumerate(["not_found", "ip_not_allowed"]):
        KeyRefusal.objects.create(
            key=key,
            outcome=code,
            address="203.0.113.7",
            at=clock.now() + number * MINUTE,
            method="GET",
            path="/cs2/v1/<b>",
            detail=f"Because of {code}.",
            calls=12,
        )
    client = signed_in(dave)
    page = Page(client.get(f"/client/api-access/{key.pk}"))
    assert "<b>" not in page.html and "/cs2/v1/<b>" in page.text
    assert page.text.index("Because of ip_not_allowed.") < page.text.index("Because of not_found.")
    helped = client.get("/client/help").content.decode()
    for code in ("not_found", "ip_not_allowed"):
        assert f"/client/help#{code}" in page.links and f'id="{code}"' in helped


def test_the_overview_warns_of_a_retired_secret_that_is_still_used(
    acme: Tenant, globex: Tenant, dave: User, mallory: User, make_key: MakeKey
) -> None:
    """By the key's label, the day, and the address; for a day after the last call with it."""
    key, _ = make_key(acme)
    key.refresh_from_db()
    clock.move(dt.timedelta(days=-2))
    rotate_key(tenant=acme, key_id=key.pk, version=key.version, actor=dave, origin=COMMAND_LINE)
    retired_on = f"{clock.now():%-d %B %Y}"
    clock.move(dt.timedelta(days=2))
    SecretUse.objects.create(
        secret=key.secrets.get(retired_at__isnull=False),
        last_used_at=clock.now(),
        last_address="203.0.113.7",
        calls=3,
    )
    warning = (
        f"The secret of “Pricing” that you retired on {retired_on} is still being used "
        "from 203.0.113.7 ."
    )
    assert warning in text(signed_in(dave).get("/client/"))
    assert "still being used" not in text(signed_in(mallory).get("/client/"))
    clock.move(dt.timedelta(days=1, minutes=1))
    assert "still being used" not in text(signed_in(dave).get("/client/"))


def test_it_warns_of_a_revoked_key_that_is_still_used(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    key, _ = make_key(acme)
    key.refresh_from_db()
    revoke_key(tenant=acme, key_id=key.pk, version=key.version, actor=dave, origin=COMMAND_LINE)
    SecretUse.objects.create(secret=key.secrets.get(), last_used_at=clock.now(), calls=1)
    warning = f"The key “Pricing” that you revoked on {clock.now():%-d %B %Y} is still being used."
    for page in pages_of(key, dave):
        assert warning in page and "The key itself" not in page


def test_of_a_secret_that_was_retired_before_its_key_was_revoked_it_says_both(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    """Each with its own day."""
    key, _ = make_key(acme)
    by: Any = {"tenant": acme, "key_id": key.pk, "actor": dave, "origin": COMMAND_LINE}
    key.refresh_from_db()
    first = key.secrets.get()
    rotated_on = f"{clock.now():%-d %B %Y}"
    rotate_key(version=key.version, **by)
    clock.move(dt.timedelta(days=7))
    key.refresh_from_db()
    revoked_on = f"{clock.now():%-d %B %Y}"
    revoke_key(version=key.version, **by)
    clock.move(dt.timedelta(days=2))
    SecretUse.objects.create(secret=first, last_used_at=clock.now(), calls=1)
    for page in pages_of(key, dave):
        assert (
            f"The secret of “Pricing” that you retired on {rotated_on} is still being used. "
            f"The key itself was revoked on {revoked_on}. These calls are refused."
        ) in page
        assert "that you revoked" not in page
    User.objects.filter(pk=dave.pk).update(language="ru")
    assert "Сам ключ отозван" in text(signed_in(dave).get("/client/"))


def pages_of(key: ApiKey, user: User) -> list[str]:
    """Where it is said: the Overview, and the key's own page."""
    client = signed_in(user)
    return [text(client.get(path)) for path in ("/client/", f"/client/api-access/{key.pk}")]


OPENAPI = "/v1/openapi.json"


def trial(key: ApiKey, user: User, **asked: str) -> str:
    """What the page says about such a call."""
    form = {"address": "203.0.113.7", "method": "GET", "route": "/v1/whoami", **asked}
    answer = signed_in(user).get(f"/client/api-access/{key.pk}/test", form)
    assert answer.status_code == 200
    return text(answer)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "It would pass"),
        ({"route": "/v1/whoami?x=1"}, "It would pass"),
        ({"route": "/cs2/v1/matches"}, "It would pass"),
        ({"route": "/cs2/v1/stream", "method": "WS"}, "It would pass"),
        ({"route": "/cs2/v1/stream"}, "404 not_found"),
        ({"address": "192.0.2.1"}, "403 ip_not_allowed You call from 192.0.2.1, which is not"),
        ({"address": "::ffff:203.0.113.7"}, "It would pass"),
        ({"route": "/valorant/v1/matches"}, "403 sport_not_allowed"),
        ({"route": "/cs2/v1/matches/7/timeline"}, "403 scope_not_granted Required scope"),
        ({"route": "/cs2/v1/m%61tches"}, "404 not_found"),
        ({"method": "POST"}, "405 method_not_allowed"),
        ({"address": "nowhere"}, "This is no IP address."),
        ({"route": "v1/whoami"}, "A route begins with a slash."),
        ({"method": "BREW"}, "Select a valid choice."),
        ({"route": "/тест\x01"}, "404 not_found"),
        ({"route": OPENAPI, "address": "192.0.2.1"}, f"It would pass GET {OPENAPI} from 192.0.2.1"),
        ({"route": OPENAPI}, "Allowed This path is open to everybody: it needs no key."),
        ({"route": OPENAPI, "method": "HEAD"}, "Allowed This path is open to everybody"),
        ({"route": OPENAPI, "method": "POST", "address": "192.0.2.1"}, "405 method_not_allowed"),
        ({"route": OPENAPI, "method": "WS"}, "404 not_found"),
    ],
)
def test_a_test_says_what_the_door_would(
    acme: Tenant, dave: User, make_key: MakeKey, asked: dict[str, str], said: str
) -> None:
    scopes = ["cs2:matches:list", "cs2:stream:matches"]
    Contract.objects.filter(tenant=acme).update(scopes=scopes)
    acme.contract.refresh_from_db()  # type: ignore[attr-defined]
    key, _ = make_key(acme, allowlist=["203.0.113.0/24"])
    assert said in trial(key, dave, **asked)


def test_a_test_looks_at_the_key_as_it_is_now_and_counts_nothing(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    key, _ = make_key(acme)
    with CaptureQueriesContext(connection) as queries:
        assert "It would pass" in trial(key, dave)
    written = re.compile("INSERT|UPDATE|DELETE")
    assert [
        q["sql"] for q in queries if written.match(q["sql"]) and "session" not in q["sql"]
    ] == []
    key.refresh_from_db()
    revoke_key(tenant=acme, key_id=key.pk, version=key.version, actor=dave, origin=COMMAND_LINE)
    assert "403 key_revoked This API key was revoked." in trial(key, dave)
    assert "it needs no key" in trial(key, dave, route=OPENAPI)


def test_a_test_is_for_those_who_see_the_key(
    acme: Tenant, victor: User, mallory: User, make_key: MakeKey
) -> None:
    """A viewer may look; another tenant's key is as unknown as none."""
    key, _ = make_key(acme)
    path = f"/client/api-access/{key.pk}/test"
    form = Page(signed_in(victor).get(path))
    assert form.fields["address"] == "127.0.0.1" and form.fields["route"] == "/v1/whoami"
    assert "It would pass" in trial(key, victor)
    assert signed_in(mallory).get(path).status_code == 404
