"""Back, reload, a double click, two tabs: nothing is done twice, and nothing is seen again."""

import re

import pytest
from playwright.sync_api import Error, Page, expect

from accounts.models import Tenant, User
from apikeys.models import ApiKey
from tests.browser.conftest import OpenPage, sign_out
from tests.conftest import MakeKey

pytestmark = pytest.mark.browser


def test_back_after_signing_out_shows_nothing(
    alice: User, acme: Tenant, make_key: MakeKey, open_page: OpenPage
) -> None:
    make_key(acme, label="Pricing")
    page = open_page(alice)
    page.goto("/client/api-access")
    expect(page.get_by_role("link", name="Pricing")).to_be_visible()
    sign_out(page)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()

    page.go_back()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_text("Pricing")).to_have_count(0)


def test_back_to_the_page_of_a_secret_does_not_show_it_again(
    alice: User, open_page: OpenPage
) -> None:
    page = open_page(alice)
    fill_new_key(page)
    page.get_by_role("button", name="Create key").click()
    secret = page.get_by_label("API key", exact=True).input_value()
    page.get_by_role("link", name="I have saved it").click()
    expect(page.get_by_role("heading", name="API Access")).to_be_visible()

    with pytest.raises(Error, match="ERR_CACHE_MISS"):  # "Confirm form resubmission"
        page.go_back()
    expect(page.get_by_label("API key", exact=True)).to_have_count(0)
    expect(page.get_by_text(secret)).to_have_count(0)


def test_a_double_click_makes_one_key_and_shows_its_secret(
    alice: User, open_page: OpenPage
) -> None:
    page = open_page(alice)
    fill_new_key(page)
    page.get_by_role("button", name="Create key").dblclick()

    expect(page.get_by_label("API key", exact=True)).to_be_visible()
    assert ApiKey.objects.count() == 1


def test_a_double_click_without_javascript_makes_one_key(alice: User, open_page: OpenPage) -> None:
    page = open_page(alice, java_script_enabled=False)
    fill_new_key(page)
    page.get_by_role("button", name="Create key").dblclick()

    # Whichever answer the browser kept: the secret, or the page that names the key.
    expect(page.get_by_role("heading", level=1)).to_have_text(
        re.compile("Save this key now|This key is made already")
    )
    assert ApiKey.objects.count() == 1


def test_the_form_in_a_second_tab_makes_a_second_key(alice: User, open_page: OpenPage) -> None:
    page = open_page(alice)
    other_tab = page.context.new_page()
    for tab in (page, other_tab):
        fill_new_key(tab)
    for tab in (page, other_tab):
        tab.get_by_role("button", name="Create key").click()
        expect(tab.get_by_label("API key", exact=True)).to_be_visible()
    assert ApiKey.objects.count() == 2


def test_reloading_the_secrets_page_makes_no_second_key_and_names_the_first(
    alice: User, open_page: OpenPage
) -> None:
    page = open_page(alice)
    fill_new_key(page)
    page.get_by_role("button", name="Create key").click()
    secret = page.get_by_label("API key", exact=True).input_value()

    answer = page.reload()
    assert answer is not None
    assert answer.status == 409
    expect(page.get_by_text("made the key “Pricing”")).to_be_visible()
    expect(page.get_by_text("If you did not see its secret, rotate it.")).to_be_visible()
    assert secret not in page.content()
    page.get_by_role("link", name="Rotate").click()
    expect(page.get_by_role("button", name="Rotate key")).to_be_visible()
    assert ApiKey.objects.count() == 1


def test_of_two_tabs_that_rotate_the_second_is_told_who_was_first_and_rotates_nothing(
    alice: User, acme: Tenant, make_key: MakeKey, open_page: OpenPage
) -> None:
    key, _ = make_key(acme)
    page = open_page(alice)
    other_tab = page.context.new_page()
    for tab in (page, other_tab):
        tab.goto(f"/client/api-access/{key.pk}/rotate")
    page.get_by_role("button", name="Rotate key").click()
    expect(page.get_by_label("API key", exact=True)).to_be_visible()

    other_tab.get_by_role("button", name="Rotate key").click()
    expect(other_tab.get_by_role("heading", name="This page was out of date")).to_be_visible()
    expect(other_tab.get_by_role("definition").filter(has_text="Alice")).to_be_visible()
    assert key.secrets.count() == 2


def fill_new_key(page: Page) -> None:
    page.goto("/client/api-access/new")
    page.get_by_label("Label").fill("Pricing")
