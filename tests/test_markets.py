"""Markets by their services: what is on, what a revision is, and that two at once lose nothing."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.models import Action, AuditEvent, Tenant, User
from accounts.origin import COMMAND_LINE
from markets.effective import Choice
from markets.models import Revision, TenantMarkets
from markets.services.choices import (
    OutOfDate,
    apply_choices,
    mark_seen,
    restore_revision,
    set_default,
)
from markets.state import state_of
from portal.lib import clock
from tests.at_once import at_once
from tests.mailbox import queued
from tests.markets import add, all_codes, disabled, many_types, off_by_python, switch

pytestmark = pytest.mark.usefixtures("catalogue")


def by(actor: User, revision: int) -> dict[str, Any]:
    """Acme's markets, changed by somebody who looked at that revision."""
    tenant = actor.memberships.get().tenant
    return {"tenant": tenant, "actor": actor, "revision": revision, "origin": COMMAND_LINE}


def test_a_tenant_begins_at_revision_0_with_everything_on(acme: Tenant) -> None:
    state = state_of(acme)
    assert (state.revision, state.choices.default_on, state.changed_at) == (0, True, None)
    assert len(state.catalogue.live) == 58
    assert disabled(acme) == (0, []) and off_by_python(acme) == []
    assert not TenantMarkets.objects.exists()


def test_a_type_is_switched_for_one_tenant_alone(acme: Tenant, globex: Tenant, tina: User) -> None:
    switch(acme, tina, awp_kill="off", ace="off")
    assert disabled(acme) == (1, ["ace", "awp_kill"])
    assert disabled(globex) == (0, [])


def test_an_override_outlasts_the_default_and_a_cleared_one_does_not(
    acme: Tenant, tina: User
) -> None:
    switch(acme, tina, ace="on", awp_kill="off")
    set_default(**by(tina, 1), default_on=False, keep_overrides=True)
    assert set(all_codes()) - set(disabled(acme)[1]) == {"ace"}
    set_default(**by(tina, 2), default_on=True, keep_overrides=False)
    assert disabled(acme) == (3, [])


def test_each_act_is_one_revision_with_who_and_what(acme: Tenant, tina: User, alice: User) -> None:
    switch(acme, tina, awp_kill="off", ace="off")
    switch(acme, alice, ace="default", bomb_plant="on")
    newest, first = Revision.objects.for_tenant(acme)
    assert (first.number, first.actor_name, first.act) == (1, "Tina", "changed")
    assert (first.went_on, first.went_off) == ([], ["ace", "awp_kill"])
    assert (newest.number, newest.actor_name) == (2, "Alice")
    assert (newest.went_on, newest.went_off) == (["ace"], [])
    assert newest.overrides == {"awp_kill": False, "bomb_plant": True}


def test_what_is_chosen_already_makes_no_revision(acme: Tenant, tina: User) -> None:
    switch(acme, tina, awp_kill="off")
    events = AuditEvent.objects.count()
    switch(acme, tina, awp_kill="off", ace="default")
    set_default(**by(tina, 1), default_on=True, keep_overrides=True)
    restore_revision(**by(tina, 1), number=1)
    assert state_of(acme).revision == 1 and AuditEvent.objects.count() == events


def test_undo_is_restoring_the_one_before(acme: Tenant, tina: User) -> None:
    switch(acme, tina, awp_kill="off")
    switch(acme, tina, ace="off")
    restore_revision(**by(tina, 2), number=1)
    assert disabled(acme) == (3, ["awp_kill"])
    restore_revision(**by(tina, 3), number=0)
    assert disabled(acme) == (4, [])
    restored = Revision.objects.for_tenant(acme).get(number=4)
    assert (restored.act, restored.restored) == ("restored", 0)


def test_a_revision_that_never_was_cannot_be_restored(
    acme: Tenant, globex: Tenant, tina: User, mallory: User
) -> None:
    switch(globex, mallory, ace="off")
    for number in (1, 7, -1, 10**30):
        with pytest.raises(Revision.DoesNotExist):
            restore_revision(**by(tina, 0), number=number)


def test_whoever_looked_at_an_older_revision_changes_nothing(
    acme: Tenant, tina: User, alice: User
) -> None:
    switch(acme, tina, awp_kill="off")
    for act, given in [
        (apply_choices, {"choices": {"ace": Choice.OFF}}),
        (set_default, {"default_on": False, "keep_overrides": True}),
        (restore_revision, {"number": 0}),
    ]:
        with pytest.raises(OutOfDate) as late:
            act(**by(alice, 0), **given)
        assert (late.value.state.revision, late.value.state.changed_by) == (1, "Tina")
    assert disabled(acme) == (1, ["awp_kill"])


@pytest.mark.parametrize("person", ["dave", "victor", "mallory"])
def test_others_than_owners_and_traders_of_the_tenant_change_nothing(
    request: pytest.FixtureRequest, acme: Tenant, person: str
) -> None:
    """Asked by the service itself, whoever calls."""
    actor = request.getfixturevalue(person)
    given = {"tenant": acme, "actor": actor, "revision": 0, "origin": COMMAND_LINE}
    with pytest.raises(PermissionDenied):
        apply_choices(**given, choices={"ace": Choice.OFF})
    with pytest.raises(PermissionDenied):
        set_default(**given, default_on=False, keep_overrides=True)
    with pytest.raises(PermissionDenied):
        restore_revision(**given, number=0)
    with pytest.raises(PermissionDenied):
        mark_seen(tenant=acme, through=clock.now(), actor=actor)


def test_a_code_that_never_was_is_refused_whole(acme: Tenant, tina: User) -> None:
    with pytest.raises(KeyError):
        switch(acme, tina, awp_kill="off", nonsense="off")
    assert disabled(acme) == (0, [])


def test_each_act_leaves_one_record(acme: Tenant, tina: User) -> None:
    switch(acme, tina, awp_kill="off")
    set_default(**by(tina, 1), default_on=False, keep_overrides=False)
    restore_revision(**by(tina, 2), number=1)
    events = AuditEvent.objects.filter(tenant_id=acme.pk, actor_name="Tina").order_by("pk")
    assert [event.action for event in events] == [
        Action.MARKETS_CHANGED,
        Action.MARKETS_DEFAULT_CHANGED,
        Action.MARKETS_RESTORED,
    ]
    assert events[0].detail == {"revision": 1, "on": [], "off": ["awp_kill"]}
    assert events[1].detail["default_on"] == [True, False]
    assert len(events[1].detail["off"]) == 57
    assert events[2].detail["restored"] == 1 and len(events[2].detail["on"]) == 57


def test_owners_and_traders_are_told_when_the_default_changes(
    acme: Tenant, alice: User, tina: User, dave: User, victor: User
) -> None:
    """By whatever act; and not for the switch of a type."""
    switch(acme, tina, awp_kill="off")
    assert queued("market_default") == []
    set_default(**by(tina, 1), default_on=False, keep_overrides=True)
    mails = queued("market_default")
    assert {mail.user_id for mail in mails} == {str(alice.pk), str(tina.pk)}
    told = mails[0].context
    assert (told["by"], told["default_on"], told["on"], told["total"]) == ("Tina", False, 0, 58)
    restore_revision(**by(tina, 2), number=1)
    assert len(queued("market_default")) == 4


def test_a_hand_in_the_database_makes_a_revision_that_is_nobodys(acme: Tenant, tina: User) -> None:
    switch(acme, tina, awp_kill="off")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE markets_tenantmarkets SET default_on = false, version = 99")
    newest = Revision.objects.for_tenant(acme).first()
    assert newest is not None
    assert (newest.number, newest.act, newest.actor_name) == (2, "by_hand", "")
    assert state_of(acme).revision == 2 and len(disabled(acme)[1]) == 58
    restore_revision(**by(tina, 2), number=1)
    assert disabled(acme) == (3, ["awp_kill"])


def test_a_row_that_is_deleted_and_comes_again_goes_on_counting(acme: Tenant, tina: User) -> None:
    switch(acme, tina, awp_kill="off")
    TenantMarkets.objects.all().delete()
    assert state_of(acme).revision == 0
    assert switch(acme, tina, ace="off").revision == 2


@pytest.mark.parametrize("overrides", ["[]", "null", "1", '{"ace": null}', '{"ace": "off"}'])
def test_overrides_are_on_or_off_and_nothing_else(acme: Tenant, tina: User, overrides: str) -> None:
    switch(acme, tina, awp_kill="off")
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE markets_tenantmarkets SET overrides = %s", [overrides])


def test_500_types_are_one_revision_and_the_statements_of_one(
    acme: Tenant, tina: User, tmp_path: Path
) -> None:
    many_types(tmp_path, 500)
    state_of(acme)
    costs = []
    for revision, codes in enumerate([["type_000"], [f"type_{n:03}" for n in range(1, 500)]]):
        given = by(tina, revision)
        with CaptureQueriesContext(connection) as queries:
            apply_choices(**given, choices=dict.fromkeys(codes, Choice.OFF))
        costs.append([query["sql"].split()[0] for query in queries])
    assert len(disabled(acme)[1]) == 558 and state_of(acme).revision == 2
    first_row = ["SELECT", "SAVEPOINT", "INSERT", "RELEASE"]  # which the beginning has not
    assert len(costs[0]) - len(costs[1]) == len(first_row) - len(["UPDATE"])
    assert len(costs[1]) <= 8


def test_new_types_follow_the_default_and_are_new_until_somebody_has_looked(
    acme: Tenant, tina: User, tmp_path: Path
) -> None:
    set_default(**by(tina, 0), default_on=False, keep_overrides=True)
    assert state_of(acme).new_types == []
    clock.move(dt.timedelta(minutes=1))
    add(tmp_path, "plain_new")
    state = state_of(acme)
    assert [each.code for each in state.new_types] == ["plain_new"]
    assert "plain_new" in disabled(acme)[1]
    newest = state.catalogue.newest
    assert newest is not None
    clock.move(dt.timedelta(minutes=1))
    add(tmp_path, "plain_new", "newer_still")
    mark_seen(tenant=acme, through=newest, actor=tina)
    assert [each.code for each in state_of(acme).new_types] == ["newer_still"]
    mark_seen(tenant=acme, through=clock.now(), actor=tina)
    mark_seen(tenant=acme, through=newest, actor=tina)
    assert state_of(acme).new_types == []


def test_to_a_tenant_that_came_later_nothing_is_new(
    acme: Tenant, mallory: User, tmp_path: Path
) -> None:
    add(tmp_path, "plain_new")
    assert [each.code for each in state_of(acme).new_types] == ["plain_new"]
    clock.move(dt.timedelta(minutes=1))
    late = Tenant.objects.create(slug="late", name="Late")
    assert state_of(late).new_types == []


class TestAtOnce:
    """With real threads and commits."""

    @pytest.fixture
    def acme(self, committed_db: None, acme: Tenant) -> Tenant:
        return acme

    @pytest.mark.parametrize("revision", [0, 1])
    def test_of_two_who_looked_at_the_same_revision_one_is_told(
        self, acme: Tenant, tina: User, alice: User, revision: int
    ) -> None:
        """Also when there is no row yet to be locked."""
        if revision:
            switch(acme, tina, bomb_plant="off")

        def act(actor: User, code: str) -> str:
            try:
                apply_choices(**by(actor, revision), choices={code: Choice.OFF})
            except OutOfDate as late:
                return late.state.changed_by
            return "done"

        said = at_once([lambda: act(tina, "ace"), lambda: act(alice, "awp_kill")])
        assert sorted(said) in (["Tina", "done"], ["Alice", "done"])
        assert state_of(acme).revision == revision + 1
        assert len(disabled(acme)[1]) == revision + 1
