"""Profile → **Enable 2FA** and **Disable 2FA**: what each asks for, ends, and keeps to itself."""

import base64
import logging
import re
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.test import Client

from accounts.models import AuditEvent, Authenticator, User
from tests.conftest import PASSWORD, make_authenticator, signed_in
from tests.pages import (
    code_of,
    is_signed_in,
    mid_step,
    next_step,
    session_cookie,
    sign_in,
    text,
    whole_dump,
    with_cookie,
    wrong_code,
)

ENABLE = "/client/profile/2fa/enable"
CONFIRM = "/client/profile/2fa/confirm"
DISABLE = "/client/profile/2fa/disable"


@pytest.fixture(autouse=True)
def _mid_step() -> None:
    mid_step()


def begin(client: Client, under: str = "/client") -> tuple[Any, Authenticator]:
    """Give the password; the enrolment's page, and the authenticator that waits."""
    path = f"{under}/profile/2fa/enable"
    answer = client.post(path, {"current_password": PASSWORD}, follow=True)
    return answer, Authenticator.objects.get(confirmed=False)


def shown_secret(answer: Any) -> bytes:
    """The secret as a person would type it into an app."""
    found = re.search(r'id="totp-secret">([A-Z2-7 ]+)<', answer.content.decode())
    assert found
    return base64.b32decode(found[1].replace(" ", ""))


def test_the_password_the_qr_page_and_a_code_turn_it_on(alice: User) -> None:
    client = signed_in(alice)
    assert "Current password" in text(client.get(ENABLE))
    page, device = begin(client)
    assert "<svg" in page.content.decode() and "QR code" in page.content.decode()
    assert shown_secret(page) == device.secret
    answer = client.post(CONFIRM, {"code": code_of(device)})
    assert "2FA is on. Your other sessions are over." in text(answer)
    assert Authenticator.objects.get().confirmed
    assert "Disable 2FA" in text(client.get("/client/profile"))


def test_a_secret_has_160_bits(alice: User) -> None:
    """Promise 17; what RFC 4226 §4 recommends, and all of them are shown."""
    page, device = begin(signed_in(alice))
    assert len(device.secret) * 8 == 160
    assert shown_secret(page) == device.secret


@pytest.mark.parametrize("password", ["", "not the password", PASSWORD + " "])
def test_without_the_password_nothing_begins(alice: User, password: str) -> None:
    """Promise 19."""
    client = signed_in(alice)
    answer = client.post(ENABLE, {"current_password": password})
    assert answer.status_code == 200
    assert not Authenticator.objects.exists()
    assert client.get(CONFIRM).headers["Location"] == "/client/profile"


def test_a_wrong_code_turns_nothing_on_and_keeps_the_secret(alice: User) -> None:
    client = signed_in(alice)
    page, device = begin(client)
    answer = client.post(CONFIRM, {"code": wrong_code(device)})
    assert "This code is not right. Check the clock of your device" in text(answer)
    assert shown_secret(answer) == shown_secret(page)
    assert not Authenticator.objects.filter(confirmed=True).exists()
    client.post(CONFIRM, {"code": code_of(device)})
    assert Authenticator.objects.get().confirmed


def test_starting_again_makes_another_secret(alice: User) -> None:
    client = signed_in(alice)
    first = shown_secret(begin(client)[0])
    page, device = begin(client)
    assert shown_secret(page) == device.secret != first
    assert Authenticator.objects.count() == 1


def test_turning_it_on_ends_the_other_sessions_and_gives_this_one_a_new_id(alice: User) -> None:
    """Promises 10 and 19."""
    client, other = signed_in(alice), signed_in(alice)
    before = session_cookie(client)
    _, device = begin(client)
    client.post(CONFIRM, {"code": code_of(device)})
    assert is_signed_in(client)
    assert session_cookie(client) != before
    assert not is_signed_in(other)
    assert not is_signed_in(with_cookie(before))


def test_turning_it_on_ends_a_session_whose_row_was_put_back(alice: User) -> None:
    """Django's session hash knows passwords alone; a token of ours makes it know this too."""
    client, other = signed_in(alice), signed_in(alice)
    rows = list(alice.sessions.all())
    _, device = begin(client)
    client.post(CONFIRM, {"code": code_of(device)})
    alice.sessions.bulk_create(rows)
    assert not is_signed_in(other)


def test_the_code_that_turned_it_on_does_not_sign_in(alice: User) -> None:
    """Promise 13: one code, one use, whatever for."""
    client = signed_in(alice)
    _, device = begin(client)
    code = code_of(device)
    client.post(CONFIRM, {"code": code})
    elsewhere = Client()
    sign_in(elsewhere, "Alice")
    elsewhere.post("/client/login/code", {"code": code})
    assert not is_signed_in(elsewhere)


def test_the_secret_is_on_no_page_afterwards(alice: User) -> None:
    """Promise 17."""
    client = signed_in(alice)
    page, device = begin(client)
    shown = re.search(r'totp-secret">([^<]+)<', page.content.decode())
    assert shown
    answers = [client.post(CONFIRM, {"code": code_of(device)})]
    pages = ("/client/profile", ENABLE, CONFIRM, DISABLE, "/client/")
    answers += [client.get(path, follow=True) for path in pages]
    for answer in answers:
        body = answer.content.decode()
        assert shown[1] not in body and shown[1].replace(" ", "") not in body
        assert "<svg" not in body.partition("<main")[2]


def test_the_secret_is_unreadable_in_a_dump_and_in_the_logs(
    alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    """Promise 17, in each of the spellings in which it could be there."""
    caplog.set_level(logging.DEBUG)
    client = signed_in(alice)
    _, device = begin(client)
    client.post(CONFIRM, {"code": code_of(device)})
    secret, kept = device.secret, whole_dump() + caplog.text
    encoded = base64.b64encode(secret), base64.urlsafe_b64encode(secret), base64.b32encode(secret)
    for spelt in (secret.hex(), *[code.decode() for code in encoded]):
        assert spelt not in kept
    for cookie in client.cookies.values():
        assert base64.b32encode(secret).decode() not in cookie.value


def test_a_second_enrolment_over_the_first_is_not_begun(alice: User) -> None:
    """It would let a stolen session put its own device there."""
    device = make_authenticator(alice)
    client = signed_in(alice, has_second_factor=True)
    assert client.get(ENABLE).headers["Location"] == "/client/profile"
    client.post(ENABLE, {"current_password": PASSWORD})
    assert client.get(CONFIRM).headers["Location"] == "/client/profile"
    assert list(Authenticator.objects.all()) == [device]


def test_turning_it_off_takes_the_password_and_a_code(alice: User) -> None:
    """Promise 19."""
    device = make_authenticator(alice)
    client, other = signed_in(alice, has_second_factor=True), signed_in(alice)
    before = session_cookie(client)
    form = {"current_password": PASSWORD, "code": code_of(device)}
    answer = client.post(DISABLE, form)
    assert "2FA is off" in text(client.get(answer.headers["Location"]))
    assert not Authenticator.objects.exists()
    assert session_cookie(client) != before
    assert is_signed_in(client) and not is_signed_in(other)
    assert sign_in(Client(), "Alice").headers["Location"] == "/client/"


@pytest.mark.parametrize("given", ["no password", "wrong password", "no code", "wrong code"])
def test_with_one_of_them_wrong_it_stays_on(alice: User, given: str) -> None:
    """Promise 19; and the right code is not spent by a wrong password."""
    device = make_authenticator(alice)
    client = signed_in(alice, has_second_factor=True)
    form = {"current_password": PASSWORD, "code": code_of(device)}
    form["current_password" if "password" in given else "code"] = {
        "no password": "",
        "wrong password": "not the password",
        "no code": "",
        "wrong code": wrong_code(device),
    }[given]
    assert client.post(DISABLE, form).status_code == 200
    assert Authenticator.objects.get() == device
    right = {"current_password": PASSWORD, "code": code_of(device)}
    assert client.post(DISABLE, right).status_code == 302


def test_a_code_that_signed_in_does_not_turn_it_off(alice: User) -> None:
    device = make_authenticator(alice)
    client = Client()
    sign_in(client, "Alice")
    code = code_of(device)
    client.post("/client/login/code", {"code": code})
    client.post(DISABLE, {"current_password": PASSWORD, "code": code})
    assert Authenticator.objects.exists()
    next_step()
    client.post(DISABLE, {"current_password": PASSWORD, "code": code_of(device)})
    assert not Authenticator.objects.exists()


def test_the_device_of_somebody_else_in_a_post_is_nothing(alice: User, dave: User) -> None:
    """Promise 15: neither can it be confirmed, nor used, nor taken away."""
    daves = make_authenticator(dave)
    alices = make_authenticator(alice)
    client = signed_in(alice, has_second_factor=True)
    fields = {
        "device": daves.pk,
        "otp_device": daves.persistent_id,
        "user": dave.pk,
        "id": daves.pk,
    }
    client.post(DISABLE, {"current_password": PASSWORD, "code": code_of(daves), **fields})
    assert Authenticator.objects.count() == 2
    client.post(DISABLE, {"current_password": PASSWORD, "code": code_of(alices), **fields})
    assert Authenticator.objects.get() == daves


def test_somebody_elses_waiting_device_is_not_shown_or_confirmed(alice: User, dave: User) -> None:
    """Promise 15."""
    _, device = begin(signed_in(dave))
    client = signed_in(alice)
    assert client.get(CONFIRM).headers["Location"] == "/client/profile"
    client.post(CONFIRM, {"code": code_of(device), "device": device.pk, "user": dave.pk})
    assert not Authenticator.objects.filter(confirmed=True).exists()


def test_staff_enrol_under_their_own_roof_and_are_in(sam: User) -> None:
    client = signed_in(sam)
    page, device = begin(client, under="/staff")
    assert page.request["PATH_INFO"] == "/staff/profile/2fa/confirm"
    client.post("/staff/profile/2fa/confirm", {"code": code_of(device)})
    assert client.get("/staff/").status_code == 200


def test_staff_cannot_turn_it_off(sam: User) -> None:
    """The panel would be shut to them."""
    device = make_authenticator(sam)
    client = signed_in(sam, has_second_factor=True)
    form = {"current_password": PASSWORD, "code": code_of(device)}
    client.post("/staff/profile/2fa/disable", form)
    assert Authenticator.objects.filter(confirmed=True).exists()


def test_each_act_is_in_the_audit_trail_without_a_secret(alice: User) -> None:
    client = signed_in(alice)
    _, device = begin(client)
    client.post(CONFIRM, {"code": code_of(device)})
    next_step()
    client.post(DISABLE, {"current_password": PASSWORD, "code": code_of(device)})
    actions = AuditEvent.objects.filter(action__startswith="authenticator.")
    assert [event.action for event in actions.order_by("pk")] == [
        "authenticator.enabled",
        "authenticator.disabled",
    ]


def test_secrets_written_with_an_older_key_are_still_read(alice: User, settings: Any) -> None:
    """FIELD_KEYS can be changed: the newest writes, all of them read."""
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.FIELD_KEYS = [old]
    device = make_authenticator(alice)
    settings.FIELD_KEYS = [new, old]
    client = Client()
    sign_in(client, "Alice")
    client.post("/client/login/code", {"code": code_of(device)})
    assert is_signed_in(client)
    device.set_new_secret()
    settings.FIELD_KEYS = [new]
    assert len(device.secret) == 20


def test_a_secret_whose_key_is_gone_is_not_read_as_something_else(
    alice: User, settings: Any
) -> None:
    device = make_authenticator(alice)
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(ValueError, match="FIELD_KEYS"):
        device.secret  # noqa: B018
