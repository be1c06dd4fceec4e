"""/client/login and the way out: who comes in, what is said to those who do not, and where to."""

from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from accounts.models import Role, Session, Tenant, User
from accounts.origin import COMMAND_LINE
from accounts.services.invitations import invite
from accounts.services.tenants import set_tenant_active
from accounts.sessions import SessionStore
from apikeys.services import open_tenant
from tests.conftest import PASSWORD, make_member, make_user, signed_in
from tests.pages import (
    COUNTING,
    Page,
    everything_of,
    hashes_during,
    is_signed_in,
    session_cookie,
    sign_in,
    text,
    with_cookie,
)

SAME_LENGTH = {"known": "alice", "unknown": "nobod", "inactive": "inact"}
SAME_LENGTH |= {"invited": "invit", "suspended": "suspe"}


@pytest.fixture
def strangers(alice: User, acme: Tenant) -> None:
    """One of each who may not come in, their names of one length."""
    gone = make_member(acme, "inact", Role.OWNER)
    gone.is_active = False
    gone.save()
    whom = {"email": "invit@example.com", "username": "invit", "role": Role.OWNER}
    invite(actor=None, origin=COMMAND_LINE, tenant=acme, send_mail=False, **whom)
    halted = open_tenant(slug="halted", name="Halted", actor=None, origin=COMMAND_LINE)
    make_member(halted, "suspe", Role.OWNER)
    set_tenant_active(tenant_id=halted.pk, is_active=False, actor=None, origin=COMMAND_LINE)


@pytest.mark.parametrize(
    "typed",
    ["Alice", "alice", "ALICE", " alice ", "alice@example.com", "Alice@Example.COM"],
)
def test_a_username_or_an_address_signs_in_whatever_its_case(alice: User, typed: str) -> None:
    client = Client()
    answer = sign_in(client, typed)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/client/")
    assert is_signed_in(client)


@pytest.mark.parametrize("suffix", ["", "@example.com"])
def test_whoever_may_not_come_in_is_told_the_same(strangers: None, suffix: str) -> None:
    """Promise 6: status, headers, length and words, whether the password is right or not."""
    answers = {
        who: everything_of(sign_in(Client(), typed + suffix, password), typed)
        for who, typed in SAME_LENGTH.items()
        for password in ([PASSWORD] if who != "known" else ["not the password"])
    }
    status, *_, body = answers["known"]
    assert status == 200
    assert "Username or password is wrong." in body
    assert all(answer == answers["known"] for answer in answers.values())


@pytest.mark.parametrize("who", SAME_LENGTH)
def test_whoever_asks_it_costs_one_hash(strangers: None, who: str, settings: Any) -> None:
    """Promise 6: what takes the time is done once for everybody."""
    settings.PASSWORD_HASHERS = [COUNTING]
    for user in User.objects.all():
        user.set_password(PASSWORD)
        user.save()
    typed = SAME_LENGTH[who]
    assert hashes_during(lambda: sign_in(Client(), typed, "not the password")) == 1


def test_a_password_that_is_too_long_is_not_hashed(alice: User, settings: Any) -> None:
    settings.PASSWORD_HASHERS = [COUNTING]
    answers: list[Any] = []
    assert hashes_during(lambda: answers.append(sign_in(Client(), "Alice", "x" * 257))) == 0
    assert "at most 256 characters" in text(answers[0])


def test_nothing_typed_is_an_error_at_the_field(alice: User) -> None:
    page = text(sign_in(Client(), "", ""))
    assert "Username: This field is required." in page
    assert "Password: This field is required." in page


def test_the_form_keeps_the_name_and_forgets_the_password(alice: User) -> None:
    answer = sign_in(Client(), "Alice", "not the password")
    assert Page(answer).fields["username"] == "Alice"
    assert "not the password" not in answer.content.decode()


def test_signing_in_gives_a_new_session_and_drops_what_the_anonymous_one_held(
    alice: User,
) -> None:
    """Promise 10: whoever planted the first cookie has nothing."""
    planted = SessionStore()
    planted["tenant"] = "planted"
    planted.create()
    planted["tenant"] = "planted"
    planted.save()
    client = with_cookie(str(planted.session_key))
    sign_in(client, "Alice")
    assert session_cookie(client) != planted.session_key
    assert "tenant" not in SessionStore(session_cookie(client)).load()
    assert not planted.exists(str(planted.session_key))
    assert not is_signed_in(with_cookie(str(planted.session_key)))


def test_signing_in_again_elsewhere_leaves_the_first_session_alone(alice: User) -> None:
    here, there = Client(), Client()
    sign_in(here, "Alice")
    sign_in(there, "Alice")
    assert is_signed_in(here) and is_signed_in(there)


def test_a_member_lands_on_the_overview_and_staff_in_the_panel(alice: User, sam: User) -> None:
    assert sign_in(Client(), "Alice").headers["Location"] == "/client/"
    assert sign_in(Client(), "Sam").headers["Location"] == "/staff/"


def test_somebody_without_a_tenant_cannot_sign_in(database: None) -> None:
    make_user("Nina")
    assert "Username or password is wrong." in text(sign_in(Client(), "Nina"))


def test_one_suspended_tenant_of_two_is_no_bar(strangers: None, globex: Tenant) -> None:
    halted = User.objects.get(username="suspe")
    globex.memberships.create(user=halted, role=Role.VIEWER)
    client = Client()
    assert sign_in(client, "suspe").status_code == 302
    page = text(client.get("/client/"))
    assert "Globex" in page and "Halted" not in page


def test_whoever_is_signed_in_is_sent_on(alice: User) -> None:
    client = signed_in(alice)
    assert client.get("/client/login").headers["Location"] == "/client/"
    wanted = client.get("/client/login", {"next": "/client/api-access"})
    assert wanted.headers["Location"] == "/client/api-access"


def test_signing_out_is_a_post(alice: User) -> None:
    client = signed_in(alice)
    assert client.get("/client/sign-out").status_code == 405
    assert is_signed_in(client)


def test_signing_out_deletes_the_row_and_a_copy_of_the_cookie_opens_nothing(alice: User) -> None:
    """Promise 30."""
    client = signed_in(alice)
    cookie = session_cookie(client)
    answer = client.post("/client/sign-out")
    assert answer.headers["Location"] == "/client/login"
    assert answer.cookies[settings.SESSION_COOKIE_NAME].value == ""
    assert not Session.objects.exists()
    replayed = with_cookie(cookie).get("/client/api-access")
    assert replayed.headers["Location"].startswith("/client/login")


def test_back_shows_nothing_because_nothing_was_stored(alice: User, sam: User) -> None:
    """Promise 30: no page of somebody signed in is kept by a browser."""
    client = signed_in(alice)
    for page in ("/client/", "/client/api-access", "/client/profile"):
        assert client.get(page).headers["Cache-Control"] == "no-store"
    panel = signed_in(sam, has_second_factor=True).get("/staff/")
    assert "no-store" in panel.headers["Cache-Control"]


def test_signing_out_twice_is_no_error(alice: User) -> None:
    client = signed_in(alice)
    client.post("/client/sign-out")
    assert client.post("/client/sign-out").status_code == 302


def test_a_cookie_from_nowhere_is_nobodys(alice: User) -> None:
    assert not is_signed_in(with_cookie("a" * 32))
