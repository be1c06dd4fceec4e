"""Too many codes: exact windows that slide, and a browser of one's own that nobody shuts.

Security promise 16: 5 wrong in 5 minutes, 20 an hour, 50 a day (RFC 4226 §7.3).
"""

import datetime as dt
from typing import Any

import pytest
from django.test import Client

from accounts.models import Authenticator, Counter, User, WrongCode
from accounts.origin import COMMAND_LINE
from accounts.services.codes import try_code
from accounts.services.recovery import make_recovery_codes
from accounts.tasks import forget_what_is_over
from portal.lib import clock
from tests.conftest import PASSWORD, make_authenticator, signed_in
from tests.pages import at, code_of, is_signed_in, mid_step, sign_in, text, wrong_code

CODE = "/client/login/code"
SECOND = dt.timedelta(seconds=1)
MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def device(alice: User) -> Authenticator:
    """Alice's authenticator, in the middle of a step."""
    mid_step()
    return make_authenticator(alice)


def half_way(client: Client | None = None) -> Client:
    """A browser whose password was right; passwords are not what is counted here."""
    Counter.objects.all().delete()
    client = client or Client()
    assert sign_in(client, "Alice").headers["Location"] == CODE
    return client


def guess(device: Authenticator, times: int = 5, client: Client | None = None) -> dt.datetime:
    """So many wrong codes, five at most, in a browser; when the first of them was."""
    began, client = WrongCode.objects.count(), half_way(client)
    for _ in range(times):
        assert client.post(CODE, {"code": wrong_code(device)}).status_code in {200, 302}
    return WrongCode.objects.order_by("at")[began].at


def guess_for_hours(device: Authenticator, batches: int, apart: dt.timedelta) -> dt.datetime:
    """Batches of five, without the pages around them; when the first of them was."""
    for batch in range(batches):
        clock.move(apart if batch else dt.timedelta())
        for _ in range(5):
            assert not try_code(
                user=device.user, code=wrong_code(device), browser=None, origin=COMMAND_LINE
            )
    first = WrongCode.objects.earliest("at")
    return first.at


def enter(device: Authenticator, client: Client | None = None) -> Any:
    """The right password and the right code, now."""
    return half_way(client).post(CODE, {"code": code_of(device)})


def known(device: Authenticator) -> Client:
    """A browser that Alice has signed in with, and out again."""
    client = Client()
    assert enter(device, client).headers["Location"] == "/client/"
    client.post("/client/sign-out")
    clock.move(dt.timedelta(seconds=90))  # the code is spent, and so are its neighbours
    return client


def opens(answer: Any) -> bool:
    """Did it let the browser in, or was it refused with a waiting time?"""
    assert answer.status_code in {302, 429}
    return bool(answer.status_code == 302)


def test_after_five_wrong_codes_the_right_one_is_refused(device: Authenticator) -> None:
    guess(device)
    answer = enter(device)
    assert answer.status_code == 429
    assert f"Wait {answer.headers['Retry-After']} seconds" in text(answer)


def test_four_wrong_codes_are_no_reason(device: Authenticator) -> None:
    guess(device, 4)
    assert opens(enter(device))


def test_a_right_code_is_not_counted_and_forgets_nothing(device: Authenticator) -> None:
    guess(device, 4)
    assert opens(enter(device))
    clock.move(dt.timedelta(seconds=90))
    guess(device, 1)
    assert not opens(enter(device))


@pytest.mark.parametrize(
    ("batches", "apart", "window"),
    [
        (1, 0 * MINUTE, 5 * MINUTE),
        (4, 6 * MINUTE, HOUR),
        (10, 20 * MINUTE, 24 * HOUR),
    ],
)
def test_it_is_so_many_in_any_window_to_the_second(
    device: Authenticator, batches: int, apart: dt.timedelta, window: dt.timedelta
) -> None:
    """Five batches of five minutes, of an hour and of a day; each moment ends by itself."""
    first = guess_for_hours(device, batches, apart)
    told = int(enter(device).headers["Retry-After"])
    end = first + window
    assert 0 <= told - (end - clock.now()).total_seconds() < 2
    at(end - SECOND)
    assert not opens(enter(device))
    at(end)
    assert opens(enter(device))


def test_a_window_slides(device: Authenticator) -> None:
    """No edge that resets all of them: as one ends, one more may be tried."""
    first = guess(device, 1)
    clock.move(4 * MINUTE)
    second = guess(device, 4)
    at(first + 5 * MINUTE)
    guess(device, 1)
    assert not opens(enter(device))
    at(second + 5 * MINUTE)
    assert opens(enter(device))


def test_nothing_is_counted_while_one_is_refused(device: Authenticator) -> None:
    """Whoever goes on trying does not push the end."""
    first = guess(device)
    client = half_way()
    for _ in range(10):
        assert client.post(CODE, {"code": wrong_code(device)}).status_code == 429
    assert WrongCode.objects.count() == 5
    at(first + 5 * MINUTE)
    assert opens(enter(device))


def test_a_known_browser_gets_in_whatever_strangers_do(device: Authenticator) -> None:
    """Promise 8, for codes: at once, after fifty wrong ones from elsewhere."""
    home = known(device)
    guess_for_hours(device, 10, 20 * MINUTE)
    assert not opens(enter(device))
    assert opens(enter(device, home))


def test_in_a_known_browser_the_right_code_works_within_fifteen_minutes(
    device: Authenticator,
) -> None:
    home = known(device)
    first = guess(device, 5, home)
    answer = enter(device, home)
    assert 0 < int(answer.headers["Retry-After"]) <= 15 * 60
    at(first + 15 * MINUTE - SECOND)
    assert not opens(enter(device, home))
    at(first + 15 * MINUTE)
    assert opens(enter(device, home))


def test_a_known_browser_that_guesses_shuts_nobody_else(device: Authenticator) -> None:
    home = known(device)
    guess(device, 5, home)
    assert opens(enter(device))


def test_two_known_browsers_count_apart(device: Authenticator) -> None:
    home, office = known(device), known(device)
    guess(device, 5, home)
    assert opens(enter(device, office))


def test_wrong_recovery_codes_count_as_well(device: Authenticator, alice: User) -> None:
    (code, *_) = make_recovery_codes(user=alice, origin=COMMAND_LINE)
    client = half_way()
    for number in range(5):
        client.post(CODE, {"code": f"2222-3333-4444-555{number + 2}"})
    assert half_way().post(CODE, {"code": code}).status_code == 429
    assert not opens(enter(device))


@pytest.mark.parametrize("page", ["disable", "recovery-codes"])
def test_codes_are_counted_wherever_they_are_asked(
    device: Authenticator, alice: User, page: str
) -> None:
    client, path = signed_in(alice, has_second_factor=True), f"/client/profile/2fa/{page}"
    form = {"current_password": PASSWORD, "code": wrong_code(device)}
    for _ in range(5):
        assert client.post(path, form).status_code == 200
    answer = client.post(path, form | {"code": code_of(device)})
    assert answer.status_code == 429 and int(answer.headers["Retry-After"]) <= 300
    assert Authenticator.objects.filter(confirmed=True).exists()
    assert is_signed_in(client)
    assert not opens(enter(device))


def test_asking_again_counts_wrong_codes_too(device: Authenticator, alice: User) -> None:
    client = signed_in(alice, has_second_factor=True)
    clock.move(11 * MINUTE)
    proof = {"confirm-password": PASSWORD, "confirm_it_is_you": "1"}
    for _ in range(5):
        wrong = proof | {"confirm-code": wrong_code(device)}
        assert client.post("/client/api-access/new", wrong).status_code == 200
    right = proof | {"confirm-code": code_of(device)}
    assert client.post("/client/api-access/new", right).status_code == 429


def test_what_no_longer_counts_is_forgotten(device: Authenticator) -> None:
    guess(device)
    clock.move(47 * HOUR)
    guess(device, 2)
    clock.move(2 * HOUR)
    forget_what_is_over(timestamp=0)
    assert WrongCode.objects.count() == 2
