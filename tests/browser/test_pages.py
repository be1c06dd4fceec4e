"""Every page, in every state worth seeing: accessible, in both themes, from 320 px to wide.

PORTAL_SCREENSHOTS=<folder> keeps a picture of each.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_SCRIPT, AxeResults
from playwright.sync_api import Page

from accounts.models import Tenant, User
from tests.access import TABLE
from tests.browser import (  # noqa: F401 - each adds its scenes
    scenes_delivery,
    scenes_entrance,
    scenes_keys,
    scenes_markets,
    scenes_own,
    scenes_staff,
    scenes_team,
    scenes_usage,
    scenes_usage_page,
)
from tests.browser.conftest import OpenPage
from tests.browser.live import Portal
from tests.browser.stage import SCENES, Stage

# Each width and each theme is asked about every rule once, and each pair of them about colours.
ALL_RULES: dict[str, object] = {}
COLOURS: dict[str, object] = {"runOnly": ["color-contrast", "link-in-text-block"]}
VARIANTS = (
    (1280, "light", ALL_RULES),
    (1280, "dark", COLOURS),
    (320, "light", COLOURS),
    (320, "dark", ALL_RULES),
)
# For machines, spreadsheets and scripts.
NO_PAGES = {
    *("client/activity.csv", "client/markets.csv", "client/usage.csv"),
    *("healthz", "readyz", "staff/jsi18n/"),
}
UNTIL_THE_COLOURS_REST = "Promise.all(document.getAnimations().map(change => change.finished))"
AXE = "rules => axe.run({resultTypes: ['violations'], preload: false, ...rules})"
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture
def stage(portal: Portal, open_page: OpenPage, acme: Tenant, alice: User) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(portal, open_page, acme, alice, stack)


@pytest.mark.browser
@pytest.mark.parametrize("name", SCENES)
def test_the_page_can_be_used_by_all_in_both_themes_and_at_any_width(
    name: str, stage: Stage
) -> None:
    page = SCENES[name].on(stage)
    page.evaluate(AXE_SCRIPT)
    found = {}
    for width, theme, rules in VARIANTS:
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=theme)
        page.evaluate(UNTIL_THE_COLOURS_REST)
        keep_picture(page, f"{name}-{width}-{theme}")
        results = AxeResults(page.evaluate(AXE, rules))
        if results.violations_count:
            found[width, theme] = results.generate_report()
        assert page.evaluate(SIDEWAYS) == 0, f"one has to scroll sideways at {width} px"
    assert not found, "\n".join(f"{variant}: {report}" for variant, report in found.items())

    open_in_russian(page)  # whose words are longer
    keep_picture(page, f"{name}-320-russian")
    assert page.evaluate(SIDEWAYS) == 0, "one has to scroll sideways at 320 px in Russian"


def test_every_route_that_shows_a_page_is_on_that_walk() -> None:
    pages = {route for route, (letters, _) in TABLE.items() if "o" in letters}
    walked = {scene.route for scene in SCENES.values()}

    assert pages - walked - NO_PAGES == set()


def open_in_russian(page: Page) -> None:
    """What is at the page's address, for somebody who reads Russian."""
    User.objects.update(language="ru")
    page.set_extra_http_headers({"Accept-Language": "ru"})
    page.goto(page.url)


def keep_picture(page: Page, name: str) -> None:
    if folder := os.environ.get("PORTAL_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
