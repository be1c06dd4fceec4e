"""A real browser, a real server, a real mail server; and a watch on all that the browser does.

Each worker has one of each, and they end with the last test of this folder: Playwright's event loop
would be in the way of the tests elsewhere.
"""

import re
import tempfile
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.utils.module_loading import import_string
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    Request,
    expect,
    sync_playwright,
)

from accounts.models import User
from portal.settings import PASSWORD_HASHERS
from tests.browser.live import MailServer, Portal, running_portal
from tests.browser.programs import need
from tests.conftest import PASSWORD, signed_in

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NEW_PASSWORD = "seven herons over the estuary"
OpenPage = Callable[..., Page]

PATIENCE_MS = 30_000  # a bound, not an expectation
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="package")
def mail_server() -> Iterator[MailServer]:
    with MailServer().running() as server:
        yield server


@pytest.fixture(scope="package")
def running(django_db_setup: None, mail_server: MailServer) -> Iterator[Portal]:
    """The server, on this worker's database."""
    need("chromium")
    with (
        tempfile.TemporaryDirectory(prefix="portal-browser-") as home,
        running_portal(Path(home), EMAIL_URL=mail_server.url, EXAMPLE_FEED="1") as portal,
    ):
        yield portal


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright's loop runs in this thread, and Django would refuse to query beside it.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield playwright.chromium.launch(
            executable_path=need("chromium"), headless=True, args=ARGUMENTS
        )


@pytest.fixture
def portal(running: Portal, committed_db: None) -> Portal:
    """The server, with nobody and nothing in its database but what the test puts there."""
    return running


@pytest.fixture
def database(portal: Portal) -> None:
    """The cast is committed, where the server sees it."""


@pytest.fixture
def inbox(mail_server: MailServer) -> MailServer:
    mail_server.forget()
    return mail_server


@pytest.fixture
def open_page(chromium: Browser, portal: Portal) -> Iterator[OpenPage]:
    """Opens a page in a browser of its own, of nobody or of somebody who has signed in.

    Whatever the test is about: no page may say an error on the console (a refusal by the content
    security policy is one), ask another host for anything, or break the server.
    """
    written = portal.log.stat().st_size
    contexts: list[BrowserContext] = []
    watch = Watch(portal.url)

    def open_(user: User | None = None, *, has_second_factor: bool = False, **options: Any) -> Page:
        context = chromium.new_context(base_url=portal.url, locale="en-GB", **options)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        watch.over(context)
        if user:
            cookie = signed_in(user, has_second_factor=has_second_factor).cookies[
                settings.SESSION_COOKIE_NAME
            ]
            context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": portal.url}])
        return context.new_page()

    yield open_
    for context in contexts:
        context.close()
    assert not watch.complaints, "\n".join(watch.complaints)
    assert b"Traceback" not in portal.log.read_bytes()[written:]


class Watch:
    """What browsers do that no page of the portal should make them do."""

    def __init__(self, url: str) -> None:
        self.complaints: list[str] = []
        self._host = urlsplit(url).hostname
        self._pages: set[str] = set()

    def over(self, context: BrowserContext) -> None:
        """All pages of this browser, from now on."""
        context.on("request", self._see_request)
        context.on("console", self._see_console)
        context.on("weberror", lambda error: self._complain(error.error))

    def _see_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if request.is_navigation_request():
            self._pages.add(request.url)
        if parts.scheme != "data" and parts.hostname != self._host:
            self._complain(f"asked {request.url}")

    def _see_console(self, message: ConsoleMessage) -> None:
        # Chromium says it of each page with a status of 400 or more; that is the tests' own matter.
        is_status = "status of" in message.text and message.location["url"] in self._pages
        if message.type in {"error", "warning"} and not is_status:
            self._complain(f"{message.type} on the console: {message.text} ({message.location})")

    def _complain(self, about: str | Error) -> None:
        self.complaints.append(str(about))


def can_sign_in(user: User) -> User:
    """The cast's password, hashed as the server does it and not in the tests' cheap way."""
    hasher = import_string(PASSWORD_HASHERS[0])
    user.password = make_password(PASSWORD, hasher=hasher())
    user.save(update_fields=["password"])
    return user


def sign_in(page: Page, username: str, password: str = PASSWORD) -> None:
    """By the login page."""
    page.goto("/client/login")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def sign_out(page: Page) -> None:
    """By the button that is at the top of every page."""
    page.get_by_role("banner").get_by_role("button", name="Sign out").click()


def enter_code(page: Page, code: str, *, button: str = "Verify") -> None:
    """Into the form that asks for it."""
    page.get_by_label("Authentication code").fill(code)
    page.get_by_role("button", name=button).click()


def set_password(page: Page, link: str) -> None:
    """By an invitation's page."""
    page.goto(link)
    page.get_by_label("New password").fill(NEW_PASSWORD)
    page.get_by_label("Confirm password").fill(NEW_PASSWORD)
    page.get_by_role("button", name="Set password").click()


def link_in(mail: EmailMessage) -> str:
    """The one link of an invitation's mail."""
    body = mail.get_body(("plain",))
    assert body is not None
    (link,) = re.findall(r"http\S+", body.get_content())
    return str(link)
