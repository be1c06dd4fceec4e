"""Pages that belong to no act: health, help, overview, preferences, and the pages of errors."""

import datetime as dt
import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import LazySettings
from django.db import connections
from django.test import Client

from accounts.models import AuditEvent, Role, Tenant, User
from apikeys import refusals
from apikeys.cures import CURES
from apikeys.models import KeyUse
from apikeys.refusals import Verdict
from apikeys.routes import Route
from portal.lib import clock
from tests.conftest import PASSWORD, MakeKey, make_authenticator, signed_in
from tests.pages import Page, code_of, sign_in, text


@pytest.fixture
def database_away(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Postgres is asked for at a socket that is not there."""
    connection = connections["default"]
    before = dict(connection.settings_dict)
    with django_db_blocker.unblock():
        connection.close()
        connection.settings_dict["HOST"] = "/nowhere/at/all"
        yield
        connection.close()
        connection.settings_dict.update(before)


def browser() -> Client:
    """A browser that is shown errors, not raised them."""
    return Client(raise_request_exception=False)


def test_healthz_says_that_the_process_is_up(database_away: None) -> None:
    answer = Client().get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"ok\n")
    assert answer.headers["Content-Type"] == "text/plain"


def test_readyz_says_that_postgres_is_there_and_migrated(database: None) -> None:
    answer = Client().get("/readyz")
    assert (answer.status_code, answer.content) == (200, b"ready\n")


def test_readyz_is_503_when_postgres_cannot_be_reached(database_away: None) -> None:
    answer = browser().get("/readyz")
    assert (answer.status_code, answer.content) == (503, b"Postgres cannot be reached\n")


def test_readyz_is_503_while_migrations_wait(database: None) -> None:
    """A new version is not ready on the old schema."""
    with connections["default"].cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'apikeys'")
        assert cursor.rowcount > 0
    answer = Client().get("/readyz")
    assert (answer.status_code, answer.content) == (503, b"migrations are waiting\n")


@pytest.mark.parametrize("path", ["/client/", "/client/profile", "/staff/", "/client/login"])
def test_with_the_database_away_pages_say_so_and_when_to_come_back(
    database_away: None, path: str
) -> None:
    client = browser()
    client.cookies["portal_session"] = "a" * 32
    answer = client.get(path)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert "The database cannot be reached just now. Nothing was changed." in text(answer)
    assert answer.headers["X-Request-Id"] in text(answer)
    assert "Traceback" not in answer.content.decode()
    assert "Content-Security-Policy" in answer.headers


def test_with_the_database_away_signing_in_says_so_too(database_away: None) -> None:
    answer = sign_in(browser(), "Alice")
    assert answer.status_code == 503
    assert PASSWORD not in answer.content.decode()


def test_pages_that_need_no_database_open_without_one(database_away: None) -> None:
    for path in ("/client/login", "/client/help"):
        assert browser().get(path).status_code == 200


def test_what_broke_is_a_page_with_a_reference_and_no_traceback(
    alice: User, settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    """A second factor whose encryption key is gone is our fault, and nobody else's business."""
    device = make_authenticator(alice)
    code = code_of(device)
    client = browser()
    sign_in(client, "Alice")
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]
    answer = client.post("/client/login/code", {"code": code})
    assert answer.status_code == 500
    page, body = text(answer), answer.content.decode()
    assert "Something broke on our side" in page
    reference = answer.headers["X-Request-Id"]
    assert re.fullmatch("[0-9a-f]{32}", reference) and f"Reference {reference}" in page
    for hidden in ("Traceback", "ValueError", "FIELD_KEYS", ".py", code):
        assert hidden not in body
    assert "no-store" in answer.headers["Cache-Control"]
    assert "FIELD_KEYS" in caplog.text and PASSWORD not in caplog.text
    assert "b2b@ticktock.bet" in body


def test_404_is_a_page_of_the_portal(alice: User) -> None:
    for client, button in ((signed_in(alice), "Acme Sportsbook"), (Client(), "Getting help")):
        answer = client.get("/client/nowhere")
        assert answer.status_code == 404
        page = text(answer)
        assert "Page not found" in page and "To the start" in page and button in page
        assert "Status 404" in page


def test_403_says_that_it_is_the_role(victor: User) -> None:
    answer = signed_in(victor).get("/client/api-access/new")
    assert answer.status_code == 403
    page = text(answer)
    assert "Not for your role" in page and "An owner of your team can change that." in page
    assert "Acme Sportsbook" in page and "Status 403" in page


@pytest.mark.parametrize(
    ("path", "back"),
    [
        ("/client/profile/preferences", "/client/profile/preferences"),
        ("/client/api-access/new", "/client/api-access/new"),
        ("/client/switch-tenant", "/client/"),
    ],
)
def test_a_stale_form_is_friendly_and_no_dead_end(alice: User, path: str, back: str) -> None:
    """Promise 33: 403, nothing written, and the way to the form again."""
    client = Client(enforce_csrf_checks=True)
    client.cookies = signed_in(alice).cookies
    events = AuditEvent.objects.count()
    answer = client.post(path, {"language": "ru", "tenant": "acme", "csrfmiddlewaretoken": "x"})
    assert answer.status_code == 403
    page = Page(answer)
    assert "Try again" in page.text and "Nothing was done. Open it again" in page.text
    assert back in page.links
    alice.refresh_from_db()
    assert alice.language == "en" and AuditEvent.objects.count() == events


def test_a_stale_form_before_the_door_is_friendly_too(alice: User) -> None:
    answer = sign_in(Client(enforce_csrf_checks=True), "Alice")
    assert answer.status_code == 403
    assert "/client/login" in Page(answer).links and "Try again" in text(answer)


def test_the_help_page_is_open_to_strangers_and_to_everybody_else(
    alice: User, victor: User, sam: User
) -> None:
    """It says whom to write to: who cannot sign in needs it most."""
    browsers = [Client(), *[signed_in(user) for user in (alice, victor, sam)]]
    for client in browsers:
        answer = client.get("/client/help")
        assert answer.status_code == 200
        assert "Getting help" in text(answer)
        assert "mailto:b2b@ticktock.bet" in Page(answer).links


def test_help_has_a_cure_for_each_code_of_the_machine_door(database: None) -> None:
    """Under an anchor of its name, to which refusals lead, and with the status that it has."""
    made = [
        *(each for each in vars(refusals).values() if isinstance(each, Verdict) and each.code),
        refusals.address_not_allowed(ip_address("203.0.113.7")),
        refusals.sport_not_allowed("dota2"),
        refusals.scope_not_granted(Route("/x", ("cs2:x:list",))),
        refusals.method_not_allowed(Route("/x")),
        refusals.rate_limited(600, 5),
    ]
    assert {(each.code, each.status) for each in made} == {(c.code, c.status) for c in CURES}
    page = Client().get("/client/help").content.decode()
    assert all(f'<tr id="{each.code}">' in page for each in made)


@pytest.mark.parametrize("path", ["/", "/client"])
def test_the_roots_lead_to_the_portal(database: None, path: str) -> None:
    assert Client().get(path).headers["Location"] == "/client/"


def test_the_first_steps_are_ticked_off_one_by_one(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    client = signed_in(dave)
    steps = ("Turn on two-factor authentication", "Make an API key", "Make the first call")
    assert [f"{step} To do" in text(client.get("/client/")) for step in steps] == [True] * 3
    key, _ = make_key(acme)
    make_authenticator(dave)
    KeyUse.objects.create(key=key, last_used_at=clock.now())
    page = text(signed_in(dave, has_second_factor=True).get("/client/"))
    assert [f"{step} Done" in page for step in steps] == [True] * 3


def test_a_viewer_is_told_who_makes_keys(victor: User) -> None:
    answer = signed_in(victor).get("/client/")
    assert "An owner or a developer of your team does this." in text(answer)
    assert "/client/api-access/new" not in Page(answer).links


def test_the_switcher_offers_ones_own_tenants_and_takes_no_others(
    acme: Tenant, globex: Tenant, alice: User, mallory: User
) -> None:
    client = signed_in(alice)
    assert "Switch tenant" not in text(client.get("/client/"))
    for stranger in ("globex", str(globex.pk), "nowhere", "", "\x00"):
        client.post("/client/switch-tenant", {"tenant": stranger})
        assert "Acme Sportsbook" in text(client.get("/client/"))
    globex.memberships.create(user=alice, role=Role.VIEWER)
    page = text(client.get("/client/"))
    assert "Acme Sportsbook Globex Switch tenant" in page and "Owner" in page
    client.post("/client/switch-tenant", {"tenant": "globex"})
    assert "Viewer" in text(client.get("/client/"))
    assert client.get("/client/api-access/new").status_code == 403


def test_preferences_change_language_zone_and_theme(alice: User) -> None:
    client = signed_in(alice)
    form = {"language": "ru", "time_zone": "Asia/Tbilisi", "theme": "dark"}
    answer = client.post("/client/profile/preferences", form)
    page = client.get(answer.headers["Location"])
    assert Page(page).lang == "ru" and page.headers["Content-Language"] == "ru"
    assert 'data-theme="dark"' in page.content.decode()
    assert "Asia/Tbilisi" in text(page)


def test_a_moment_is_written_in_the_readers_zone_with_the_zone(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    key, _ = make_key(acme)
    path = f"/client/api-access/{key.pk}"
    assert f"{key.created_at:%Y-%m-%d %H:%M} UTC" in text(signed_in(dave).get(path))
    dave.time_zone = "Asia/Kolkata"
    dave.save()
    local = key.created_at.astimezone(clock.zone("Asia/Kolkata"))
    page = signed_in(dave).get(path)
    assert f"{local:%Y-%m-%d %H:%M} IST" in text(page)
    assert f'datetime="{key.created_at:%Y-%m-%dT%H:%M:%SZ}"' in page.content.decode()


def test_what_was_less_than_a_minute_ago_was_just_now(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    """In both languages, also where a page may not ask the time."""
    key, _ = make_key(acme)
    KeyUse.objects.create(key=key, last_used_at=clock.now())
    pages = ["/client/", f"/client/api-access/{key.pk}"]
    for language, said in (("en", "(just now)"), ("ru", "(только что)")):
        User.objects.filter(pk=dave.pk).update(language=language)
        for page in pages:
            assert said in text(signed_in(dave).get(page)), page
    KeyUse.objects.update(last_used_at=clock.now() - dt.timedelta(minutes=5))
    assert "(прошло: 5 минут)" in text(signed_in(dave).get(pages[1]))


@pytest.mark.parametrize(
    "given", [{"language": "tlh"}, {"time_zone": "Mars/Olympus"}, {"theme": "pink"}]
)
def test_a_preference_that_is_none_is_refused(alice: User, given: dict[str, str]) -> None:
    form = {"language": "en", "time_zone": "UTC", "theme": "system", **given}
    answer = signed_in(alice).post("/client/profile/preferences", form)
    assert answer.status_code == 200 and "Select a valid choice." in text(answer)
    alice.refresh_from_db()
    assert (alice.language, alice.time_zone, alice.theme) == ("en", "UTC", "system")


@pytest.mark.parametrize(("header", "lang"), [("ru,en;q=0.5", "ru"), ("de", "en"), ("", "en")])
def test_strangers_are_met_in_their_browsers_language(
    database: None, header: str, lang: str
) -> None:
    answer = Client().get("/client/login", headers={"Accept-Language": header})
    assert Page(answer).lang == lang and "Accept-Language" in answer.headers["Vary"]
