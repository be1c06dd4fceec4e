"""The page Markets through the front door: looking, choosing, reviewing, applying, undoing."""

import re
from typing import Any

import pytest
from django.test import Client

from accounts.models import Action, AuditEvent, Tenant, User
from markets.state import state_of
from tests.conftest import signed_in
from tests.markets import add, disabled, many_types, switch
from tests.pages import Page, text

pytestmark = pytest.mark.usefixtures("catalogue")

MARKETS = "/client/markets"


def sent(client: Client, path: str, **form: Any) -> Any:
    """Send a form; `awp_kill="off"` is a row's choice, what begins with `_` is another field."""
    fields = {
        name[1:] if name.startswith("_") else f"choice-{name}": value
        for name, value in form.items()
    }
    return client.post(f"{MARKETS}{path}", fields)


def whole_form(client: Client, path: str = MARKETS) -> dict[str, Any]:
    """What the page's form would send as it stands: every row, shown or hidden."""
    page = Page(client.get(path))
    rows = {name: values[0] for name, values in page.checked.items()}
    return {"revision": page.fields["revision"], **rows}


def shown_codes(html: str) -> list[str]:
    """The codes of the rows that are not hidden."""
    return re.findall(r'<tr [^>]*?"(?: data-new)?>\s*<th scope="row" id="type-(\w+)"', html)


def test_all_types_are_there_in_their_groups_with_counts(
    acme: Tenant, tina: User, victor: User
) -> None:
    switch(acme, tina, awp_kill="off", ace="off")
    page = text(signed_in(victor).get(MARKETS))
    for words in ("56 of 58 are on", "Kills 16 of 17 on", "Weapons 12 of 13 on", "Economy 5 of 5"):
        assert words in page
    assert "Revision 1, by Tina" in page
    assert "AWP kill in round awp_kill" in page


def test_names_are_in_the_readers_language(acme: Tenant, tina: User) -> None:
    tina.language = "ru"
    tina.save()
    page = text(signed_in(tina).get(MARKETS))
    assert "Убийство из AWP в раунде awp_kill" in page and "AWP kill in round" not in page


def test_what_is_kept_of_a_page_is_of_that_tenant_role_and_language(
    acme: Tenant, globex: Tenant, tina: User, victor: User, mallory: User
) -> None:
    """Both tenants are at revision 1, and each person looks twice."""
    switch(acme, tina, ace="off")
    switch(globex, mallory, awp_kill="off")
    traders = {user.pk: signed_in(user) for user in (tina, mallory)}
    for _ in range(2):
        for user, code in ((tina, "ace"), (mallory, "awp_kill")):
            page = Page(traders[user.pk].get(f"{MARKETS}?state=off"))
            assert shown_codes(page.html) == [code] and "57 of 58 are on" in page.text
            assert page.checked[f"choice-{code}"] == ["off"]
        assert Page(signed_in(victor).get(f"{MARKETS}?state=off")).checked == {}
    User.objects.filter(pk=tina.pk).update(language="ru")
    assert "Эйс в раунде" in text(traders[tina.pk].get(f"{MARKETS}?state=off"))
    switch(acme, tina, ace="default")
    assert shown_codes(traders[tina.pk].get(f"{MARKETS}?state=off").content.decode()) == []


def test_what_is_kept_of_a_page_is_in_the_readers_own_time_zone(acme: Tenant, tina: User) -> None:
    switch(acme, tina, ace="off")
    client = signed_in(tina)
    assert "UTC" in text(client.get(MARKETS))
    User.objects.filter(pk=tina.pk).update(time_zone="Europe/Moscow")
    page = text(client.get(MARKETS))
    assert "MSK" in page and "UTC" not in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=headshot", ["headshot_opening", "total_headshots"]),
        ("q=HEADSHOT+total", ["total_headshots"]),
        ("q=в+голову", ["headshot_opening", "total_headshots"]),
        ("q=ПУЛЕМЁТ", ["smg_kill"]),
        ("q=пулемет", ["smg_kill"]),
        ("q=awp_k", ["awp_kill"]),
        ("group=cs2.bomb&q=time", ["bomb_plant_time"]),
        ("state=off", ["ace", "awp_kill"]),
        ("state=off&group=cs2.kills", ["ace"]),
        ("state=own", ["ace", "awp_kill", "bomb_plant"]),
        ("state=new", []),
        ("q=nothing+like+this", []),
        ("group=nonsense&q=awp_k", ["awp_kill"]),
    ],
)
def test_the_filter_is_in_the_address(
    acme: Tenant, tina: User, query: str, found: list[str]
) -> None:
    switch(acme, tina, awp_kill="off", ace="off", bomb_plant="on")
    answer = signed_in(tina).get(f"{MARKETS}?{query}")
    assert sorted(shown_codes(answer.content.decode())) == found
    page = Page(answer)
    assert len([name for name in page.checked if name.startswith("choice-")]) == 58
    if not found:
        assert "Nothing matches this filter" in page.text


def test_a_viewer_looks_and_is_offered_nothing_to_press(acme: Tenant, victor: User) -> None:
    page = Page(signed_in(victor).get(MARKETS))
    assert page.checked == {}
    assert "A trader or an owner of your team can switch markets." in page.text
    for word in ("Enable all", "Disable all", "Apply", "Import CSV", "Whole group"):
        assert word not in page.text
    assert f"{MARKETS}.csv" in page.links and f"{MARKETS}/history" in page.links


def test_the_review_says_what_goes_on_what_goes_off_and_what_stays(
    acme: Tenant, tina: User
) -> None:
    switch(acme, tina, awp_kill="off")
    client = signed_in(tina)
    form = whole_form(client)
    form |= {"choice-ace": "off", "choice-awp_kill": "on", "choice-bomb_plant": "on"}
    answer = client.post(f"{MARKETS}/review", form)
    page = text(answer)
    assert "Goes on (1) AWP kill in round awp_kill" in page
    assert "Goes off (1) Ace in round ace" in page
    assert "Chosen otherwise, to the same effect (1) Bomb planted bomb_plant" in page
    assert "55 types stay as they are." in page
    assert "No bet is settled or voided by this." in page
    assert state_of(acme).revision == 1


def test_applied_is_said_with_the_revision_and_undo_brings_it_back(
    acme: Tenant, globex: Tenant, tina: User
) -> None:
    client = signed_in(tina)
    form = whole_form(client) | {"choice-ace": "off"}
    reviewed = Page(client.post(f"{MARKETS}/review", form))
    answer = client.post(f"{MARKETS}/apply", reviewed.fields)
    assert answer.headers["Location"] == f"{MARKETS}?applied=1"
    page = client.get(answer.headers["Location"])
    assert "Revision 1 is applied. 1 type went off." in text(page)
    assert "Off: Ace in round" in text(page)
    assert disabled(acme) == (1, ["ace"]) and disabled(globex) == (0, [])
    answer = client.post(f"{MARKETS}/history/0/restore", {"revision": "1"})
    assert answer.headers["Location"] == f"{MARKETS}?applied=2"
    assert "1 type went on." in text(client.get(answer.headers["Location"]))
    assert disabled(acme) == (2, [])


def test_two_types_are_applied_at_once_and_three_are_reviewed_first(
    acme: Tenant, tina: User
) -> None:
    client = signed_in(tina)
    answer = sent(client, "/apply", ace="off", awp_kill="off", _revision="0")
    assert answer.status_code == 302 and disabled(acme) == (1, ["ace", "awp_kill"])
    three = {"ace": "on", "awp_kill": "on", "bomb_plant": "off"}
    answer = sent(client, "/apply", **three, _revision="1")
    assert "What will happen" in text(answer) and state_of(acme).revision == 1
    answer = sent(client, "/apply", **three, _revision="1", _reviewed="1")
    assert answer.status_code == 302 and disabled(acme) == (2, ["bomb_plant"])


def test_a_group_is_switched_whole_by_one_button(acme: Tenant, tina: User) -> None:
    client = signed_in(tina)
    reviewed = Page(sent(client, "/review", _revision="0", _group="cs2.bomb:off", ace="off"))
    assert "Goes off (7)" in reviewed.text
    client.post(f"{MARKETS}/apply", reviewed.fields)
    revision, codes = disabled(acme)
    assert revision == 1 and len(codes) == 7 and "bomb_plant" in codes


def test_going_back_from_the_review_keeps_what_was_chosen(acme: Tenant, tina: User) -> None:
    client = signed_in(tina)
    reviewed = Page(sent(client, "/review", _revision="0", ace="off", awp_kill="on"))
    page = Page(client.post(f"{MARKETS}/edit", reviewed.fields))
    assert page.checked["choice-ace"] == ["off"] and page.checked["choice-awp_kill"] == ["on"]
    assert page.checked["choice-knife_kill"] == ["default"] and "Changed: 2" in page.text


def test_going_back_from_a_review_that_is_out_of_date_says_what_was_changed_meanwhile(
    acme: Tenant, tina: User, alice: User
) -> None:
    client = signed_in(tina)
    reviewed = Page(sent(client, "/review", _revision="0", ace="off", awp_kill="off"))
    switch(acme, alice, ace="on", knife_kill="off")
    answer = client.post(f"{MARKETS}/edit", reviewed.fields)
    page = Page(answer)
    assert answer.status_code == 409 and "Alice changed something since" in page.text
    assert "Went off (1) Knife kill" in page.text and "Ace in round: you Off , now On" in page.text
    assert page.fields["revision"] == "1" and page.checked["choice-ace"] == ["off"]
    assert page.checked["choice-knife_kill"] == ["off"]


def test_more_types_than_django_takes_fields_by_itself_can_be_switched(
    acme: Tenant, tina: User, tmp_path: Any
) -> None:
    many_types(tmp_path, 1_100)
    client = signed_in(tina)
    form = whole_form(client) | {f"choice-type_{n:03}": "off" for n in range(1_100)}
    reviewed = Page(client.post(f"{MARKETS}/review", form))
    assert "Goes off (1100)" in reviewed.text
    client.post(f"{MARKETS}/apply", reviewed.fields)
    assert state_of(acme).revision == 1 and state_of(acme).choices.default_on


def test_nothing_chosen_otherwise_is_nothing_done(acme: Tenant, tina: User) -> None:
    client = signed_in(tina)
    for path in ("/review", "/apply"):
        answer = client.post(f"{MARKETS}{path}", whole_form(client))
        assert answer.headers["Location"] == MARKETS
        assert "Nothing was chosen otherwise." in text(client.get(MARKETS))
    assert state_of(acme).revision == 0


@pytest.mark.parametrize("path", ["/review", "/apply"])
def test_the_second_of_two_sees_what_the_first_changed_and_loses_nothing(
    acme: Tenant, tina: User, alice: User, path: str
) -> None:
    """Both had the page open. The second's form holds every row as it was before the first."""
    second = signed_in(alice)
    form = whole_form(second) | {"choice-ace": "off", "choice-knife_kill": "on"}
    switch(acme, tina, awp_kill="off", knife_kill="off")
    answer = second.post(f"{MARKETS}{path}", form)
    assert answer.status_code == 409
    page = Page(answer)
    assert "Tina changed something since you opened the page" in page.text
    assert "Went off (2) AWP kill in round awp_kill Knife kill in round knife_kill" in page.text
    assert "You both chose, each otherwise Knife kill in round: you On , now Off" in page.text
    assert state_of(acme).revision == 1
    kept = {name: page.fields[name] for name in page.fields if name.startswith("choice-")}
    assert kept == {"choice-ace": "off", "choice-knife_kill": "on"}
    answer = second.post(f"{MARKETS}/apply", page.fields)
    assert answer.status_code == 302 and disabled(acme) == (2, ["ace", "awp_kill"])


def test_a_double_press_of_apply_is_one_revision(acme: Tenant, tina: User) -> None:
    client = signed_in(tina)
    fields = Page(sent(client, "/review", _revision="0", ace="off")).fields
    client.post(f"{MARKETS}/apply", fields)
    answer = client.post(f"{MARKETS}/apply", fields)
    assert answer.headers["Location"] == MARKETS and state_of(acme).revision == 1
    assert "What you chose is in force already." in text(client.get(MARKETS))


def test_an_undo_that_comes_too_late_undoes_nothing_of_somebody_elses(
    acme: Tenant, tina: User, alice: User
) -> None:
    switch(acme, tina, ace="off")
    switch(acme, alice, awp_kill="off")
    answer = signed_in(tina).post(f"{MARKETS}/history/0/restore", {"revision": "1"})
    assert answer.status_code == 409
    page = text(answer)
    assert "Alice changed something since" in page and "Went off (1) AWP kill" in page
    assert "Goes on (2)" in page
    assert state_of(acme).revision == 2


@pytest.mark.parametrize("revision", ["", "x", "-1", "7", "9" * 30])
def test_a_form_of_no_revision_is_reviewed_and_not_applied(
    acme: Tenant, tina: User, revision: str
) -> None:
    switch(acme, tina, awp_kill="off")
    answer = sent(signed_in(tina), "/apply", _revision=revision, ace="off", _reviewed="1")
    assert answer.status_code == 409 and state_of(acme).revision == 1
    assert Page(answer).fields["choice-ace"] == "off"


def test_what_is_no_type_or_no_choice_is_passed_over(acme: Tenant, tina: User) -> None:
    client = signed_in(tina)
    for junk in ({"nonsense": "off"}, {"ace": "perhaps"}, {"_group": "cs2.none:off"}):
        answer = sent(client, "/apply", _revision="0", **junk)
        assert answer.status_code == 302 and state_of(acme).revision == 0


def test_a_new_type_is_badged_until_somebody_presses_seen(
    acme: Tenant, tina: User, victor: User, tmp_path: Any
) -> None:
    add(tmp_path, "plain_new")
    for client in (signed_in(victor), signed_in(tina)):
        answer = client.get(MARKETS)
        assert "1 new type follows the default: The plain_new" in text(answer)
        assert "The plain_new New plain_new" in text(answer)
    assert shown_codes(client.get(f"{MARKETS}?state=new").content.decode()) == ["plain_new"]
    form = {"through": Page(answer).fields["through"]}
    assert client.post(f"{MARKETS}/seen", form).status_code == 302
    assert "New plain_new" not in text(client.get(MARKETS))
    assert "follows the default" not in text(signed_in(victor).get(MARKETS))


@pytest.mark.parametrize("through", ["", "x", "2026-99-99", "2030-01-01", "9999-12-31T23:59:59Z"])
def test_seen_through_rubbish_does_not_hide_what_is_still_to_come(
    acme: Tenant, tina: User, tmp_path: Any, through: str
) -> None:
    client = signed_in(tina)
    assert client.post(f"{MARKETS}/seen", {"through": through}).status_code == 302
    add(tmp_path, "plain_new")
    assert [each.code for each in state_of(acme).new_types] == ["plain_new"]


def test_a_retired_type_is_off_for_everybody_and_cannot_be_chosen(
    acme: Tenant, tina: User, tmp_path: Any
) -> None:
    switch(acme, tina, ace="on")
    many_types(tmp_path, 2)
    client = signed_in(tina)
    page = text(client.get(MARKETS))
    assert "Taken out of the catalogue (58)" in page and "2 of 2 are on" in page
    answer = sent(client, "/apply", _revision="1", ace="on", awp_kill="on")
    assert "Location" in answer.headers and state_of(acme).revision == 1


def test_each_act_of_the_page_leaves_one_record(acme: Tenant, tina: User) -> None:
    client = signed_in(tina)
    sent(client, "/apply", _revision="0", ace="off")
    client.post(f"{MARKETS}/enable-all", {"revision": "1", "overrides": "clear"})
    client.post(f"{MARKETS}/history/1/restore", {"revision": "2"})
    mine = AuditEvent.objects.filter(tenant_id=acme.pk, actor_name="Tina").order_by("pk")
    assert [event.action for event in mine] == [
        Action.MARKETS_CHANGED,
        Action.MARKETS_DEFAULT_CHANGED,
        Action.MARKETS_RESTORED,
    ]
    assert {event.target_name for event in mine} == {"Acme Sportsbook"}
    assert "Markets switched" in text(client.get("/client/activity"))
