"""From the mailed link to the first call, and out again."""

import pytest
from playwright.sync_api import Page, expect

from accounts.models import Tenant
from tests.browser.conftest import NEW_PASSWORD, OpenPage, link_in, sign_in
from tests.browser.live import MailServer, Portal
from tests.browser.programs import curl_whoami, totp

pytestmark = pytest.mark.browser


def set_password(page: Page, link: str) -> None:
    page.goto(link)
    page.get_by_label("New password").fill(NEW_PASSWORD)
    page.get_by_label("Confirm password").fill(NEW_PASSWORD)
    page.get_by_role("button", name="Set password").click()


def shown_secret(page: Page) -> str:
    secret = page.get_by_label("API key", exact=True).input_value()
    assert secret.startswith("vbk_")
    return secret


def create_key(page: Page) -> str:
    page.get_by_role("link", name="API Access").first.click()
    page.get_by_role("link", name="New API Key").click()
    page.get_by_label("Label").fill("Pricing, production")
    page.get_by_role("button", name="Create key").click()
    return shown_secret(page)


def enrol_staff(page: Page, portal: Portal) -> None:
    """Sam, invited by command, sets a password and is led to the second factor."""
    invite = ["--email", "sam@example.com", "--username", "Sam"]
    set_password(page, portal.manage("invite", "--staff", *invite))
    page.get_by_label("Current password").fill(NEW_PASSWORD)
    page.get_by_role("button", name="Continue").click()
    page.get_by_text("Cannot scan it?").click()
    page.get_by_label("Authentication code").fill(totp(page.locator("#totp-secret").inner_text()))
    page.get_by_role("button", name="Enable 2FA").click()
    expect(page.get_by_text("2FA is on.")).to_be_visible()


def test_staff_enrol_open_a_tenant_and_invite_its_operator(
    portal: Portal, inbox: MailServer, open_page: OpenPage
) -> None:
    page = open_page()
    enrol_staff(page, portal)
    inbox.forget()
    page.goto("/staff/")
    print(page.locator("body").aria_snapshot())
    page.get_by_role("link", name="Add").nth(1).click()
    print(page.locator("body").aria_snapshot())
    page.screenshot(path="/tmp/x.png", full_page=True)
