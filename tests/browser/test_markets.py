"""Markets in a real browser: by keyboard, on a phone, without JavaScript, and by two at once."""

import io
from typing import Any

import pytest
from django.core.management import call_command
from playwright.sync_api import Locator, Page, expect

from accounts.models import Tenant, User
from portal.launch.run import MARKET_TYPES
from tests.browser.conftest import OpenPage
from tests.markets import disabled, switch

pytestmark = pytest.mark.browser

WITHOUT_JAVASCRIPT = {"java_script_enabled": False}
PHONE = {"viewport": {"width": 320, "height": 640}, "has_touch": True}
STEPS = 80  # a bound on how often Tab is pressed


@pytest.fixture(autouse=True)
def catalogue(database: None) -> None:
    """The project's own, committed."""
    call_command("load_market_types", MARKET_TYPES, stdout=io.StringIO())


def choice(page: Page, name: str, word: str) -> Locator:
    """One of a type's three buttons."""
    return page.get_by_role("radiogroup", name=name).get_by_role("radio", name=word, exact=True)


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the target has the focus, and can be seen."""
    for _ in range(STEPS):
        if target.evaluate("each => each === document.activeElement"):
            break
        page.keyboard.press("Tab")
    expect(target).to_be_focused()
    expect(target).to_be_in_viewport()
    covered = "each => { const b = each.getBoundingClientRect(); const at = document"
    covered += ".elementFromPoint(b.x + b.width / 2, b.y + b.height / 2);"
    covered += " return !(each.contains(at) || at.contains(each)); }"
    assert not target.evaluate(covered), "something lies over what has the focus"


@pytest.mark.parametrize("size", [{}, PHONE], ids=["wide", "320 px"])
def test_a_trader_finds_a_type_switches_it_off_and_undoes_it_by_keyboard_alone(
    size: dict[str, Any], acme: Tenant, globex: Tenant, tina: User, open_page: OpenPage
) -> None:
    page = open_page(tina, **size)
    page.goto("/client/markets")
    tab_to(page, page.get_by_label("Search"))
    page.keyboard.type("headshot")
    expect(page.get_by_role("radiogroup")).to_have_count(2)
    assert page.url.endswith("/client/markets?q=headshot")
    name = "Opening kill is a headshot"
    tab_to(page, choice(page, name, "Default (on)"))
    page.keyboard.press("ArrowLeft")  # round to the last of the three
    expect(choice(page, name, "Off")).to_be_checked()
    expect(page.get_by_text("Changed: 1")).to_be_visible()
    page.keyboard.press("Enter")  # the form's first button, which is the review

    expect(page.get_by_role("heading", level=1, name="Review")).to_be_visible()
    expect(page.get_by_text("Goes off (1)")).to_be_visible()
    assert disabled(acme) == (0, [])
    tab_to(page, page.get_by_role("button", name="Apply"))
    page.keyboard.press("Enter")

    expect(page.get_by_text("Revision 1 is applied.")).to_be_visible()
    assert disabled(acme) == (1, ["headshot_opening"]) and disabled(globex) == (0, [])
    tab_to(page, page.get_by_role("button", name="Undo"))
    page.keyboard.press("Enter")
    expect(page.get_by_text("Revision 2 is applied.")).to_be_visible()
    assert disabled(acme) == (2, [])
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def test_the_same_without_javascript(acme: Tenant, tina: User, open_page: OpenPage) -> None:
    page = open_page(tina, **WITHOUT_JAVASCRIPT)
    page.goto("/client/markets")
    page.get_by_label("Search").fill("headshot")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("radiogroup")).to_have_count(2)
    choice(page, "Total headshot kills in round", "Off").check()
    page.get_by_role("button", name="Review", exact=True).click()
    page.get_by_role("button", name="Go on choosing").click()
    expect(choice(page, "Total headshot kills in round", "Off")).to_be_checked()
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("Revision 1 is applied.")).to_be_visible()
    assert disabled(acme) == (1, ["total_headshots"])
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Revision 2 is applied.")).to_be_visible()
    assert disabled(acme) == (2, [])


def test_what_is_chosen_stays_chosen_while_the_filter_moves_on(
    acme: Tenant, tina: User, open_page: OpenPage
) -> None:
    """Found, chosen, something else found and chosen: one review has both."""
    page = open_page(tina)
    page.goto("/client/markets?state=own")
    expect(page.get_by_text("Nothing matches this filter")).to_be_visible()
    page.get_by_label("State").select_option("All")
    for search, name in (("ace", "Ace in round"), ("knife", "Knife kill in round")):
        page.get_by_label("Search").fill(search)
        choice(page, name, "Off").check()
    page.get_by_label("Search").press("Enter")  # filters, and sends nothing away
    page.get_by_label("Group").select_option("Weapons")
    expect(page.get_by_role("radiogroup")).to_have_count(1)
    expect(page.get_by_text("Changed: 2")).to_be_visible()
    page.get_by_role("button", name="Review", exact=True).click()
    expect(page.get_by_text("Goes off (2)")).to_be_visible()


def test_what_the_browsers_back_brings_along_is_counted_as_chosen(
    tina: User, open_page: OpenPage
) -> None:
    page = open_page(tina)
    page.goto("/client/markets")
    for name in ("AWP kill in round", "Ace in round", "Knife kill in round"):
        choice(page, name, "Off").check()
    page.get_by_role("button", name="Review", exact=True).click()
    expect(page.get_by_text("Goes off (3)")).to_be_visible()
    page.go_back()
    expect(choice(page, "Ace in round", "Off")).to_be_checked()
    expect(page.get_by_text("Changed: 3")).to_be_visible()


def test_letters_with_dots_are_found_without_them(tina: User, open_page: OpenPage) -> None:
    """As Russian is typed; without JavaScript the server finds the same."""
    page = open_page(tina)
    page.goto("/client/markets")
    for search in ("пулемет", "ПУЛЕМЁТ"):
        page.get_by_label("Search").fill(search)
        expect(page.get_by_role("radiogroup")).to_have_count(1)
        expect(page.get_by_role("radiogroup", name="SMG kill in round")).to_be_visible()


def test_two_browsers_at_once_lose_nothing(
    acme: Tenant, tina: User, alice: User, open_page: OpenPage
) -> None:
    first, second = open_page(tina), open_page(alice)
    for page in (first, second):
        page.goto("/client/markets")
    choice(first, "AWP kill in round", "Off").check()
    choice(second, "Ace in round", "Off").check()
    first.get_by_role("button", name="Apply").click()
    expect(first.get_by_text("Revision 1 is applied.")).to_be_visible()

    second.get_by_role("button", name="Apply").click()
    expect(second.get_by_text("Tina changed something since you opened the page")).to_be_visible()
    expect(second.get_by_text("Went off (1)")).to_be_visible()
    assert disabled(acme) == (1, ["awp_kill"])
    second.get_by_role("button", name="Apply").click()
    expect(second.get_by_text("Revision 2 is applied.")).to_be_visible()
    assert disabled(acme) == (2, ["ace", "awp_kill"])


def test_disabling_all_is_confirmed_by_a_typed_word_and_a_restored_revision_brings_it_back(
    acme: Tenant, tina: User, open_page: OpenPage
) -> None:
    switch(acme, tina, ace="off")
    page = open_page(tina)
    page.goto("/client/markets")
    page.get_by_role("link", name="Disable all").click()
    page.get_by_role("button", name="Disable all").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert disabled(acme) == (1, ["ace"])
    page.get_by_label("Confirm").fill("acme")
    page.get_by_role("button", name="Disable all").click()
    expect(page.get_by_text("57 types went off.")).to_be_visible()
    assert len(disabled(acme)[1]) == 58

    page.get_by_role("link", name="History").click()
    page.get_by_role("row", name="1 20").get_by_role("link", name="Restore").click()
    expect(page.get_by_text("Goes on (57)")).to_be_visible()
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_text("Revision 3 is applied. 57 types went on.")).to_be_visible()
    assert disabled(acme) == (3, ["ace"])


def test_a_file_goes_through_the_review(acme: Tenant, tina: User, open_page: OpenPage) -> None:
    page = open_page(tina)
    page.goto("/client/markets")
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download CSV").click()
    sheet = downloading.value.path().read_text()
    page.get_by_role("link", name="Import CSV").click()
    for text, said in (
        (sheet.replace("ace,default", "ace,perhaps"), "“perhaps” is no choice"),
        (sheet.replace("ace,default", "ace,off"), "Goes off (1)"),
    ):
        file: Any = {"name": "m.csv", "mimeType": "text/csv", "buffer": text.encode()}
        page.get_by_label("CSV file").set_input_files(files=[file])
        page.get_by_role("button", name="Review").click()
        expect(page.get_by_text(said).first).to_be_visible()
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("Revision 1 is applied.")).to_be_visible()
    assert disabled(acme) == (1, ["ace"])
