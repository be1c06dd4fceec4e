"""Markets elsewhere: on the Overview, and what staff do to the catalogue."""

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Tenant, User
from accounts.origin import COMMAND_LINE
from markets.models import Group, MarketType
from markets.overview import market_overview
from markets.services.choices import restore_revision, set_default
from markets.state import state_of
from portal.lib import clock
from tests.conftest import signed_in
from tests.markets import add, all_codes, disabled, many_types, switch
from tests.pages import Page, text

pytestmark = pytest.mark.usefixtures("catalogue")


def test_the_overview_says_what_is_off_since_when_and_by_whom(
    acme: Tenant, tina: User, alice: User, victor: User
) -> None:
    switch(acme, alice, ace="off")
    clock.move(dt.timedelta(hours=3))
    switch(acme, tina, awp_kill="off", bomb_plant="on")
    page = text(signed_in(victor).get("/client/"))
    assert "2 of 58 are off" in page
    ace, awp = (
        page.index(f"{name}, since")
        for name in ("Ace in round Alice", "AWP kill in round Tina")
    )  # fmt: skip
    assert awp < ace, "the last one first"
    now = clock.now()
    earlier = now - dt.timedelta(hours=3)
    assert f"Ace in round Alice, since {earlier:%Y-%m-%d %H:%M} UTC" in page
    assert f"AWP kill in round Tina, since {now:%Y-%m-%d %H:%M} UTC" in page
    assert "Revision 2 Types switched Off: AWP kill in round" in page


def test_off_since_is_the_last_time_it_went_off(acme: Tenant, tina: User) -> None:
    switch(acme, tina, ace="off")
    clock.move(dt.timedelta(hours=1))
    switch(acme, tina, ace="on")
    clock.move(dt.timedelta(hours=1))
    switch(acme, tina, ace="default", awp_kill="off")
    clock.move(dt.timedelta(hours=1))
    by: dict[str, Any] = {"tenant": acme, "actor": tina, "origin": COMMAND_LINE}
    set_default(**by, revision=3, default_on=False, keep_overrides=True)
    flipped_at = state_of(acme).changed_at
    found = {each.market_type.code: each for each in market_overview(acme, state_of(acme)).off}
    assert len(found) == 5 and {each.since for each in found.values()} == {flipped_at}
    restore_revision(**by, revision=4, number=1)
    (only,) = market_overview(acme, state_of(acme)).off
    assert (only.market_type.code, only.since) == ("ace", flipped_at)


def test_a_type_that_came_to_a_default_that_is_off_is_off_since_it_came(
    acme: Tenant, tina: User, tmp_path: Any
) -> None:
    by: dict[str, Any] = {"tenant": acme, "actor": tina, "origin": COMMAND_LINE}
    set_default(**by, revision=0, default_on=False, keep_overrides=True)
    clock.move(dt.timedelta(hours=1))
    add(tmp_path, "plain_new")
    first = market_overview(acme, state_of(acme)).off[0]
    assert first.market_type.code == "plain_new" and first.by == ""
    assert first.since == first.market_type.announced_at
    page = text(signed_in(tina).get("/client/"))
    assert "1 new type waits to be looked at" in page and "Off by default" in page


def test_on_the_first_day_everything_is_on_and_markets_are_a_first_step(
    acme: Tenant, tina: User
) -> None:
    client = signed_in(tina)
    page = text(client.get("/client/"))
    assert "Choose your markets To do" in page and "Every type is on." in page
    switch(acme, tina, ace="off")
    assert "Choose your markets Done" in text(client.get("/client/"))


@pytest.mark.parametrize("page", ["", "markets", "markets?q=type_1", "markets.csv"])
def test_500_types_cost_the_queries_of_58(
    acme: Tenant, tina: User, tmp_path: Any, page: str
) -> None:
    client = signed_in(tina)
    costs = []
    for number in (58, 500):
        if number == 500:
            many_types(tmp_path, number)
        switch(acme, tina, **dict.fromkeys(live_codes()[:number:2], "off"))
        client.get(f"/client/{page}")  # the catalogue is read once
        with CaptureQueriesContext(connection) as queries:
            assert client.get(f"/client/{page}").status_code == 200
        costs.append(len(queries))
    assert costs[0] == costs[1] <= 8


def live_codes() -> list[str]:
    codes = MarketType.objects.filter(retired_at=None).values_list("code", flat=True)
    return sorted(codes)


@pytest.fixture
def panel(sam: User) -> Client:
    """Sam's browser, in the panel."""
    return signed_in(sam, has_second_factor=True)


PLACE = {"name_en": "Five kills", "name_ru": "Пять убийств", "sort_order": 5}


def test_staff_add_a_type_which_follows_each_tenants_default(
    acme: Tenant, globex: Tenant, tina: User, mallory: User, panel: Client
) -> None:
    by: dict[str, Any] = {"actor": mallory, "origin": COMMAND_LINE, "revision": 0}
    set_default(tenant=globex, default_on=False, keep_overrides=True, **by)
    group = Group.objects.get(code="kills")
    form = PLACE | {"code": "five", "group": group.pk, "settlement": "live", "specifiers": "map, n"}
    answer = panel.post("/staff/markets/markettype/add/", form, follow=True)
    assert "“five” is in the catalogue." in text(answer)
    added = MarketType.objects.get(code="five")
    assert added.specifiers == ["map", "n"] and added.outcomes == []
    assert "five" not in disabled(acme)[1] and "five" in disabled(globex)[1]
    assert [each.code for each in state_of(acme).new_types] == ["five"]


def test_staff_rename_a_type_and_its_code_stays(acme: Tenant, tina: User, panel: Client) -> None:
    ace = MarketType.objects.get(code="ace")
    form = PLACE | {"code": "other", "group": ace.group_id, "settlement": "end_of_round"}
    panel.post(f"/staff/markets/markettype/{ace.pk}/change/", form)
    ace.refresh_from_db()
    assert (ace.code, ace.name_en, ace.settlement) == ("ace", "Five kills", "end_of_round")
    assert "Five kills ace" in text(signed_in(tina).get("/client/markets"))


def test_staff_take_a_type_out_for_good(acme: Tenant, tina: User, panel: Client) -> None:
    switch(acme, tina, ace="on")
    ace = MarketType.objects.get(code="ace")
    path = f"/staff/markets/markettype/{ace.pk}"
    asked = Page(panel.post(f"{path}/retire"))
    assert "Take “ace” out for good" in asked.text and "on for 1 of 1" in asked.text
    assert disabled(acme) == (1, [])
    answer = panel.post(f"{path}/retire", asked.fields, follow=True)
    assert "Taken out: its code is never used again." in text(answer)
    assert "Taken out" not in text(panel.get(f"{path}/change/"))
    assert disabled(acme) == (1, ["ace"])
    for state, found in (("retired", True), ("live", False)):
        listed = panel.get(f"/staff/markets/markettype/?state={state}")
        assert (f"{ace.pk}/change/" in listed.content.decode()) is found
    assert "It was taken out meanwhile." in text(panel.post(f"{path}/retire", follow=True))
    assert panel.post(f"{path}/change/", PLACE).status_code == 403
    form = PLACE | {"code": "ace", "group": ace.group_id, "settlement": "live"}
    again = panel.post("/staff/markets/markettype/add/", form)
    assert again.status_code == 200 and "already exists" in text(again)
    assert "Ace in round ace" in text(signed_in(tina).get("/client/markets"))


@pytest.mark.parametrize("code", ["", "Bad", "a b", "ä", "x" * 65, "9lives"])
def test_a_code_that_is_none_is_refused(panel: Client, code: str) -> None:
    group = Group.objects.earliest("sort_order")
    form = PLACE | {"code": code, "group": group.pk, "settlement": "live"}
    answer = panel.post("/staff/markets/markettype/add/", form)
    assert answer.status_code == 200 and len(all_codes()) == 58


def test_staff_add_a_group_and_a_sport(panel: Client, tina: User) -> None:
    panel.post("/staff/markets/sport/add/", PLACE | {"code": "dota2"})
    sport = Group._meta.get_field("sport").related_model.objects.get(code="dota2")
    panel.post("/staff/markets/group/add/", PLACE | {"code": "towers", "sport": sport.pk})
    group = Group.objects.get(code="towers")
    form = PLACE | {"code": "first_tower", "group": group.pk, "settlement": "live"}
    panel.post("/staff/markets/markettype/add/", form)
    page = text(signed_in(tina).get("/client/markets"))
    assert "Five kills: Five kills 1 of 1 on" in page and "first_tower" in page
    assert "Counter-Strike 2: Kills 17 of 17 on" in page
