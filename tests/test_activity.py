"""/client/activity: the tenant's own audit trail, filtered, a page at a time, and as CSV."""

import csv
import datetime as dt
import io
import re
from typing import Any

import pytest
from django.test import Client

from accounts.audit import record
from accounts.models import Action, AuditEvent, Membership, Role, Tenant, User
from accounts.origin import COMMAND_LINE
from portal.lib import clock
from tests.conftest import PASSWORD, MakeKey, make_authenticator, signed_in
from tests.pages import Page, at, sign_in, text

ACTIVITY = "/client/activity"
CSV = "/client/activity.csv"
SAFARI = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.5"


def named(tenant: Tenant, actor: User, *names: str) -> None:
    """Events whose target is called so."""
    AuditEvent.objects.bulk_create(
        AuditEvent(
            action=Action.API_KEY_CHANGED,
            actor_id=actor.pk,
            actor_name=actor.username,
            tenant_id=tenant.pk,
            target_name=name,
            address="203.0.113.7",
            agent="curl/8.5",
        )
        for name in names
    )


def table(client: Client, query: str = "") -> list[str]:
    """The rows of the page, as text."""
    page = client.get(f"{ACTIVITY}{query}").content.decode()
    body = page.partition("<tbody>")[2].partition("</tbody>")[0]
    cells = (re.sub(r"<[^>]+>", " ", row) for row in body.split("</tr>")[:-1])
    return [" ".join(row.split()) for row in cells]


def lines(client: Client, query: str = "") -> list[dict[str, str]]:
    """The lines of the CSV."""
    answer = client.get(f"{CSV}{query}")
    assert answer.status_code == 200 and answer.streaming
    content = b"".join(answer.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(content, newline="")))


def test_it_says_who_did_what_to_what_from_where(
    alice: User, acme: Tenant, make_key: MakeKey
) -> None:
    client = signed_in(alice)
    key, _ = make_key(acme)
    client.post(
        f"/client/api-access/{key.pk}/rotate",
        {"version": key.version},
        REMOTE_ADDR="203.0.113.7",
        headers={"User-Agent": f"{SAFARI} Safari/605.1.15"},
    )
    row = table(client)[0]
    for words in ("Alice", "API key rotated", "api_key.rotated", "203.0.113.7", "Safari · macOS"):
        assert words in row
    assert f"{clock.now():%Y}" in row


def test_another_tenants_events_are_nobody_elses(
    alice: User, acme: Tenant, mallory: User, globex: Tenant
) -> None:
    """Promise 35: on the page, in the CSV, and whatever the filter."""
    named(globex, mallory, "Secret plan")
    named(acme, alice, "Pricing")
    sign_in(Client(), "Mallory")
    client = signed_in(alice)
    for query in ("", "?actor=Mallory", f"?tenant={globex.pk}", f"?tenant_id={globex.pk}"):
        assert "Secret plan" not in str(table(client, query)) + str(lines(client, query))
        assert "Mallory" not in str(table(client, query))
    assert len(lines(client)) == AuditEvent.objects.filter(tenant_id=acme.pk).count()


def test_members_sign_ins_belong_to_it(alice: User, dave: User, mallory: User) -> None:
    """Refused ones too; those of names that nobody has are nobody's."""
    sign_in(Client(), "Dave")
    sign_in(Client(), "Dave", "wrong")
    sign_in(Client(), "nobody", "wrong")
    sign_in(Client(), "Mallory", "wrong")
    shown = [line["What"] for line in lines(signed_in(alice))]
    assert shown[:2] == ["login.refused", "login.succeeded"]
    assert shown.count("login.refused") == 1


def test_every_role_may_look(victor: User, acme: Tenant) -> None:
    named(acme, victor, "Pricing")
    assert "Pricing" in table(signed_in(victor))[0]
    assert lines(signed_in(victor))[0]["Target"] == "Pricing"


@pytest.fixture
def mixed(acme: Tenant, alice: User, dave: User) -> Client:
    """Alice's browser, after a few days in which different things happened."""
    at(dt.datetime(2026, 3, 1, 23, 30, tzinfo=dt.UTC))
    for actor, action in (
        (alice, Action.API_KEY_CREATED),
        (dave, Action.API_KEY_ROTATED),
        (dave, Action.INVITATION_SENT),
    ):
        record(action, actor=actor, origin=COMMAND_LINE, tenant=acme)
        clock.move(dt.timedelta(days=1))
    return signed_in(alice)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("action=api_key.rotated", ["api_key.rotated"]),
        ("actor=dav", ["invitation.sent", "api_key.rotated"]),
        ("actor=DAVE&action=invitation.sent", ["invitation.sent"]),
        ("since=2026-03-02&until=2026-03-02", ["api_key.rotated"]),
        ("since=2026-03-03", ["invitation.sent"]),
        ("until=2026-03-01", ["api_key.created"]),
        ("actor=nobody", []),
    ],
)
def test_the_filter_is_in_the_address(mixed: Client, query: str, expected: list[str]) -> None:
    """And holds for the CSV as well."""
    rows = [row for row in table(mixed, f"?{query}") if "tenant.created" not in row]
    for row, action in zip(rows, expected, strict=True):
        assert action in row
    found = [line["What"] for line in lines(mixed, f"?{query}")]
    assert [action for action in found if action != "tenant.created"] == expected
    assert f"{CSV}?{query}" in Page(mixed.get(f"{ACTIVITY}?{query}")).links


def test_days_are_those_of_the_readers_zone(mixed: Client, alice: User) -> None:
    """23:30 in London is half past midnight in Berlin."""
    User.objects.filter(pk=alice.pk).update(time_zone="Europe/Berlin")
    day = "?since=2026-03-02&until=2026-03-02"
    assert [line["What"] for line in lines(mixed, day)] == ["api_key.created"]


def test_nothing_for_this_filter_says_how_to_clear_it(mixed: Client) -> None:
    page = Page(mixed.get(f"{ACTIVITY}?actor=nobody"))
    assert "No event fits." in page.text and "Clear the filter" in page.text
    assert ACTIVITY in page.links


@pytest.mark.parametrize(
    "query",
    [
        "action=nonsense",
        "since=yesterday",
        "until=9999-99-99",
        "since=0001-01-01",
        "until=9999-12-31",
        "before=x",
        "before=-1",
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/Adak"])
def test_a_filter_that_makes_no_sense_breaks_nothing(
    mixed: Client, alice: User, query: str, zone: str
) -> None:
    User.objects.filter(pk=alice.pk).update(time_zone=zone)
    assert mixed.get(f"{ACTIVITY}?{query}").status_code == 200
    assert lines(mixed, f"?{query}")


@pytest.mark.parametrize("before", ["9" * 18, "9" * 19, "9" * 400, "\u0663", "%00", "1e9"])
def test_a_page_that_was_made_up_is_a_page(mixed: Client, before: str) -> None:
    assert mixed.get(ACTIVITY, {"before": before}).status_code == 200


def test_pages_of_fifty_have_no_gaps_though_things_go_on(acme: Tenant, alice: User) -> None:
    """What happens while one reads shifts nothing."""
    names = [f"event {number:03}" for number in range(120)]
    named(acme, alice, *names)
    client, seen, query = signed_in(alice), [], "?actor=Alice"
    while query:
        rows = table(client, query)
        assert len(rows) <= 50
        seen += [name for row in rows for name in re.findall(r"event \d{3}", row)]
        links = Page(client.get(f"{ACTIVITY}{query}")).links
        query = next((link for link in links if "before=" in link), "")
        assert not query or "actor=Alice" in query
        named(acme, alice, "meanwhile")
    assert seen == names[::-1]


def test_an_older_page_leads_back_to_the_newest(acme: Tenant, alice: User) -> None:
    named(acme, alice, *map(str, range(60)))
    client = signed_in(alice)
    older = next(link for link in Page(client.get(ACTIVITY)).links if "before=" in link)
    assert "Newest" in text(client.get(f"{ACTIVITY}{older}"))
    assert "before=" not in str(Page(client.get(f"{ACTIVITY}{older}")).links[-1])


def test_it_costs_as_many_queries_however_much_happened(
    acme: Tenant, alice: User, django_assert_num_queries: Any, django_assert_max_num_queries: Any
) -> None:
    client = signed_in(alice)
    named(acme, alice, "one")
    with django_assert_max_num_queries(8) as few:
        client.get(ACTIVITY)
    named(acme, alice, *map(str, range(200)))
    with django_assert_num_queries(len(few)):
        client.get(ACTIVITY)


def test_the_csv_has_everything_that_fits_in_plain_columns(acme: Tenant, alice: User) -> None:
    named(acme, alice, *(f'Ключ «{number}», "a"' for number in range(130)))
    answer = signed_in(alice).get(CSV)
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="acme-activity.csv"'
    assert answer.headers["Cache-Control"] == "no-store"
    found = lines(signed_in(alice), "?action=api_key.changed")
    assert [line["Target"] for line in found] == [f'Ключ «{n}», "a"' for n in range(129, -1, -1)]
    assert set(found[0]) == {"Time (UTC)", "Who", "What", "Target", "Address", "Agent"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found[0]["Time (UTC)"])
    assert (found[0]["Who"], found[0]["Address"]) == ("Alice", "203.0.113.7")


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r"])
def test_nothing_in_the_csv_is_a_formula(acme: Tenant, alice: User, first: str) -> None:
    """Whatever somebody called a key, and whatever an agent calls itself."""
    evil = f'{first}HYPERLINK("https://evil.example")'
    named(acme, alice, evil)
    Client(headers={"User-Agent": evil}).post(
        "/client/login", {"username": "Alice", "password": "wrong"}
    )
    for line in lines(signed_in(alice)):
        assert not any(str(cell).startswith(first) for cell in line.values())
    assert any(line["Target"] == f"'{evil}" for line in lines(signed_in(alice)))


def test_the_csv_is_in_the_readers_language_though_it_is_sent_later(alice: User) -> None:
    """The words are chosen before the lines are streamed."""
    User.objects.filter(pk=alice.pk).update(language="ru")
    answer = signed_in(alice).get(CSV)
    assert answer.headers["Content-Language"] == "ru"
    assert next(iter(answer.streaming_content)).count(b",") == 5


@pytest.fixture
def panel(sam: User) -> Client:
    """Sam's browser, with a second factor."""
    make_authenticator(sam)
    return signed_in(sam, has_second_factor=True)


def test_staff_see_all_tenants(
    panel: Client, acme: Tenant, alice: User, globex: Tenant, mallory: User
) -> None:
    named(acme, alice, "Pricing")
    named(globex, mallory, "Risk")
    path = "/staff/accounts/auditevent/"
    page = text(panel.get(path))
    assert "Pricing" in page and "Risk" in page
    page = text(panel.get(f"{path}?q=Risk"))
    assert "Mallory" in page and "Pricing" not in page
    page = text(panel.get(f"{path}?action__exact=tenant.created"))
    assert "Globex" in page and "Risk" not in page
    page = text(panel.get(f"{path}?target_id={acme.pk}"))
    assert "Acme" in page and "Globex" not in page


def test_staff_see_whose_it_was_and_what_kind_of_thing_in_their_language(
    panel: Client, sam: User, acme: Tenant, alice: User, make_key: MakeKey
) -> None:
    make_key(acme)
    sign_in(Client(), "Alice")
    User.objects.filter(pk=sam.pk).update(language="ru")
    body = panel.get("/staff/accounts/auditevent/").content.decode()
    rows = [row for row in body.split("<tr>") if 'class="field-at' in row]
    cells = [dict(re.findall(r'class="field-(\w+)[^>]*">([^<]*)<', row)) for row in rows]
    whose = {cell["action"]: (cell["tenant"], cell["kind"]) for cell in cells}
    assert whose["API-ключ создан"] == ("Acme Sportsbook", "API-ключ")
    assert whose["Вход"] == ("–", "пользователь")
    assert whose["Оператор создан"] == ("Acme Sportsbook", "оператор")


def test_the_history_of_a_row_is_its_events(panel: Client, acme: Tenant) -> None:
    answer = panel.get(f"/staff/accounts/tenant/{acme.pk}/history/", follow=True)
    assert answer.redirect_chain[-1][0].endswith(f"?target_id={acme.pk}")
    assert "Tenant created" in text(answer)


HOUR = dt.timedelta(hours=1)


def remove(owner: User, tenant: Tenant, member: User) -> None:
    """From the team, on its page."""
    membership = Membership.objects.get(tenant=tenant, user=member)
    answer = signed_in(owner).post(f"/client/team/{membership.pk}/remove")
    assert answer.headers["Location"] == "/client/team"


def test_what_a_member_did_stays_when_they_leave_and_what_they_do_then_is_not_told(
    acme: Tenant, alice: User, dave: User, globex: Tenant
) -> None:
    """Signing in belongs to no tenant: to this one while they were a member, and not a second more.

    Dave is of Globex too, before Acme and after it, and comes back to Acme later.
    """
    Membership.objects.filter(user=dave).update(created_at=clock.now() + HOUR)
    Membership.objects.create(tenant=globex, user=dave, role=Role.VIEWER)
    moments = []
    for step in range(4):  # before, as a member, after, as a member again
        clock.move(HOUR * (0.5 if step == 0 else 1))
        sign_in(Client(), "Dave", "wrong" if step == 2 else PASSWORD)
        moments.append(f"{clock.now():%Y-%m-%dT%H}")
        if step == 1:
            remove(alice, acme, dave)
        if step == 2:
            clock.move(HOUR / 2)
            Membership.objects.create(tenant=acme, user=dave, role=Role.VIEWER)
    kinds = {"login.succeeded", "login.refused"}
    shown = [event for event in lines(signed_in(alice)) if event["Target"] == "Dave"]
    found = [event["Time (UTC)"][:13] for event in shown if event["What"] in kinds]
    assert found == [moments[3], moments[1]]
