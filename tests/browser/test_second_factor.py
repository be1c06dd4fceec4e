"""2FA as a person meets it: a QR code for the phone, a code at the door, and the way out of it."""

import base64
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from playwright.sync_api import expect

from accounts.models import User
from tests.browser.conftest import OpenPage, can_sign_in, enter_code, sign_in, sign_out
from tests.browser.programs import Codes, read_qr
from tests.conftest import PASSWORD, make_authenticator

pytestmark = pytest.mark.browser

REFUSED = "This code is wrong or was used already."


def test_the_qr_code_on_the_screen_enrols_a_phone_whose_codes_are_asked_for_from_then_on(
    alice: User, open_page: OpenPage
) -> None:
    page = open_page(can_sign_in(alice))
    page.goto("/client/profile")
    page.get_by_role("link", name="Enable 2FA").click()
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()

    scanned = urlsplit(read_qr(page.get_by_role("img", name="QR code").screenshot()))
    assert (scanned.scheme, scanned.netloc) == ("otpauth", "totp")
    assert unquote(scanned.path) == "/Ticktock:Alice"
    query = parse_qs(scanned.query)
    page.get_by_text("Cannot scan it?").click()
    typed = page.locator("#totp-secret").inner_text().replace(" ", "")
    assert query == {"secret": [typed], "issuer": ["Ticktock"]}

    phone = Codes(query["secret"][0])
    enter_code(page, phone.fresh(), button="Enable 2FA")
    expect(page.get_by_role("heading", name="Save your recovery codes")).to_be_visible()

    sign_out(page)
    sign_in(page, "Alice")
    enter_code(page, phone.fresh())
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def test_a_wrong_code_is_refused_and_a_right_one_opens_once(
    alice: User, open_page: OpenPage
) -> None:
    phone = phone_of(can_sign_in(alice))
    page, elsewhere = open_page(), open_page()
    for browser, name in ((page, "Alice"), (elsewhere, "alice@example.com")):
        sign_in(browser, name)

    enter_code(page, phone.wrong())
    expect(page.get_by_role("alert")).to_contain_text(REFUSED)
    code = phone.fresh()
    enter_code(page, code)
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()

    enter_code(elsewhere, code)
    expect(elsewhere.get_by_role("alert")).to_contain_text(REFUSED)
    enter_code(elsewhere, phone.fresh())
    expect(elsewhere.get_by_role("heading", name="Overview")).to_be_visible()


def test_after_disabling_2fa_the_password_alone_signs_in(alice: User, open_page: OpenPage) -> None:
    phone = phone_of(can_sign_in(alice))
    page = open_page(alice, has_second_factor=True)
    page.goto("/client/profile")
    page.get_by_role("link", name="Disable 2FA").click()
    page.get_by_label("Current password").fill(PASSWORD)
    enter_code(page, phone.fresh(), button="Disable 2FA")
    expect(page.get_by_text("2FA is off.")).to_be_visible()

    sign_out(page)
    sign_in(page, "Alice")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def phone_of(user: User) -> Codes:
    """An authenticator app that the user has enrolled."""
    return Codes(base64.b32encode(make_authenticator(user).secret).decode())
