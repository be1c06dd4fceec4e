"""Where signing in leads: back to where one was, if that is a page of this portal, else home."""

import datetime as dt
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from accounts.models import User
from portal.lib import clock
from tests.conftest import make_authenticator, signed_in
from tests.pages import Page, code_of, sign_in, text

NO_PAGES = [
    "//evil.example",
    "//evil.example/client/",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/client/\\..\\evil",
    "/client/invite/a\\b",
    "http://evil.example/client/",
    "https:evil.example",
    "http:///evil.example",
    "javascript:alert(1)",
    "JavaScript:alert(1)//client/",
    "data:text/html,x",
    "%2f%2fevil.example",
    "/%2fevil.example",
    "/%5cevil.example",
    "/%09/evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    " //evil.example",
    "/client/@evil.example",
    "@evil.example",
    "evil.example",
    "client/",
    "?next=//evil.example",
    "#",
    "/nowhere",
    "/static/css/portal.css",
    # They take a POST only.
    "/client/sign-out",
    "/client/switch-tenant",
    "/client/invite/abc/join",
]
PAGES = [
    "/client/",
    "/client/api-access",
    "/client/api-access?label=a%20b&x=//evil.example",
    "/client/profile/2fa/enable",
    "/client/invite/abc",
    "/client/help#codes",
]


@pytest.mark.parametrize("wanted", NO_PAGES)
def test_what_is_no_page_of_this_portal_leads_home(alice: User, wanted: str) -> None:
    """Promise 11, for the form's field and for the address."""
    assert sign_in(Client(), "Alice", next=wanted).headers["Location"] == "/client/"
    page = Page(Client().get("/client/login", {"next": wanted}))
    assert "next" not in page.fields
    assert signed_in(alice).get("/client/login", {"next": wanted}).headers["Location"] == "/client/"


@pytest.mark.parametrize("wanted", PAGES)
def test_a_page_is_where_one_comes_back_to_with_its_query(alice: User, wanted: str) -> None:
    client = Client()
    form = Page(client.get("/client/login", {"next": wanted})).fields
    assert sign_in(client, "Alice", next=form["next"]).headers["Location"] == wanted


@pytest.mark.parametrize("wanted", ["/staff/", "/staff/accounts/tenant/", "/staff/profile"])
def test_a_member_is_not_led_to_the_panel(alice: User, wanted: str) -> None:
    """Where only a refusal waits."""
    assert sign_in(Client(), "Alice", next=wanted).headers["Location"] == "/client/"


@pytest.mark.parametrize("wanted", ["/client/", "/client/api-access", "/client/profile"])
def test_staff_are_not_led_to_a_tenants_pages(sam: User, wanted: str) -> None:
    assert sign_in(Client(), "Sam", next=wanted).headers["Location"] == "/staff/"


def test_staff_come_back_to_a_page_of_the_panel(sam: User) -> None:
    wanted = "/staff/accounts/tenant/?q=acme"
    assert sign_in(Client(), "Sam", next=wanted).headers["Location"] == wanted


def test_the_way_back_survives_the_second_step(alice: User) -> None:
    device = make_authenticator(alice)
    client = Client()
    sign_in(client, "Alice", next="/client/api-access")
    answer = client.post("/client/login/code", {"code": code_of(device)})
    assert answer.headers["Location"] == "/client/api-access"


def test_the_second_step_forgets_a_way_to_elsewhere(alice: User) -> None:
    device = make_authenticator(alice)
    client = Client()
    sign_in(client, "Alice", next="//evil.example")
    answer = client.post("/client/login/code", {"code": code_of(device)})
    assert answer.headers["Location"] == "/client/"


@examples(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(wanted=st.one_of(st.text(), st.text("/\\:%.@?#javscript\t\n 25cf", max_size=20)))
def test_whatever_is_asked_for_one_stays_on_this_host(alice: User, wanted: str) -> None:
    client = signed_in(alice)
    where = client.get("/client/login", {"next": wanted.encode("utf-8", "ignore")})
    target = where.headers["Location"]
    assert target[0] == "/" and target[1:2] not in {"/", "\\"}
    assert not urlsplit(target).netloc


def test_an_expired_session_arrives_at_the_login_page_with_a_sentence(alice: User) -> None:
    client = signed_in(alice)
    clock.move(dt.timedelta(hours=12, seconds=1))
    answer = client.get("/client/api-access?x=1")
    assert answer.status_code == 302
    where = urlsplit(answer.headers["Location"])
    assert where.path == "/client/login"
    assert parse_qs(where.query)["next"] == ["/client/api-access?x=1"]
    page = client.get(answer.headers["Location"])
    assert "Your session is over. Sign in to go on where you were." in text(page)
    again = sign_in(client, "Alice", next=Page(page).fields["next"])
    assert again.headers["Location"] == "/client/api-access?x=1"


def test_an_expired_session_on_a_post_leads_to_no_address_that_only_takes_one(alice: User) -> None:
    client = signed_in(alice)
    clock.move(dt.timedelta(hours=12, seconds=1))
    answer = client.post("/client/switch-tenant", {"tenant": "acme"})
    assert answer.headers["Location"] == "/client/login?ended=1"


def test_somebody_who_was_never_signed_in_is_not_told_that_a_session_is_over(
    database: None,
) -> None:
    client = Client()
    answer = client.get("/client/")
    assert answer.headers["Location"] == "/client/login?next=%2Fclient%2F"
    assert "Your session is over" not in text(client.get(answer.headers["Location"]))


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Requested-With": "XMLHttpRequest"},
        {"X-Requested-With": "fetch"},
        {"Accept": "application/json"},
        {"Accept": "text/html;q=0.5, application/json"},
    ],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_script_gets_401_and_not_the_login_page(
    alice: User, method: str, headers: dict[str, str]
) -> None:
    """Promise 28, for strangers and for those whose time is over."""
    client = signed_in(alice)
    clock.move(dt.timedelta(hours=12, seconds=1))
    for browser in (client, Client()):
        answer = getattr(browser, method)("/client/api-access/new", headers=headers)
        assert answer.status_code == 401
        assert answer.json() == {"detail": "Sign in first.", "login": "/client/login"}


@pytest.mark.parametrize(
    "accept", ["text/html", "text/html,application/xhtml+xml,*/*;q=0.8", "*/*", ""]
)
def test_a_browser_gets_the_login_page(database: None, accept: str) -> None:
    answer = Client().get("/client/", headers={"Accept": accept})
    assert answer.status_code == 302
