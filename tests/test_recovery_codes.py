"""Recovery codes: ten, shown once, hashed, each good for one use.

Security promise 18.
"""

import datetime as dt
import logging
import re
from typing import Any
from urllib.parse import unquote

import pytest
from django.test import Client

from accounts.models import (
    Action,
    AuditEvent,
    Authenticator,
    Counter,
    RecoveryCode,
    Role,
    Tenant,
    User,
)
from accounts.origin import COMMAND_LINE
from accounts.services.recovery import make_recovery_codes, take_recovery_code
from portal.lib import clock
from portal.lib.crypto import digest
from tests.at_once import at_once, posts
from tests.conftest import PASSWORD, make_authenticator, make_member, signed_in
from tests.mailbox import queued
from tests.pages import (
    code_of,
    is_signed_in,
    mid_step,
    session_cookie,
    sign_in,
    text,
    whole_dump,
    wrong_code,
)
from tests.test_two_factor import CONFIRM, begin

CODE = "/client/login/code"
NEW = "/client/profile/2fa/recovery-codes"
DISABLE = "/client/profile/2fa/disable"
FORMAT = re.compile(r"\b[2-9a-z]{4}(?:-[2-9a-z]{4}){3}\b")


@pytest.fixture(autouse=True)
def _mid_step() -> None:
    mid_step()


@pytest.fixture
def device(alice: User) -> Authenticator:
    """Alice's authenticator."""
    return make_authenticator(alice)


@pytest.fixture
def codes(device: Authenticator) -> list[str]:
    """Alice's recovery codes."""
    return make_recovery_codes(user=device.user, origin=COMMAND_LINE)


def shown(answer: Any) -> list[str]:
    """The codes on a page, in their order."""
    (block,) = re.findall(r'<code id="codes">(.*?)</code>', answer.content.decode(), re.DOTALL)
    return [str(code) for code in FORMAT.findall(block)]


def opens(code: str) -> bool:
    """Does it let a browser in that knows Alice's password?"""
    Counter.objects.all().delete()
    client = Client()
    sign_in(client, "Alice")
    client.post(CODE, {"code": code})
    return is_signed_in(client)


def events(action: Action) -> int:
    return AuditEvent.objects.filter(action=action).count()


def test_turning_2fa_on_shows_ten_and_keeps_none(alice: User) -> None:
    client = signed_in(alice)
    _, device = begin(client)
    answer = client.post(CONFIRM, {"code": code_of(device)})
    codes = shown(answer)
    assert len(set(codes)) == len(codes) == 10
    assert answer.headers["Cache-Control"] == "no-store"
    for page in (CONFIRM, NEW, "/client/profile", "/client/", "/client/activity"):
        body = client.get(page, follow=True).content.decode()
        assert not any(code in body for code in codes)
    assert events(Action.RECOVERY_CODES_MADE) == 1


def test_they_can_be_copied_printed_and_downloaded(alice: User) -> None:
    """The file is in the page itself: no address hands them out."""
    client = signed_in(alice)
    _, device = begin(client)
    html = client.post(CONFIRM, {"code": code_of(device)}).content.decode()
    (file,) = re.findall(r'download="recovery-codes.txt" href="data:[^,]*,([^"]*)"', html)
    assert FORMAT.findall(unquote(file)) == FORMAT.findall(html.partition('id="codes"')[2])[:10]
    assert len(FORMAT.findall(unquote(file))) == 10
    assert 'data-copy="codes"' in html and "data-print" in html


def test_they_are_unreadable_in_a_dump_and_in_the_logs(
    alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client = signed_in(alice)
    _, device = begin(client)
    codes = shown(client.post(CONFIRM, {"code": code_of(device)}))
    assert opens(codes[0])
    everywhere = whole_dump() + str(queued()) + caplog.text
    assert not FORMAT.search(everywhere.lower())
    for code in codes:
        assert code.replace("-", "") not in everywhere
    hashes = {bytes(row.code_hash) for row in RecoveryCode.objects.all()}
    assert hashes == {digest(code.replace("-", "")) for code in codes}


def test_each_lets_one_in_and_never_again(codes: list[str]) -> None:
    for code in codes[::3]:
        assert opens(code)
    assert not any(opens(code) for code in codes[::3])
    assert RecoveryCode.objects.filter(used_at=None).count() == 6


@pytest.mark.parametrize(
    "spell",
    [
        str.upper,
        lambda code: code.replace("-", " "),
        lambda code: code.replace("-", ""),
        lambda code: f"  {code} ",
        lambda code: " ".join(code.replace("-", "").upper()),
        lambda code: code.replace("-", " - "),
    ],
)
def test_spaces_hyphens_and_case_do_not_count(codes: list[str], spell: Any) -> None:
    assert opens(spell(codes[3]))


def test_the_second_half_of_a_code_is_no_code(codes: list[str]) -> None:
    assert not any(opens(part) for part in (codes[0][:-1], codes[0][5:], codes[0] + "2", ""))


def test_the_authenticator_goes_on_working(device: Authenticator, codes: list[str]) -> None:
    assert opens(codes[0])
    assert opens(code_of(device))


def test_how_many_are_left_is_shown(alice: User, codes: list[str]) -> None:
    client = signed_in(alice, has_second_factor=True)
    assert "10 recovery codes are left." in text(client.get("/client/profile"))
    for code in codes[1:]:
        assert take_recovery_code(user=alice, code=code, origin=COMMAND_LINE)
    assert "1 recovery code is left." in text(client.get("/client/profile"))


def test_using_one_is_mailed_and_recorded(alice: User, codes: list[str]) -> None:
    assert opens(codes[0])
    (job,) = queued("recovery_code_used")
    assert job.user_id == str(alice.pk)
    assert job.context["left"] == 9
    assert job.context["address"] == "127.0.0.1"
    (event,) = AuditEvent.objects.filter(action=Action.RECOVERY_CODE_USED)
    assert (event.actor_name, event.detail) == ("Alice", {"left": 9})


def test_a_code_of_somebody_else_opens_nothing(codes: list[str], dave: User) -> None:
    make_authenticator(dave)
    others = make_recovery_codes(user=dave, origin=COMMAND_LINE)
    assert not opens(others[0])
    assert RecoveryCode.objects.filter(user=dave, used_at=None).count() == 10


def test_one_confirms_who_it_is(alice: User, codes: list[str]) -> None:
    """Asked again, it will do, and is spent."""
    client = signed_in(alice, has_second_factor=True)
    clock.move(dt.timedelta(minutes=11))
    proof = {"confirm-password": PASSWORD, "confirm-code": codes[0], "confirm_it_is_you": "1"}
    assert "Confirm it is you" in text(client.get(NEW))
    assert client.post(NEW, proof).headers["Location"] == NEW
    assert "Make new codes" in text(client.get(NEW))
    assert not opens(codes[0])


def test_one_turns_2fa_off(alice: User, codes: list[str]) -> None:
    """For somebody whose phone is gone; the others are void with it."""
    client = signed_in(alice, has_second_factor=True)
    client.post(DISABLE, {"current_password": PASSWORD, "code": codes[0]})
    assert not Authenticator.objects.exists()
    assert not RecoveryCode.objects.exists()


def test_new_ones_void_the_old(alice: User, device: Authenticator, codes: list[str]) -> None:
    client, other = (signed_in(alice, has_second_factor=True) for _ in range(2))
    answer = client.post(NEW, {"current_password": PASSWORD, "code": code_of(device)})
    new = shown(answer)
    assert len(set(new)) == 10 and not set(new) & set(codes)
    assert "the old ones no longer work" in text(answer)
    assert not opens(codes[0])
    assert opens(new[0])
    assert is_signed_in(client) and not is_signed_in(other)
    assert [job.user_id for job in queued("recovery_codes_new")] == [str(alice.pk)]
    assert events(Action.RECOVERY_CODES_MADE) == 2


def test_one_that_is_left_makes_new_ones(alice: User, codes: list[str]) -> None:
    client = signed_in(alice, has_second_factor=True)
    answer = client.post(NEW, {"current_password": PASSWORD, "code": codes[9].upper()})
    assert len(shown(answer)) == 10
    assert RecoveryCode.objects.filter(used_at=None).count() == 10


@pytest.mark.parametrize("wrong", ["current_password", "code"])
def test_new_ones_need_the_password_and_a_code(
    alice: User, device: Authenticator, codes: list[str], wrong: str
) -> None:
    """Promise 19."""
    client = signed_in(alice, has_second_factor=True)
    right = {"current_password": PASSWORD, "code": code_of(device)}
    answer = client.post(NEW, right | {wrong: wrong_code(device)})
    assert answer.status_code == 200
    assert not FORMAT.search(answer.content.decode())
    assert RecoveryCode.objects.filter(used_at=None).count() == 10
    assert opens(codes[0])


def test_without_2fa_there_are_none(alice: User) -> None:
    client = signed_in(alice)
    assert client.get(NEW).headers["Location"] == "/client/profile"
    answer = client.post(NEW, {"current_password": PASSWORD, "code": "123456"})
    assert answer.headers["Location"] == "/client/profile"
    assert not RecoveryCode.objects.exists()
    assert "recovery" not in text(client.get("/client/profile")).lower()


@pytest.mark.usefixtures("committed_db")
def test_one_code_sent_to_three_doors_at_once_opens_one(acme: Tenant) -> None:
    """Signing in, turning 2FA off, and new codes: twenty in parallel, one success."""
    user = make_member(acme, "Alice", Role.OWNER)
    make_authenticator(user)
    code = make_recovery_codes(user=user, origin=COMMAND_LINE)[0]
    entering = [Client() for _ in range(8)]
    for client in entering:
        sign_in(client, "Alice")
    inside = [session_cookie(signed_in(user, has_second_factor=True)) for _ in range(8)]
    form = {"current_password": PASSWORD, "code": code}
    answers = at_once(
        [
            *posts(CODE, {"code": code}, entering),
            *posts(NEW, form, inside[:4]),
            *posts(DISABLE, form, inside[4:]),
        ],
        gate="accounts_recoverycode",
    )
    entered = [a for a in answers[:8] if a.headers.get("Location") == "/client/"]
    renewed = [a for a in answers[8:12] if 'id="codes"' in a.content.decode()]
    disabled = not Authenticator.objects.exists()
    assert len(entered) + len(renewed) + disabled == 1
    assert events(Action.RECOVERY_CODE_USED) == 1
    assert all(answer.status_code < 500 for answer in answers)
