"""Light and dark: the device's choice, until somebody makes their own."""

import pytest
from playwright.sync_api import Page, expect

from accounts.models import User
from tests.browser.conftest import OpenPage

pytestmark = pytest.mark.browser


def test_the_theme_one_has_chosen_holds_whatever_the_device_says(
    alice: User, open_page: OpenPage
) -> None:
    page = open_page(alice, color_scheme="light")
    page.goto("/client/profile/preferences")
    by_the_device = background(page)

    choose(page, "Dark")
    by_choice = background(page)
    assert by_choice != by_the_device
    page.emulate_media(color_scheme="dark")
    assert background(page) == by_choice

    page.goto("/client/profile/preferences")
    choose(page, "As the device")
    assert background(page) == by_choice
    page.emulate_media(color_scheme="light")
    assert background(page) == by_the_device


def choose(page: Page, theme: str) -> None:
    page.get_by_label(theme).check()
    page.get_by_role("button", name="Save preferences").click()
    expect(page.get_by_text("Preferences saved.")).to_be_visible()


def background(page: Page) -> str:
    colour: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return colour
