"""An invitation to somebody who has an account already, and the tenants of a person with two."""

import pytest
from playwright.sync_api import expect

from accounts.models import Tenant, User
from tests.browser.conftest import OpenPage, can_sign_in, link_in
from tests.browser.live import MailServer, Portal
from tests.conftest import PASSWORD

pytestmark = pytest.mark.browser


def test_somebody_with_an_account_joins_by_signing_in_and_keeps_the_password(
    portal: Portal,
    inbox: MailServer,
    alice: User,
    globex: Tenant,
    open_page: OpenPage,
) -> None:
    password = can_sign_in(alice).password
    who = ["--email", "ALICE@example.com", "--username", "Alice.G", "--role", "viewer"]
    portal.manage("invite", "--tenant", "globex", *who)

    page = open_page()
    page.goto(link_in(inbox.next_mail()))
    expect(page.get_by_label("New password")).to_have_count(0)
    page.get_by_role("link", name="Sign in").click()
    page.get_by_label("Username").fill("alice")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Join Globex").click()

    expect(page.get_by_label("Tenant")).to_have_value("globex")
    page.get_by_label("Tenant").select_option("Acme Sportsbook")
    page.get_by_role("button", name="Switch tenant").click()
    expect(page.get_by_label("Tenant")).to_have_value("acme")
    expect(page.get_by_role("banner").get_by_text("Owner")).to_be_visible()

    alice.refresh_from_db()
    assert (alice.username, alice.password) == ("Alice", password)
