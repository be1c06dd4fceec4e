"""Markets: the page, the review, the default, the history, the import; and staff's catalogue."""

import io
from pathlib import Path
from tempfile import TemporaryDirectory

from django.core.management import call_command
from playwright.sync_api import Page

from accounts.models import Role
from markets.models import Group, MarketType, Sport
from portal.launch.run import MARKET_TYPES
from portal.lib import clock
from tests.browser.stage import Stage, scene
from tests.conftest import make_member
from tests.markets import add, switch

MARKETS = "client/markets"
PANEL = "staff/markets"
CHANGE = "<path:object_id>/change/"


def with_catalogue(stage: Stage) -> Stage:
    """The project's own."""
    call_command("load_market_types", MARKET_TYPES, stdout=io.StringIO())
    return stage


def with_choices(stage: Stage) -> Stage:
    """Tina switched two off, one on, and one back."""
    tina = make_member(with_catalogue(stage).acme, "Tina", Role.TRADER)
    switch(stage.acme, tina, awp_kill="off", headshot_opening="off")
    switch(stage.acme, tina, bomb_plant="on", awp_kill="default")
    return stage


@scene(MARKETS, "Markets")
def markets_on_the_first_day(stage: Stage) -> Page:
    return with_catalogue(stage).as_alice("/client/markets")


@scene(MARKETS, "Markets")
def markets_without_a_catalogue(stage: Stage) -> Page:
    return stage.as_alice("/client/markets")


@scene(MARKETS, "Markets")
def markets_for_a_viewer(stage: Stage) -> Page:
    victor = make_member(with_choices(stage).acme, "Victor", Role.VIEWER)
    return stage.seen_by(victor, "/client/markets")


@scene(MARKETS, "Markets")
def markets_with_new_types_and_retired_ones(stage: Stage) -> Page:
    with_choices(stage)
    with TemporaryDirectory() as folder:
        add(Path(folder), *[f"plain_new_{number}" for number in range(7)])
    MarketType.objects.filter(code="ace").update(retired_at=clock.now())
    page = stage.as_alice("/client/markets")
    page.get_by_text("Taken out of the catalogue").click()
    return page


@scene(MARKETS, "Markets")
def markets_filtered(stage: Stage) -> Page:
    return with_choices(stage).as_alice("/client/markets?q=headshot")


@scene(MARKETS, "Markets")
def markets_filtered_to_nothing(stage: Stage) -> Page:
    return with_choices(stage).as_alice("/client/markets?q=nothing+like+this")


@scene(f"{MARKETS}/review", "Review")
def markets_review(stage: Stage) -> Page:
    page = with_choices(stage).as_alice("/client/markets")
    for code, choice in (("ace", "off"), ("headshot_opening", "on"), ("knife_kill", "on")):
        page.locator(f"input[name=choice-{code}][value={choice}]").check()
    page.get_by_role("button", name="Review", exact=True).click()
    page.get_by_role("heading", name="What will happen").wait_for()
    return page


@scene(f"{MARKETS}/review", "Review")
def markets_review_of_many(stage: Stage) -> Page:
    page = with_choices(stage).as_alice("/client/markets")
    page.get_by_role("group", name="Kills").get_by_role("button", name="All off").click()
    page.get_by_role("heading", name="What will happen").wait_for()
    return page


@scene(f"{MARKETS}/apply", "Review")
def markets_applied_too_late(stage: Stage) -> Page:
    page = with_choices(stage).as_alice("/client/markets")
    page.locator("input[name=choice-ace][value=off]").check()
    tina = stage.acme.memberships.get(user__username="Tina").user
    switch(stage.acme, tina, ace="on", knife_kill="off")
    page.get_by_role("button", name="Apply").click()
    page.get_by_text("changed something since").wait_for()
    return page


@scene(MARKETS, "Markets")
def markets_applied(stage: Stage) -> Page:
    page = with_choices(stage).as_alice("/client/markets")
    page.locator("input[name=choice-ace][value=off]").check()
    page.get_by_role("button", name="Apply").click()
    page.get_by_role("button", name="Undo").wait_for()
    return page


@scene(f"{MARKETS}/edit", "Markets")
def markets_on_the_way_back_from_the_review(stage: Stage) -> Page:
    page = markets_review(stage)
    page.get_by_role("button", name="Go on choosing").click()
    page.get_by_role("heading", name="Markets").wait_for()
    return page


@scene(f"{MARKETS}/enable-all", "Enable all")
def markets_enable_all(stage: Stage) -> Page:
    return with_choices(stage).as_alice("/client/markets/enable-all")


@scene(f"{MARKETS}/disable-all", "Disable all")
def markets_disable_all(stage: Stage) -> Page:
    return with_choices(stage).as_alice("/client/markets/disable-all")


@scene(f"{MARKETS}/disable-all", "Disable all")
def markets_disable_all_with_a_wrong_word(stage: Stage) -> Page:
    page = markets_disable_all(stage)
    page.get_by_label("Confirm").fill("globex")
    page.get_by_role("button", name="Disable all").click()
    page.get_by_role("alert").wait_for()
    return page


@scene(f"{MARKETS}/history", "History of markets")
def markets_history(stage: Stage) -> Page:
    return with_choices(stage).as_alice("/client/markets/history")


@scene(f"{MARKETS}/history", "History of markets")
def markets_history_that_is_empty(stage: Stage) -> Page:
    return stage.as_alice("/client/markets/history")


@scene(f"{MARKETS}/history/<int:number>", "Revision 1")
def markets_revision(stage: Stage) -> Page:
    return with_choices(stage).as_alice("/client/markets/history/1")


@scene(f"{MARKETS}/import", "Import CSV")
def markets_import(stage: Stage) -> Page:
    return with_catalogue(stage).as_alice("/client/markets/import")


@scene(f"{MARKETS}/import", "Import CSV")
def markets_import_with_bad_lines(stage: Stage) -> Page:
    page = markets_import(stage)
    sheet = "code,choice\nace,off\nnonsense,on\nawp_kill,perhaps\n"
    file = {"name": "markets.csv", "mimeType": "text/csv", "buffer": sheet.encode()}
    page.get_by_label("CSV file").set_input_files(files=[file])  # type: ignore[list-item]
    page.get_by_role("button", name="Review").click()
    page.get_by_role("alert").wait_for()
    return page


@scene("client/", "Overview")
def overview_with_markets_off(stage: Stage) -> Page:
    return with_choices(stage).as_alice("/client/")


@scene(f"{PANEL}/sport/", "Sports")
def sports(stage: Stage) -> Page:
    return with_catalogue(stage).as_staff(f"/{PANEL}/sport/")


@scene(f"{PANEL}/sport/add/", "Add sport")
def sport_to_be_added(stage: Stage) -> Page:
    return stage.as_staff(f"/{PANEL}/sport/add/")


@scene(f"{PANEL}/sport/{CHANGE}", "Change sport")
def sport(stage: Stage) -> Page:
    with_catalogue(stage)
    return stage.as_staff(f"/{PANEL}/sport/{Sport.objects.get().pk}/change/")


@scene(f"{PANEL}/group/", "Groups of market types")
def groups(stage: Stage) -> Page:
    return with_catalogue(stage).as_staff(f"/{PANEL}/group/")


@scene(f"{PANEL}/group/add/", "Add group of market types")
def group_to_be_added(stage: Stage) -> Page:
    return with_catalogue(stage).as_staff(f"/{PANEL}/group/add/")


@scene(f"{PANEL}/group/{CHANGE}", "Change group of market types")
def group(stage: Stage) -> Page:
    with_catalogue(stage)
    return stage.as_staff(f"/{PANEL}/group/{Group.objects.get(code='kills').pk}/change/")


@scene(f"{PANEL}/markettype/", "Market types")
def types(stage: Stage) -> Page:
    return with_catalogue(stage).as_staff(f"/{PANEL}/markettype/")


@scene(f"{PANEL}/markettype/add/", "Add market type")
def type_to_be_added(stage: Stage) -> Page:
    return with_catalogue(stage).as_staff(f"/{PANEL}/markettype/add/")


@scene(f"{PANEL}/markettype/add/", "Add market type")
def type_to_be_added_with_errors(stage: Stage) -> Page:
    page = type_to_be_added(stage)
    page.get_by_label("Code").fill("ace")
    page.get_by_role("button", name="Add market type").click()
    page.locator(".errornote").wait_for()
    return page


@scene(f"{PANEL}/markettype/{CHANGE}", "Change market type")
def type_of_market(stage: Stage) -> Page:
    with_catalogue(stage)
    ace = MarketType.objects.get(code="ace")
    return stage.as_staff(f"/{PANEL}/markettype/{ace.pk}/change/")


@scene(f"{PANEL}/markettype/{CHANGE}", "View market type")
def type_taken_out_just_now(stage: Stage) -> Page:
    page = type_of_market(stage)
    page.get_by_role("button", name="Take out for good").click()
    page.get_by_role("heading", name="Take “ace” out for good").wait_for()
    page.get_by_role("button", name="Take out for good").click()
    page.get_by_text("its code is never used again").first.wait_for()
    return page
