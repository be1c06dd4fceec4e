"""AMQP from the question to the first message, in Chromium and on a real broker."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_SCRIPT, AxeResults
from playwright.sync_api import Page, expect

from accounts.models import Tenant, User
from tests.amqp import channel
from tests.browser.conftest import OpenPage
from tests.browser.live import MailServer, Portal, running_portal
from tests.browser.test_pages import AXE, COLOURS, SIDEWAYS, VARIANTS, keep_picture
from tests.conftest import make_authenticator
from tests.rabbit import Rabbit, rabbit_server

__all__ = ["rabbit_server"]  # pytest finds the fixture here
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def running(
    django_db_setup: None, mail_server: MailServer, rabbit_server: Rabbit
) -> Iterator[Portal]:
    """The server, with a broker."""
    with (
        tempfile.TemporaryDirectory(prefix="portal-browser-") as home,
        running_portal(
            Path(home),
            EMAIL_URL=mail_server.url,
            RABBITMQ_MANAGEMENT_URL=rabbit_server.url,
            AMQP_HOST="localhost",
            AMQP_TLS_PORT=str(rabbit_server.amqps),
            AMQP_PORT=str(rabbit_server.amqp),
        ) as portal,
    ):
        yield portal
    rabbit_server.empty()


def test_a_developer_asks_staff_provision_and_the_feed_arrives(
    portal: Portal,
    rabbit_server: Rabbit,
    acme: Tenant,
    dave: User,
    sam: User,
    open_page: OpenPage,
) -> None:
    developer = open_page(dave)
    developer.goto("/client/delivery")
    developer.get_by_role("button", name="Ask for AMQP access").click()
    expect(developer.get_by_text("We were asked, and will write to you.")).to_be_visible()

    make_authenticator(sam)
    staff = open_page(sam, has_second_factor=True)
    staff.goto("/staff/")
    staff.get_by_role("link", name="1 request for AMQP waits").click()
    staff.get_by_role("link", name="Acme Sportsbook").click()
    staff.get_by_role("button", name="Provision AMQP").click()
    expect(staff.get_by_role("heading", name="Save this password now")).to_be_visible()
    can_be_used_by_all(staff)
    uri = staff.locator("#uri").inner_text()
    assert staff.get_by_label("AMQP password").input_value() in uri

    with channel(rabbit_server, uri) as program:
        queue = program.queue_declare("", exclusive=True).method.queue
        program.queue_bind(queue, "ttfeed", "#")
        assert rabbit_server.publish("acme", "cs2.matches.1", {"score": "16:14"})
        _, _, body = next(program.consume(queue, auto_ack=True, inactivity_timeout=10))
        assert json.loads(body) == {"score": "16:14"}
        developer.reload()
        expect(developer.get_by_text("Ready", exact=True)).to_be_visible()
        expect(developer.get_by_text("issued")).to_be_visible()

    staff.get_by_role("link", name="I have saved it").click()
    expect(staff.get_by_role("button", name="New password")).to_be_visible()
    assert uri.split(":")[2].split("@")[0] not in staff.content() + developer.content()


def can_be_used_by_all(page: Page) -> None:
    """As the walk in test_pages asks of every page; this one is there once."""
    page.evaluate(AXE_SCRIPT)
    for width, theme, rules in VARIANTS:
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        keep_picture(page, f"amqp_password-{width}-{theme}")
        if rules is not COLOURS:
            assert AxeResults(page.evaluate(AXE, rules)).violations_count == 0
        assert page.evaluate(SIDEWAYS) == 0
