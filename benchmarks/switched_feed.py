"""How long after **Apply** the feed obeys: pressed in Chromium, seen by REST and on a WebSocket.

    .venv/bin/python -m benchmarks.switched_feed [--times 20]

From the moment in which the browser sends the form until the first answer of the sample feed came
without the type, and until the first frame that says so on a WebSocket opened before. Pages,
door and sample feed are one process, the feed with the WebSocket (benchmarks/peers/asking_feed.py)
is another; both are asked 200 times a second. After each time the page switches the type on again.
"""

import argparse
import asyncio
import http.client
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from playwright.sync_api import Page, sync_playwright
from websockets.sync.client import connect

from benchmarks.client import signed_in
from benchmarks.peers.asking_feed import CODE, EVERY_SECONDS
from benchmarks.programs import program
from benchmarks.rig import granian, manage, rig, served
from benchmarks.stage import PASSWORD, ROOT, machine, say

PATIENCE_SECONDS = 30
WAYS = ("by REST", "on an open WebSocket")
CATALOGUE = ROOT / "markets" / "data" / "market_types.json"

_TRADER = """
from accounts.models import Membership, Role, Tenant, User
user = User(username="Tina", email="tina@example.com")
user.set_password(%(password)r)
user.save()
Membership.objects.create(tenant=Tenant.objects.get(), user=user, role=Role.TRADER)
"""
# The browser's own clock is the machine's. Kept where the next page finds it.
_NOTE_THE_MOMENT = """
document.querySelector("[data-markets]").addEventListener("submit", () =>
  sessionStorage.setItem("pressed", Date.now()))
"""


class Watch:
    """Asks on and on, in a thread, whether the type is on, and keeps when the answer changed."""

    def __init__(self, ask: Callable[[], bool]) -> None:
        self._ask = ask
        self._turns: list[tuple[float, bool]] = []
        self._is_over = False
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self._thread.start()

    def seconds_until(self, is_on: bool, since: float) -> float:
        """From a moment (Unix time) to the answer; SystemExit where it does not come."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            if found := [at for at, answer in self._turns if at >= since and answer is is_on]:
                return found[0] - since
            time.sleep(0.01)
        raise SystemExit(f"the feed does not know that {CODE} is {'on' if is_on else 'off'}")

    def close(self) -> None:
        """Ask no more."""
        self._is_over = True
        self._thread.join(PATIENCE_SECONDS)

    def _go_on(self) -> None:
        last = None
        while not self._is_over:
            answer = self._ask()
            if answer is not last:
                self._turns.append((time.time(), answer))
                last = answer


def main() -> None:
    """Off and on, so many times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    given = parser.parse_args()
    chromium = program("chromium", "chromium")
    say(machine())
    with rig(keys=1, tenants=1) as made, ExitStack() as stack:
        manage(made, "collectstatic", "--no-input", "-v0")
        manage(made, "shell", "-v0", "-c", _TRADER % {"password": PASSWORD})
        manage(made, "load_market_types", str(CATALOGUE), "-v0")
        whole = granian("portal.asgi:application")
        portal = stack.enter_context(served(made, "portal", whole, EXAMPLE_FEED="1"))
        feed = stack.enter_context(
            served(made, "feed", granian("benchmarks.peers.asking_feed:application"))
        )
        time.sleep(1)  # until the first proof that changes are heard
        key = made.keys.read_text().strip()
        rest = stack.enter_context(_watch_rest(portal.port, key))
        stream = stack.enter_context(_watch_stream(feed.port, key))
        page = stack.enter_context(_page(chromium, portal.port))
        found = [_switch_off_and_on(page, rest, stream) for _ in range(given.times)]
    for way, seconds in zip(WAYS, zip(*found, strict=True), strict=True):
        say(
            f"from Apply to the feed {way}: p50 {statistics.median(seconds) * 1000:.0f}, "
            f"worst {max(seconds) * 1000:.0f} ms ({len(seconds)} times)"
        )


def _switch_off_and_on(page: Page, *watches: Watch) -> tuple[float, ...]:
    """Seconds until each of them knew that the type is off."""
    switched_off_at = _apply(page, "Off")
    found = tuple(each.seconds_until(False, switched_off_at) for each in watches)
    switched_on_at = _apply(page, "On")
    for each in watches:
        each.seconds_until(True, switched_on_at)
    return found


def _apply(page: Page, choice: str) -> float:
    """Choose it for the type, press **Apply**; the moment of the press, as Unix time."""
    page.goto("/client/markets")
    page.locator(f"input[name=choice-{CODE}][value={choice.lower()}]").check()
    page.evaluate(_NOTE_THE_MOMENT)
    page.get_by_role("button", name="Apply", exact=True).click()
    page.get_by_text("is applied.").wait_for()
    return float(page.evaluate("sessionStorage.getItem('pressed')")) / 1000


@contextmanager
def _page(chromium: str, port: int) -> Iterator[Page]:
    """Of a trader who has signed in."""
    url = f"http://localhost:{port}"
    cookies = asyncio.run(signed_in(port, "Tina"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(base_url=url, locale="en-GB")
        context.add_cookies([{"name": n, "value": v, "url": url} for n, v in cookies.items()])
        yield context.new_page()
        browser.close()


@contextmanager
def _watch_rest(port: int, key: str) -> Iterator[Watch]:
    """The sample feed: is the type on sale in a match that is being played?"""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    match: dict[str, Any] = {"state": "over"}

    def get(path: str) -> Any:
        connection.request("GET", f"/cs2/v1/matches{path}", headers={"X-API-Key": key})
        return json.load(connection.getresponse())["data"]

    def is_on_sale() -> bool:
        nonlocal match
        time.sleep(EVERY_SECONDS)
        while match["state"] != "live":
            match = next(each for each in get("") if each["state"] == "live")
        match = get(f"/{match['id']}")
        return any(each["type"] == CODE for each in match["markets"])

    watch = Watch(is_on_sale)
    yield watch
    watch.close()


@contextmanager
def _watch_stream(port: int, key: str) -> Iterator[Watch]:
    url = f"ws://127.0.0.1:{port}/cs2/v1/stream?api_key={key}"
    given: dict[str, Any] = {"compression": None, "close_timeout": 1}
    # The feed listens to nothing, pings neither.
    with connect(url, proxy=None, ping_interval=None, **given) as connection:
        watch = Watch(lambda: connection.recv(timeout=PATIENCE_SECONDS) == "1")
        yield watch
        watch.close()


if __name__ == "__main__":
    main()
