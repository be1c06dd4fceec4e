"""/client/login/code: between the password and the code one is nobody, and a code is taken once."""

import datetime as dt

import pytest
from django.test import Client

from accounts.models import Authenticator, PendingSignIn, Session, Tenant, User, WrongCode
from accounts.origin import COMMAND_LINE
from accounts.services.tenants import set_tenant_active, set_user_active
from accounts.tasks import forget_what_is_over
from portal.lib import clock
from tests.conftest import make_authenticator
from tests.pages import (
    code_of,
    is_signed_in,
    mid_step,
    next_step,
    session_cookie,
    sign_in,
    text,
    with_cookie,
    wrong_code,
)

CODE = "/client/login/code"
AGAIN = "/client/login?again=1"


@pytest.fixture
def device(alice: User) -> Authenticator:
    """Alice's authenticator, in the middle of a step."""
    mid_step()
    return make_authenticator(alice)


def half_way(typed: str = "Alice") -> Client:
    """A browser whose password was right."""
    client = Client()
    assert sign_in(client, typed).headers["Location"] == CODE
    return client


def takes(client: Client, code: str) -> bool:
    """Does the code let the browser in?"""
    client.post(CODE, {"code": code})
    return is_signed_in(client)


def test_a_right_code_opens(device: Authenticator) -> None:
    client = half_way()
    answer = client.post(CODE, {"code": code_of(device)})
    assert answer.headers["Location"] == "/client/"
    assert is_signed_in(client)


def test_the_code_gives_a_new_session_and_drops_the_one_before_it(device: Authenticator) -> None:
    """Promise 10."""
    client = half_way()
    before = session_cookie(client)
    assert takes(client, code_of(device))
    assert session_cookie(client) != before
    assert not is_signed_in(with_cookie(before))
    assert with_cookie(before).get(CODE).headers["Location"] == "/client/login"
    assert Session.objects.count() == 1


@pytest.mark.parametrize(
    "page",
    [
        "/client/",
        "/client/api-access",
        "/client/api-access/new",
        "/client/profile",
        "/client/profile/password",
        "/client/profile/2fa/disable",
        "/client/profile/2fa/enable",
        "/staff/",
    ],
)
def test_between_password_and_code_one_is_nobody(device: Authenticator, page: str) -> None:
    """Promise 12."""
    client = half_way()
    assert client.get(page).headers["Location"].startswith("/client/login?")
    assert not Session.objects.exclude(user=None).exists()


def test_the_page_is_nothing_without_a_password_before_it(device: Authenticator) -> None:
    client = Client()
    assert client.get(CODE).headers["Location"] == "/client/login"
    answer = client.post(CODE, {"code": code_of(device)})
    assert answer.headers["Location"] == "/client/login"


def test_it_ends_after_five_minutes(device: Authenticator) -> None:
    in_time, late = half_way(), half_way()
    clock.move(dt.timedelta(minutes=4, seconds=55))
    assert takes(in_time, code_of(device))
    clock.move(dt.timedelta(seconds=6))
    next_step()
    answer = late.post(CODE, {"code": code_of(device)})
    assert answer.headers["Location"] == AGAIN
    assert "took too long or was tried too often" in text(late.get(AGAIN))
    assert not is_signed_in(late)


def test_one_that_is_over_is_forgotten(device: Authenticator) -> None:
    """By the worker, and no other with it."""
    half_way()
    clock.move(dt.timedelta(minutes=4))
    client = half_way()
    clock.move(dt.timedelta(minutes=2))
    forget_what_is_over(timestamp=0)
    assert PendingSignIn.objects.count() == 1
    assert takes(client, code_of(device))


def test_it_ends_after_five_tries(device: Authenticator) -> None:
    client = half_way()
    wrong = wrong_code(device)
    for _ in range(4):
        assert "wrong or was used already" in text(client.post(CODE, {"code": wrong}))
    assert client.post(CODE, {"code": wrong}).headers["Location"] == AGAIN
    assert client.post(CODE, {"code": code_of(device)}).headers["Location"] == "/client/login"
    assert not is_signed_in(client)


def test_five_tries_are_five_whatever_a_browser_puts_back(device: Authenticator) -> None:
    """They are counted in a row of their own, beside the session and the limits."""
    client = half_way()
    cookie, session, wrong = session_cookie(client), Session.objects.get(), wrong_code(device)
    for _ in range(5):
        with_cookie(cookie).post(CODE, {"code": wrong})
    session.save(force_insert=True)
    WrongCode.objects.all().delete()
    assert with_cookie(cookie).post(CODE, {"code": code_of(device)}).headers["Location"] == AGAIN


def test_after_a_while_a_fresh_password_begins_anew(device: Authenticator) -> None:
    client = half_way()
    for _ in range(5):
        client.post(CODE, {"code": wrong_code(device)})
    clock.move(dt.timedelta(minutes=16))
    assert takes(half_way(), code_of(device))


def test_somebody_disabled_meanwhile_does_not_come_in(device: Authenticator, alice: User) -> None:
    client = half_way()
    set_user_active(user_id=alice.pk, is_active=False, actor=None, origin=COMMAND_LINE)
    answer = client.post(CODE, {"code": code_of(device)})
    assert answer.headers["Location"] == AGAIN
    assert not is_signed_in(client)


def test_somebody_whose_tenant_was_suspended_meanwhile_does_not_come_in(
    device: Authenticator, acme: Tenant
) -> None:
    client = half_way()
    set_tenant_active(tenant_id=acme.pk, is_active=False, actor=None, origin=COMMAND_LINE)
    assert client.post(CODE, {"code": code_of(device)}).headers["Location"] == AGAIN
    assert not is_signed_in(client)


def test_one_code_is_one_entry(device: Authenticator) -> None:
    """Promise 13; the next code opens for the second browser."""
    first, second = half_way(), half_way()
    code = code_of(device)
    assert takes(first, code)
    assert "wrong or was used already" in text(second.post(CODE, {"code": code}))
    next_step()
    assert takes(second, code_of(device))


def test_a_code_older_than_the_last_one_taken_is_refused(device: Authenticator) -> None:
    """RFC 6238 §5.2: a code seen over a shoulder is worth nothing once a newer one was used."""
    first, second = half_way(), half_way()
    assert takes(first, code_of(device, +1))
    assert not takes(second, code_of(device, -1))
    assert not takes(second, code_of(device))
    assert not takes(second, code_of(device, +1))
    next_step(2)
    assert takes(second, code_of(device))


@pytest.mark.parametrize(
    ("steps", "opens"),
    [(-3, False), (-2, False), (-1, True), (0, True), (1, True), (2, False), (3, False)],
)
def test_this_step_and_its_neighbours_are_taken_and_no_others(
    device: Authenticator, steps: int, opens: bool
) -> None:
    """Promise 14."""
    assert takes(half_way(), code_of(device, steps)) is opens


@pytest.mark.parametrize("edge", [-1, +1])
def test_the_window_does_not_creep(device: Authenticator, edge: int) -> None:
    """Promise 14: an app that is always early, or always late, moves nothing."""
    for _ in range(4):
        assert takes(half_way(), code_of(device, edge))
        next_step(4)
    assert not takes(half_way(), code_of(device, edge * 2))


@pytest.mark.parametrize(
    "spell",
    [
        lambda code: code.translate({48 + n: 0xFF10 + n for n in range(10)}),
        lambda code: code.translate({48 + n: 0x0660 + n for n in range(10)}),
        lambda code: code.translate({48 + n: 0x06F0 + n for n in range(10)}),
        lambda code: "+" + code,
        lambda code: "-" + code,
        lambda code: code[:3] + "_" + code[3:],
        lambda code: code[:3] + "-" + code[3:],
        lambda code: "0" + code,
        lambda code: code + "0",
        lambda code: code[:5],
        lambda code: code + ".0",
        lambda code: hex(int(code)),
        lambda code: code + "\u200b",
        lambda code: code[:3] + "\u00a0" + code[3:],
        lambda code: code + "\x00",
        lambda code: "",
    ],
)
def test_only_six_ascii_digits_are_a_code(device: Authenticator, spell: object) -> None:
    """Promise 14, against what int() would take."""
    assert callable(spell)
    client = half_way()
    assert client.post(CODE, {"code": spell(code_of(device))}).status_code == 200
    assert not is_signed_in(client)
    assert takes(client, code_of(device))


@pytest.mark.parametrize("spelt", ["{0}{1}", "{0} {1}", " {0} {1} ", "{0}{1}\n"])
def test_spaces_do_not_count(device: Authenticator, spelt: str) -> None:
    """Apps print codes with one in the middle."""
    code = code_of(device)
    assert takes(half_way(), spelt.format(code[:3], code[3:]))


def test_an_unconfirmed_enrolment_does_not_ask(alice: User) -> None:
    """Promise 15."""
    waiting = make_authenticator(alice)
    Authenticator.objects.filter(pk=waiting.pk).update(confirmed=False)
    client = Client()
    assert sign_in(client, "Alice").headers["Location"] == "/client/"
    assert is_signed_in(client)


def test_an_unconfirmed_enrolment_does_not_open(device: Authenticator, alice: User) -> None:
    """Promise 15: neither for its user nor in the panel."""
    waiting = Authenticator(user=alice, confirmed=False, name="TOTP")
    waiting.set_new_secret()
    waiting.save()
    assert not takes(half_way(), code_of(waiting))


def test_an_unconfirmed_enrolment_is_no_second_factor_for_the_panel(sam: User) -> None:
    waiting = make_authenticator(sam)
    Authenticator.objects.filter(pk=waiting.pk).update(confirmed=False)
    client = Client()
    sign_in(client, "Sam")
    assert client.get("/staff/").headers["Location"] == "/staff/profile/2fa/enable"


def test_the_codes_of_somebody_else_open_nothing(device: Authenticator, dave: User) -> None:
    """Promise 15: whatever a POST says about devices."""
    daves = make_authenticator(dave)
    client = half_way()
    fields = {"device": daves.pk, "otp_device": daves.persistent_id, "user": dave.pk}
    client.post(CODE, {"code": code_of(daves), **fields})
    assert not is_signed_in(client)


def test_the_page_says_nothing_about_whom_it_asks(device: Authenticator) -> None:
    page = half_way().get(CODE).content.decode()
    assert "alice" not in page.lower()
