"""A developer, invited this minute: from the mail to the first 200 on the matches.

With nothing but what the pages say. Clicks are counted, so that a detour that creeps in is seen.
"""

import json
import subprocess

import pytest
from playwright.sync_api import Locator, Page, expect

from accounts.models import Tenant
from tests.browser.conftest import NEW_PASSWORD, OpenPage, link_in
from tests.browser.live import MailServer, Portal
from tests.browser.programs import need

pytestmark = pytest.mark.browser

CLIPBOARD = {"permissions": ["clipboard-read", "clipboard-write"]}
CLICKS = 5  # the link in the mail, Set password, Make an API key, Create key, Copy


class Clicks:
    """Counted."""

    def __init__(self) -> None:
        self.count = 0

    def on(self, what: Locator) -> None:
        """One more."""
        self.count += 1
        what.click()


def test_an_invited_developer_gets_to_the_first_matches_in_five_clicks(
    portal: Portal, inbox: MailServer, acme: Tenant, open_page: OpenPage
) -> None:
    who = ["--email", "olga@example.com", "--username", "Olga", "--role", "developer"]
    portal.manage("invite", "--tenant", "acme", *who)
    page, clicks = open_page(**CLIPBOARD), Clicks()

    page.goto(link_in(inbox.next_mail()))
    clicks.count += 1
    page.get_by_label("New password").fill(NEW_PASSWORD)
    page.get_by_label("Confirm password").fill(NEW_PASSWORD)
    clicks.on(page.get_by_role("button", name="Set password"))

    clicks.on(page.get_by_role("main").get_by_role("link", name="Make an API key"))
    page.get_by_label("Label").fill("First steps")
    clicks.on(page.get_by_role("button", name="Create key"))
    clicks.on(page.get_by_role("figure", name="The matches").get_by_role("button", name="Copy"))

    answer = json.loads(run(clipboard(page)))
    assert answer["data"][0]["id"].startswith("match-")
    assert clicks.count == CLICKS


def test_from_there_one_click_leads_to_the_programs(
    portal: Portal, inbox: MailServer, acme: Tenant, open_page: OpenPage
) -> None:
    """Each can be copied, and holds the variable and not the key."""
    who = ["--email", "olga@example.com", "--username", "Olga", "--role", "developer"]
    portal.manage("invite", "--tenant", "acme", *who)
    page = open_page(**CLIPBOARD)
    page.goto(link_in(inbox.next_mail()))
    page.get_by_label("New password").fill(NEW_PASSWORD)
    page.get_by_label("Confirm password").fill(NEW_PASSWORD)
    page.get_by_role("button", name="Set password").click()
    page.get_by_role("main").get_by_role("link", name="Make an API key").click()
    page.get_by_label("Label").fill("First steps")
    page.get_by_role("button", name="Create key").click()
    secret = page.get_by_label("API key", exact=True).input_value()
    page.get_by_role("main").get_by_role("link", name="Delivery credentials").click()
    rest = page.get_by_role("region", name="REST")
    rest.get_by_role("button", name="Copy").first.click()
    expect(rest.get_by_role("button", name="Copied")).to_be_visible()
    assert json.loads(run(clipboard(page), TT_KEY=secret))["data"]
    assert secret not in page.content()


def clipboard(page: Page) -> str:
    """What the last Copy left there."""
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


def run(command: str, **environment: str) -> str:
    """What a terminal shows for it; curl's own bar of progress apart."""
    need("curl")
    done = subprocess.run(
        ["sh", "-c", command], env=environment, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
