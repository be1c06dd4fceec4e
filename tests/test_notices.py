"""Security mails: each is queued with its act, for the right people, and says no secret."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.test import Client

from accounts.models import Authenticator, Membership, Role, Tenant, User
from accounts.origin import COMMAND_LINE
from accounts.services.invitations import invite
from portal.lib import clock
from tests.conftest import PASSWORD, MakeKey, make_authenticator, make_member, signed_in
from tests.mailbox import queued
from tests.pages import Page, code_of, mid_step, next_step, sign_in

NEW = "seven herons over the estuary"
TWICE = {"new_password": NEW, "confirm_password": NEW}


def told(*names: str) -> list[tuple[str, str]]:
    """Who is told what, in the order of the queue."""
    users = {str(user.pk): user.username for user in User.objects.all()}
    return [(job.name, users[job.user_id]) for job in queued(*names)]


@pytest.fixture(autouse=True)
def _team(acme: Tenant, alice: User, dave: User, tina: User, victor: User, mallory: User) -> None:
    """All of them are there, and somebody who is disabled; most of them are told nothing."""
    gone = make_member(acme, "Gone", Role.OWNER)
    User.objects.filter(pk=gone.pk).update(is_active=False)
    mid_step()


def change_password(client: Client) -> None:
    client.post("/client/profile/password", {"current_password": PASSWORD, **TWICE})


def test_a_changed_password_is_told_to_its_owner(dave: User) -> None:
    change_password(signed_in(dave))
    assert told() == [("password_changed", "Dave")]


def test_2fa_on_and_off_are_told_to_its_owner(dave: User) -> None:
    client = signed_in(dave)
    client.post("/client/profile/2fa/enable", {"current_password": PASSWORD})
    device = Authenticator.objects.get()
    client.post("/client/profile/2fa/confirm", {"code": code_of(device)})
    next_step(2)
    form = {"current_password": PASSWORD, "code": code_of(device)}
    client.post("/client/profile/2fa/disable", form)
    assert told() == [("two_factor_on", "Dave"), ("two_factor_off", "Dave")]


def test_what_happens_to_keys_is_told_to_owners_and_developers(
    acme: Tenant, alice: User, make_key: MakeKey
) -> None:
    client = signed_in(alice)
    key, _ = make_key(acme)
    path = f"/client/api-access/{key.pk}"
    client.post(f"{path}/edit", {"label": "Only renamed", "allowlist": "", "version": 1})
    client.post(f"{path}/edit", {"label": "Live", "allowlist": "192.0.2.1", "version": 2})
    client.post(f"{path}/rotate", {"version": 3})
    client.post(f"{path}/revoke", {"version": 4})
    jobs = queued("api_key")
    acts = ["api_key.created", "api_key.changed", "api_key.rotated", "api_key.revoked"]
    assert [job.context["action"] for job in jobs] == [act for act in acts for _ in range(2)]
    assert told() == [("api_key", "Alice"), ("api_key", "Dave")] * 4


def test_a_role_is_told_to_whom_it_is_given(alice: User, dave: User) -> None:
    path = f"/client/team/{Membership.objects.get(user=dave).pk}/role"
    signed_in(alice).post(path, {"role": Role.TRADER})
    assert told() == [("role_changed", "Dave")]


def test_an_accepted_invitation_is_told_to_owners_and_to_who_invited(
    acme: Tenant, sam: User
) -> None:
    sent = invite(
        actor=sam,
        origin=COMMAND_LINE,
        email="new@example.com",
        username="Newcomer",
        tenant=acme,
        role=Role.OWNER,
        send_mail=False,
    )
    Client().post(sent.link.removeprefix(settings.PORTAL_BASE_URL), TWICE)
    assert told() == [("invitation_accepted", "Alice"), ("invitation_accepted", "Sam")]


def test_a_reset_is_told_to_the_user_and_the_owners(dave: User, globex: Tenant, sam: User) -> None:
    """Those of every tenant that the user belongs to; each is told once."""
    globex.memberships.create(user=dave, role=Role.VIEWER)
    for user in (dave, sam):
        make_authenticator(user)
    client = signed_in(sam, has_second_factor=True)
    client.post(f"/staff/accounts/user/{dave.pk}/reset-2fa", {"reason": "Lost it"})
    reset = "two_factor_reset"
    assert sorted(told()) == [(reset, "Alice"), (reset, "Dave"), (reset, "Mallory")]


def test_a_new_place_is_told_but_not_the_first_and_not_a_known_one(alice: User) -> None:
    home = Client()
    sign_in(home, "Alice")
    home.post("/client/sign-out")
    sign_in(home, "Alice")
    assert told() == []
    elsewhere = Client(headers={"User-Agent": "curl/8.5"}, REMOTE_ADDR="203.0.113.7")
    sign_in(elsewhere, "Alice", "wrong")
    assert told() == []
    sign_in(elsewhere, "Alice")
    (job,) = queued("new_place")
    assert (job.context["address"], job.context["browser"]) == ("203.0.113.7", "curl")
    elsewhere.post("/client/sign-out")
    sign_in(elsewhere, "Alice")
    assert told() == [("new_place", "Alice")]


def test_a_new_place_is_told_after_the_code_and_not_before(alice: User) -> None:
    device = make_authenticator(alice)
    User.objects.filter(pk=alice.pk).update(last_login=clock.now())
    client = Client()
    sign_in(client, "Alice")
    assert told() == []
    client.post("/client/login/code", {"code": code_of(device)})
    assert told() == [("new_place", "Alice")]


def suspend(tenant: Tenant) -> None:
    Tenant.objects.filter(pk=tenant.pk).update(suspended_at=clock.now())


def test_somebody_suspended_is_answered_like_a_wrong_password_and_told_once_a_day(
    acme: Tenant,
) -> None:
    """Promise 6, and why is in a mail."""
    suspend(acme)
    right, wrong = sign_in(Client(), "Dave"), sign_in(Client(), "Dave", "wrong")
    assert (right.status_code, Page(right).text) == (wrong.status_code, Page(wrong).text)
    assert set(right.headers) == set(wrong.headers)
    assert told() == [("suspended", "Dave")]
    clock.move(dt.timedelta(hours=23, minutes=59))
    sign_in(Client(), "Dave")
    assert len(told()) == 1
    clock.move(dt.timedelta(minutes=2))
    sign_in(Client(), "Dave")
    assert told() == [("suspended", "Dave")] * 2


def test_neither_the_disabled_nor_the_removed_are_told_that_they_are_suspended(
    acme: Tenant, dave: User
) -> None:
    sign_in(Client(), "Gone")
    Membership.objects.filter(user=dave).delete()
    sign_in(Client(), "Dave")
    assert told() == []


ACTS: list[Callable[[Client], Any]] = [
    change_password,
    lambda client: client.post(
        f"/client/team/{Membership.objects.get(user__username='Victor').pk}/role",
        {"role": Role.TRADER},
    ),
]


@pytest.mark.parametrize("act", ACTS)
def test_an_act_that_is_undone_tells_nobody(alice: User, act: Callable[[Client], Any]) -> None:
    """The mail is written with the act, and goes with it."""
    with transaction.atomic():
        act(signed_in(alice))
        assert len(told()) == 1
        transaction.set_rollback(True)
    assert told() == []
