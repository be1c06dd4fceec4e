"""From the mailed link to the first call, and shut out again: what the product is for."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from accounts.models import Tenant, User
from tests.browser.conftest import NEW_PASSWORD, OpenPage, link_in, set_password
from tests.browser.live import MailServer, Portal
from tests.browser.programs import Codes, curl_whoami

pytestmark = pytest.mark.browser

CLIPBOARD = {"permissions": ["clipboard-read", "clipboard-write"]}
WITHOUT_JAVASCRIPT = {"java_script_enabled": False}


def test_staff_enrol_open_a_tenant_and_its_operator_gets_to_the_first_call_by_the_mail(
    portal: Portal, inbox: MailServer, open_page: OpenPage
) -> None:
    staff = open_page()
    staff_secret = enrol_staff(staff, portal, inbox)
    create_tenant(staff, name="Nordic Bets", slug="nordic-bets")
    invite_operator(staff, email="olga@example.com", username="Olga", role="Owner")
    mail = inbox.next_mail()
    link = link_in(mail)

    assert (mail["To"], mail["Subject"]) == ("olga@example.com", "Your invitation to Nordic Bets")
    assert link.startswith(f"{portal.url}/client/invite/")

    operator = open_page(**CLIPBOARD)
    set_password(operator, link)
    expect(operator.get_by_role("heading", name="Overview")).to_be_visible()
    expect(operator.get_by_role("banner").get_by_text("Nordic Bets")).to_be_visible()
    secret = create_key(operator)
    assert copied(operator, secret) == secret
    assert curl_whoami(portal.url, secret).body["data"]["name"] == "Nordic Bets"

    log = portal.log.read_text()
    kept = [secret, link.rpartition("/")[2], NEW_PASSWORD, staff_secret.replace(" ", "")]
    assert [word for word in kept if word in log] == []


@pytest.mark.parametrize(
    "browser", [{}, WITHOUT_JAVASCRIPT], ids=["with JavaScript", "without JavaScript"]
)
def test_a_key_opens_the_feed_until_it_is_rotated_and_its_next_secret_until_it_is_revoked(
    browser: dict[str, Any], portal: Portal, inbox: MailServer, acme: Tenant, open_page: OpenPage
) -> None:
    who = ["--email", "olga@example.com", "--username", "Olga", "--role", "developer"]
    portal.manage("invite", "--tenant", "acme", *who)
    page = open_page(**browser)
    set_password(page, link_in(inbox.next_mail()))

    first = create_key(page)
    assert curl_whoami(portal.url, first).status == 200

    page.get_by_role("link", name="I have saved it").click()
    page.get_by_role("link", name="Rotate").click()
    page.get_by_role("button", name="Rotate key").click()
    second = shown_secret(page)
    refused = curl_whoami(portal.url, first)
    assert (refused.status, refused.body["code"]) == (403, "key_revoked")
    assert curl_whoami(portal.url, second).status == 200

    page.get_by_role("link", name="I have saved it").click()
    page.get_by_role("link", name="Revoke").click()
    page.get_by_role("button", name="Revoke key").click()
    expect(page.get_by_role("status").get_by_text("is revoked")).to_be_visible()
    assert [curl_whoami(portal.url, secret).status for secret in (first, second)] == [403, 403]


def test_the_address_one_calls_from_is_added_to_the_allowlist_by_a_button(
    portal: Portal, alice: User, open_page: OpenPage
) -> None:
    page = open_page(alice)
    page.goto("/client/api-access/new")
    page.get_by_label("Label").fill("Pricing")
    page.get_by_label("IP allowlist").fill("203.0.113.7")
    for _ in range(2):
        page.get_by_role("button", name="Add it").click()
    expect(page.get_by_label("IP allowlist")).to_have_value("203.0.113.7\n127.0.0.1")

    page.get_by_role("button", name="Create key").click()
    assert curl_whoami(portal.url, shown_secret(page)).status == 200


def enrol_staff(page: Page, portal: Portal, inbox: MailServer) -> str:
    """Sam, invited by command, sets a password and is led to the second factor, and by it in."""
    who = ["--email", "sam@example.com", "--username", "Sam"]
    link = portal.manage("invite", "--staff", *who)
    assert link_in(inbox.next_mail()) == link
    set_password(page, link)
    page.get_by_label("Current password").fill(NEW_PASSWORD)
    page.get_by_role("button", name="Continue").click()
    page.get_by_text("Cannot scan it?").click()
    secret = page.locator("#totp-secret").inner_text()
    page.get_by_label("Authentication code").fill(Codes(secret).fresh())
    page.get_by_role("button", name="Enable 2FA").click()
    page.get_by_role("link", name="I have saved them").click()
    expect(page.get_by_role("heading", name="What staff look after")).to_be_visible()
    return secret


def create_tenant(page: Page, *, name: str, slug: str) -> None:
    page.get_by_role("row", name="Tenants").get_by_role("link", name="Add").click()
    page.get_by_label("Slug").fill(slug)
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Create tenant").click()
    expect(page.get_by_text(f"{name} is open.")).to_be_visible()


def invite_operator(page: Page, *, email: str, username: str, role: str) -> None:
    """From the tenant's page."""
    page.get_by_role("link", name="Invite operator").click()
    page.get_by_label("Role").select_option(role)
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Username").fill(username)
    page.get_by_role("button", name="Send invite").click()
    expect(page.get_by_text(f"Invited {email}.")).to_be_visible()


def create_key(page: Page) -> str:
    page.get_by_role("link", name="API Access").first.click()
    page.get_by_role("link", name="New API Key").click()
    page.get_by_label("Label").fill("Pricing, production")
    page.get_by_role("button", name="Create key").click()
    return shown_secret(page)


def shown_secret(page: Page) -> str:
    secret = page.get_by_label("API key", exact=True).input_value()
    assert secret.startswith("vbk_")
    return secret


def copied(page: Page, secret: str) -> str:
    """What the secret's Copy button leaves on the clipboard."""
    page.locator(".secret").get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text
