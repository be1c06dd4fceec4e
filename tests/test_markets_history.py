"""The default, which is flipped whole, and revisions, each of which can be restored."""

import pytest

from accounts.models import Tenant, User
from accounts.origin import COMMAND_LINE
from markets.models import MarketType
from markets.services.catalogue import retire_type
from markets.state import state_of
from tests.conftest import signed_in
from tests.markets import disabled, switch
from tests.pages import Page, text

pytestmark = pytest.mark.usefixtures("catalogue")

MARKETS = "/client/markets"


def test_disabling_all_wants_the_slug_typed(acme: Tenant, tina: User) -> None:
    client = signed_in(tina)
    page = text(client.get(f"{MARKETS}/disable-all"))
    assert "Goes off (58)" in page and "Type “acme” to confirm." in page
    for typed in ("", "ACME", "acme sportsbook", "disable all"):
        answer = client.post(f"{MARKETS}/disable-all", {"revision": "0", "typed": typed})
        assert answer.status_code == 200 and state_of(acme).revision == 0
    answer = client.post(f"{MARKETS}/disable-all", {"revision": "0", "typed": "acme"})
    assert answer.headers["Location"] == f"{MARKETS}?applied=1"
    assert len(disabled(acme)[1]) == 58
    assert "58 types went off." in text(client.get(answer.headers["Location"]))


@pytest.mark.parametrize(("overrides", "off"), [("keep", ["ace"]), ("clear", [])])
def test_flipping_the_default_asks_whether_overrides_are_kept_or_cleared(
    acme: Tenant, tina: User, overrides: str, off: list[str]
) -> None:
    switch(acme, tina, ace="off", awp_kill="on")
    client = signed_in(tina)
    form = {"revision": "1", "typed": "acme", "overrides": "keep"}
    client.post(f"{MARKETS}/disable-all", form)
    assert len(disabled(acme)[1]) == 57
    page = text(client.get(f"{MARKETS}/enable-all"))
    assert "Goes on (56)" in page and "Goes on (57)" in page
    client.post(f"{MARKETS}/enable-all", {"revision": "2", "overrides": overrides})
    assert disabled(acme) == (3, off)


def test_disabling_all_names_what_stays_on_and_enabling_all_what_stays_off(
    acme: Tenant, tina: User
) -> None:
    switch(acme, tina, ace="off", awp_kill="on", knife_kill="on")
    client = signed_in(tina)
    page = text(client.get(f"{MARKETS}/disable-all"))
    assert "Stays on (2) AWP kill in round awp_kill Knife kill in round knife_kill" in page
    assert "Stays off (1) Ace in round ace" in text(client.get(f"{MARKETS}/enable-all"))


def test_enabling_all_where_the_default_is_on_already_offers_to_clear_what_is_off(
    acme: Tenant, tina: User
) -> None:
    """Keeping it would do nothing, so that is not what stands there chosen."""
    switch(acme, tina, ace="off")
    client = signed_in(tina)
    page = Page(client.get(f"{MARKETS}/enable-all"))
    assert "The default is on already." in page.text
    assert page.checked["overrides"] == ["clear"]
    answer = client.post(f"{MARKETS}/enable-all", {**page.fields, "overrides": "clear"})
    assert answer.headers["Location"] == f"{MARKETS}?applied=2" and disabled(acme) == (2, [])
    page = Page(client.get(f"{MARKETS}/disable-all"))
    assert "The default becomes off" in page.text and "overrides" not in page.checked


def test_what_was_chosen_of_a_type_that_was_taken_out_is_asked_of_nobody(
    acme: Tenant, tina: User
) -> None:
    switch(acme, tina, ace="off")
    ace = MarketType.objects.get(code="ace")
    retire_type(type_id=ace.pk, actor=tina, origin=COMMAND_LINE)
    client = signed_in(tina)
    assert f"{MARKETS}/enable-all" not in Page(client.get(MARKETS)).links
    page = Page(client.get(f"{MARKETS}/disable-all"))
    assert "overrides" not in page.checked and "Goes off (57)" in page.text
    client.post(f"{MARKETS}/disable-all", {"revision": "1", "typed": "acme"})
    client.post(f"{MARKETS}/history/1/restore", {"revision": "2"})
    assert disabled(acme) == (3, ["ace"])


def test_a_flip_that_comes_too_late_is_shown_again_with_what_changed(
    acme: Tenant, tina: User, alice: User
) -> None:
    switch(acme, alice, ace="off")
    form = {"revision": "0", "typed": "acme", "overrides": "clear"}
    answer = signed_in(tina).post(f"{MARKETS}/disable-all", form)
    assert answer.status_code == 409 and state_of(acme).revision == 1
    page = Page(answer)
    assert "Alice changed something since" in page.text
    assert page.fields["revision"] == "1" and page.checked["overrides"] == ["clear"]


def test_the_history_says_who_when_and_what_and_restores(
    acme: Tenant, tina: User, alice: User, victor: User
) -> None:
    switch(acme, tina, ace="off")
    switch(acme, alice, awp_kill="off", ace="default")
    page = text(signed_in(victor).get(f"{MARKETS}/history"))
    assert "Alice Types switched Off: AWP kill in round On: Ace in round" in page
    assert "Tina Types switched Off: Ace in round" in page and "The beginning" in page
    assert "Restore" not in page
    client = signed_in(tina)
    page = text(client.get(f"{MARKETS}/history/1"))
    assert "Goes on (1) AWP kill in round" in page and "Goes off (1) Ace in round" in page
    answer = client.post(f"{MARKETS}/history/1/restore", {"revision": "2"})
    assert answer.headers["Location"] == f"{MARKETS}?applied=3"
    assert disabled(acme) == (3, ["ace"])


def test_another_tenants_revision_is_a_revision_that_never_was(
    acme: Tenant, tina: User, mallory: User
) -> None:
    switch(acme, tina, ace="off")
    client = signed_in(mallory)
    for number in (1, 7, 10**30):
        assert client.get(f"{MARKETS}/history/{number}").status_code == 404
        path = f"{MARKETS}/history/{number}/restore"
        assert client.post(path, {"revision": "0"}).status_code == 404
    for path in ("", "/history", ".csv"):
        page = client.get(f"{MARKETS}{path}").content.decode()
        assert "Tina" not in page and "ace,off" not in page


def test_a_long_history_is_shown_a_page_at_a_time(acme: Tenant, tina: User) -> None:
    for number in range(60):
        switch(acme, tina, ace="on" if number % 2 else "off")
    client = signed_in(tina)
    first = client.get(f"{MARKETS}/history")
    assert "?before=11" in Page(first).links
    second = text(client.get(f"{MARKETS}/history?before=11"))
    assert "The beginning" in second and "Newest" in second
