"""A trader switches a type off on the page, and the sample feed obeys: by REST and on a stream."""

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from playwright.sync_api import Page, expect
from websockets.sync.client import ClientConnection, connect

from accounts.models import Tenant, User
from portal.launch.run import MARKET_TYPES
from tests.browser.conftest import OpenPage
from tests.browser.live import Portal
from tests.conftest import MakeKey

pytestmark = pytest.mark.browser

CODE, NAME = "headshot_opening", "Opening kill is a headshot"
LATE_SECONDS = 1.0
MOVES_SECONDS = 12  # in which the odds of each type move once, and a little more
PATIENCE_SECONDS = 40


class Stream:
    """What an open WebSocket brought: when, and about which type of market."""

    def __init__(self, connection: ClientConnection) -> None:
        self.seen: list[tuple[float, str]] = []
        self._reading = threading.Thread(target=self._read, args=[connection], daemon=True)
        self._reading.start()

    def brings(self, code: str, *, after: float) -> bool:
        """Soon."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            if any(at > after and each == code for at, each in self.seen):
                return True
            time.sleep(0.1)
        return False

    def _read(self, connection: ClientConnection) -> None:
        for text in connection:
            frame = json.loads(text)
            if frame["type"] == "market.updated":
                self.seen.append((time.monotonic(), frame["data"]["type"]))


@pytest.fixture
def secrets(portal: Portal, acme: Tenant, globex: Tenant, make_key: MakeKey) -> tuple[str, str]:
    """Keys of Acme and of Globex."""
    call_command("load_market_types", str(MARKET_TYPES), verbosity=0)
    return make_key(acme)[1], make_key(globex)[1]


@pytest.fixture
def streams(portal: Portal, secrets: tuple[str, str]) -> Iterator[tuple[Stream, Stream]]:
    """Opened before anything is switched."""
    url = f"{portal.url.replace('http', 'ws')}/cs2/v1/stream?api_key="
    with connect(url + secrets[0]) as of_acme, connect(url + secrets[1]) as of_globex:
        yield Stream(of_acme), Stream(of_globex)


def offered(portal: Portal, secret: str) -> set[str]:
    """The types in the matches that are being played."""

    def ask(path: str) -> Any:
        request = urllib.request.Request(f"{portal.url}/cs2/v1/{path}")
        request.add_header("X-API-Key", secret)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["data"]

    live = next(match["id"] for match in ask("matches") if match["state"] == "live")
    return {market["type"] for market in ask(f"matches/{live}").get("markets", [])}


def switch_off(page: Page) -> None:
    """Found by its name, reviewed, applied."""
    page.goto("/client/markets?q=headshot")
    group = page.get_by_role("radiogroup", name=NAME)
    group.get_by_role("radio", name="Off", exact=True).check()
    page.get_by_role("button", name="Review", exact=True).click()
    expect(page.get_by_text("Goes off (1)")).to_be_visible()
    page.get_by_role("button", name="Apply").click()


def test_what_a_trader_switches_off_is_gone_from_the_feed_until_it_is_undone(
    portal: Portal,
    secrets: tuple[str, str],
    streams: tuple[Stream, Stream],
    tina: User,
    open_page: OpenPage,
) -> None:
    """Of another tenant nothing is gone."""
    acme, globex = streams
    assert acme.brings(CODE, after=0) and CODE in offered(portal, secrets[0])
    page = open_page(tina)

    switch_off(page)
    expect(page.get_by_text("Revision 1 is applied.")).to_be_visible()
    applied_at = time.monotonic()
    while CODE in offered(portal, secrets[0]):
        assert time.monotonic() < applied_at + LATE_SECONDS
    assert CODE in offered(portal, secrets[1])
    time.sleep(LATE_SECONDS + MOVES_SECONDS)
    late = [each for at, each in acme.seen if at > applied_at + LATE_SECONDS]
    assert late and CODE not in late
    assert globex.brings(CODE, after=applied_at)

    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Revision 2 is applied.")).to_be_visible()
    undone_at = time.monotonic()
    while CODE not in offered(portal, secrets[0]):
        assert time.monotonic() < undone_at + LATE_SECONDS
    assert acme.brings(CODE, after=undone_at)
