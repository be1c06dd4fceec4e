"""Sessions: twelve hours and no more, over at once when they should be, worthless in a dump."""

import datetime as dt
from typing import Any

import pytest
from django.test import Client

from accounts.models import Membership, Role, Session, Tenant, User
from accounts.origin import COMMAND_LINE
from accounts.services.tenants import set_tenant_active, set_user_active
from accounts.sessions import SessionStore
from portal.lib import clock
from tests.conftest import make_authenticator, signed_in
from tests.pages import (
    at,
    is_signed_in,
    rows_as_text,
    session_cookie,
    sign_in,
    text,
    with_cookie,
)
from tests.production import told_by

HOUR = dt.timedelta(hours=1)


def test_used_all_day_it_ends_twelve_hours_after_signing_in(alice: User, globex: Tenant) -> None:
    """Promise 28: each of these requests saves the session, and none pushes its end."""
    globex.memberships.create(user=alice, role=Role.VIEWER)
    client = signed_in(alice)
    began = clock.now()
    for turn in range(12):
        slug = ("acme", "globex")[turn % 2]
        assert client.post("/client/switch-tenant", {"tenant": slug}).status_code == 302
        assert is_signed_in(client)
        clock.move(HOUR)
    at(began + dt.timedelta(hours=12, seconds=1))
    assert client.get("/client/").headers["Location"].startswith("/client/login?")
    assert not Session.objects.exists()


def test_saved_every_few_minutes_its_row_keeps_its_end(alice: User) -> None:
    """Promise 28, at the store: however often it is saved, the end is where it was."""
    cookie = session_cookie(signed_in(alice))
    end = Session.objects.get().expires_at
    for turn in range(23):
        clock.move(HOUR / 2)
        store = SessionStore(cookie)
        store["turn"] = turn
        store.save()
    assert Session.objects.get().expires_at == end
    clock.move(HOUR / 2 + dt.timedelta(seconds=1))
    assert SessionStore(cookie).load() == {}
    assert not Session.objects.exists()


def test_it_works_until_the_last_minute(alice: User) -> None:
    client = signed_in(alice)
    clock.move(dt.timedelta(hours=11, minutes=59))
    assert is_signed_in(client)


def test_a_row_whose_end_was_pushed_is_over_all_the_same(alice: User) -> None:
    """The time of signing in is kept as well, and asked."""
    client = signed_in(alice)
    Session.objects.update(expires_at=clock.now() + dt.timedelta(days=30))
    clock.move(dt.timedelta(hours=12, seconds=1))
    assert not is_signed_in(client)
    assert not Session.objects.exists()


def test_the_cookie_ends_with_the_session(alice: User) -> None:
    client = Client()
    cookie = sign_in(client, "Alice").cookies["portal_session"]
    assert 12 * 3600 - 10 < int(cookie["max-age"]) <= 12 * 3600


def test_an_anonymous_session_is_gone_after_half_an_hour(alice: User) -> None:
    """What waits between password and code is a row that is cleaned up."""
    make_authenticator(alice)
    client = Client()
    sign_in(client, "Alice")
    clock.move(dt.timedelta(minutes=31))
    assert client.get("/client/login/code").headers["Location"] == "/client/login"
    assert not Session.objects.exists()


def test_what_is_over_can_be_swept_up(alice: User, dave: User) -> None:
    signed_in(alice)
    clock.move(dt.timedelta(hours=6))
    signed_in(dave)
    clock.move(dt.timedelta(hours=7))
    SessionStore.clear_expired()
    assert [session.user for session in Session.objects.all()] == [dave]


def test_the_database_holds_no_cookie_that_opens_anything(alice: User) -> None:
    """A dump is worth nothing in a browser."""
    client = Client()
    sign_in(client, "Alice")
    cookie = session_cookie(client)
    row = Session.objects.get()
    assert cookie not in rows_as_text(["accounts_session", "accounts_auditevent"])
    for tried in (bytes(row.key_hash).hex(), str(row.pk), str(row.id), row.data):
        assert not is_signed_in(with_cookie(tried))
    assert is_signed_in(with_cookie(cookie))


def test_a_session_knows_when_and_from_where(alice: User) -> None:
    """Promise 9: what the caller writes into X-Forwarded-For is not where it comes from."""
    headers = {"User-Agent": "Firefox on a ferry", "X-Forwarded-For": "198.51.100.9"}
    client = Client(headers=headers, REMOTE_ADDR="203.0.113.7")
    before = clock.now()
    sign_in(client, "Alice")
    row = Session.objects.get()
    assert (row.user, row.address, row.agent) == (alice, "203.0.113.7", "Firefox on a ferry")
    assert before <= row.signed_in_at == row.proved_at <= clock.now()
    assert row.expires_at == row.signed_in_at + dt.timedelta(hours=12)


def test_disabled_is_out_at_the_next_request(alice: User) -> None:
    """Promise 29, and enabling brings no session back."""
    client = signed_in(alice)
    for is_active in (False, True):
        set_user_active(user_id=alice.pk, is_active=is_active, actor=None, origin=COMMAND_LINE)
        assert not is_signed_in(client)


def test_even_a_session_whose_row_is_left_does_not_open_for_somebody_disabled(
    alice: User,
) -> None:
    client = signed_in(alice)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert not is_signed_in(client)


def test_suspended_is_out_at_the_next_request(alice: User, acme: Tenant) -> None:
    """Promise 29."""
    client = signed_in(alice)
    set_tenant_active(tenant_id=acme.pk, is_active=False, actor=None, origin=COMMAND_LINE)
    assert client.get("/client/").headers["Location"].startswith("/client/login")
    assert not Session.objects.exists()


def test_a_script_of_somebody_suspended_gets_401(alice: User, acme: Tenant) -> None:
    client = signed_in(alice)
    set_tenant_active(tenant_id=acme.pk, is_active=False, actor=None, origin=COMMAND_LINE)
    answer = client.get("/client/api-access", headers={"Accept": "application/json"})
    assert answer.status_code == 401


def test_with_one_of_two_tenants_suspended_one_goes_on_in_the_other(
    alice: User, acme: Tenant, globex: Tenant
) -> None:
    globex.memberships.create(user=alice, role=Role.VIEWER)
    client = signed_in(alice)
    client.post("/client/switch-tenant", {"tenant": "acme"})
    set_tenant_active(tenant_id=acme.pk, is_active=False, actor=None, origin=COMMAND_LINE)
    page = text(client.get("/client/"))
    assert "Globex" in page and "Acme" not in page


def test_a_member_removed_is_out_at_the_next_request(dave: User) -> None:
    client = signed_in(dave)
    assert client.get("/client/api-access").status_code == 200
    Membership.objects.filter(user=dave).delete()
    assert client.get("/client/api-access").headers["Location"].startswith("/client/login")


@pytest.mark.parametrize("role", [Role.TRADER, Role.VIEWER])
def test_a_lower_role_holds_at_the_next_request(dave: User, role: Role) -> None:
    """Promise 29: a page that was open is worth nothing."""
    client = signed_in(dave)
    assert client.get("/client/api-access/new").status_code == 200
    Membership.objects.filter(user=dave).update(role=role)
    assert client.get("/client/api-access/new").status_code == 403
    assert client.post("/client/api-access/new", {"label": "x"}).status_code == 403
    assert "New API Key" not in text(client.get("/client/api-access"))


HTTPS = """
from django.db import transaction
from accounts.models import Role, User
from apikeys.services import open_tenant
from accounts.origin import COMMAND_LINE

settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
with transaction.atomic():
    tenant = open_tenant(slug="acme", name="Acme", actor=None, origin=COMMAND_LINE)
    user = User(username="Alice", email="alice@example.com")
    user.set_password("a long walk")
    user.save()
    tenant.memberships.create(user=user, role=Role.OWNER)
    client = Client()
    form = {"username": "Alice", "password": "a long walk"}
    plain = client.get("/client/login")
    page = client.get("/client/login", secure=True)
    entered = client.post("/client/login", form, secure=True)
    ended = client.post("/client/sign-out", secure=True)
    answer = {
        "plain": [plain.status_code, plain.headers["Location"]],
        "cookies": [
            morsel.OutputString()
            for answer in (page, entered, ended)
            for morsel in answer.cookies.values()
        ],
        "hsts": page.headers["Strict-Transport-Security"],
        "location": entered.headers["Location"],
    }
    transaction.set_rollback(True)
"""


@pytest.fixture(scope="module")
def over_https(django_db_setup: None) -> Any:
    """What a browser is told by a portal whose address begins with https."""
    return told_by(HTTPS)


def test_over_https_every_cookie_is_bound_to_this_host(over_https: Any) -> None:
    """Promise 31."""
    names = {cookie.partition("=")[0] for cookie in over_https["cookies"]}
    assert {"__Host-portal_session", "__Host-portal_csrf"} <= names
    for cookie in over_https["cookies"]:
        attributes = [part.strip().lower() for part in cookie.split(";")]
        assert cookie.startswith("__Host-")
        assert {"secure", "path=/"} <= set(attributes)
        assert not any(attribute.startswith("domain") for attribute in attributes)
        if "max-age=0" not in attributes:
            assert {"httponly", "samesite=lax"} <= set(attributes)


def test_over_https_browsers_are_told_to_stay_there(over_https: Any) -> None:
    assert over_https["hsts"] == "max-age=31536000; includeSubDomains; preload"
    assert over_https["plain"] == [301, "https://testserver/client/login"]
    assert over_https["location"] == "/client/"


def test_over_plain_http_in_development_cookies_have_no_prefix(alice: User) -> None:
    client = Client()
    client.get("/client/login")
    for cookie in sign_in(client, "Alice").cookies.values():
        assert not cookie.key.startswith("__Host-")
        assert cookie["httponly"] and cookie["samesite"] == "Lax" and cookie["path"] == "/"
