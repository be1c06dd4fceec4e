"""Many at once: what may happen once happens once, and everybody is told what became of theirs.

Security promises 3, 13, 16, 18, 23, 25 and 37. Keys: tests/test_key_races.py.
"""

import re
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from django.test import Client

from accounts.models import (
    Action,
    Authenticator,
    Counter,
    Invitation,
    Membership,
    Role,
    Session,
    Tenant,
    User,
    WrongCode,
)
from accounts.origin import COMMAND_LINE
from accounts.services.invitations import Sent, invite
from accounts.services.recovery import make_recovery_codes
from portal.lib.crypto import digest
from tests.at_once import at_once, browser, events, posts, statuses
from tests.conftest import (
    PASSWORD,
    make_authenticator,
    make_member,
    make_user,
    signed_in,
)
from tests.pages import code_of, mid_step, session_cookie, sign_in, wrong_code

pytestmark = pytest.mark.usefixtures("committed_db")

MANY = 20
NEW = "seven herons over the estuary"
PASSWORDS = {"new_password": NEW, "confirm_password": NEW}


def invited(tenant: Tenant, email: str = "new@example.com") -> tuple[Sent, str]:
    """An invitation, and the path of its page."""
    sent = invite(
        actor=None,
        origin=COMMAND_LINE,
        email=email,
        username="Newcomer",
        tenant=tenant,
        role=Role.DEVELOPER,
        send_mail=False,
    )
    return sent, sent.link[len(settings.PORTAL_BASE_URL) :]


def test_twenty_acceptances_make_one_user(acme: Tenant) -> None:
    """One membership, one record; the others see the page of a dead link."""
    _, path = invited(acme)
    answers = at_once(posts(path, PASSWORDS, [""] * MANY))
    assert statuses(answers) == {302: 1, 404: MANY - 1}
    assert len({re.sub(rb"[0-9a-f]{32}", b"", a.content) for a in answers if a.content}) == 1
    user = User.objects.get(username="Newcomer")
    assert Membership.objects.get().user == user
    assert events(Action.INVITATION_ACCEPTED) == 1
    assert Session.objects.get().user == user


def test_a_link_that_is_spent_while_its_page_is_read_is_dead(acme: Tenant) -> None:
    """And not an invitation to sign in, because the account is there all of a sudden."""
    _, path = invited(acme)
    slow, quick = browser(), browser()
    other: list[Any] = []

    def between(execute: Any, sql: str, *rest: Any) -> Any:
        if 'FROM "accounts_user"' in sql and not other:
            other.append(None)
            other[:] = at_once([lambda: quick.post(path, PASSWORDS)])
        return execute(sql, *rest)

    with connections["default"].execute_wrapper(between):
        answer = slow.post(path, PASSWORDS)
    assert (other[0].status_code, answer.status_code) == (302, 404)


def test_twenty_joins_are_one(acme: Tenant, globex: Tenant) -> None:
    """Somebody who has an account joins once; the password is untouched."""
    user = make_member(globex, "Oscar", Role.VIEWER)
    _, path = invited(acme, user.email)
    cookie = session_cookie(signed_in(user))
    answers = at_once(posts(f"{path}/join", {}, [cookie] * MANY))
    assert statuses(answers) == {302: 1, 404: MANY - 1}
    assert Membership.objects.get(user=user, tenant=acme).role == Role.DEVELOPER
    assert events(Action.INVITATION_ACCEPTED) == 1
    assert User.objects.get(pk=user.pk).password == user.password


@pytest.mark.parametrize("door", ["panel", "team"])
@pytest.mark.parametrize("same", ["email", "username"])
def test_of_invitations_sent_at_once_one_is_made(acme: Tenant, door: str, same: str) -> None:
    """To one address, or for one username; the others are told in the form."""
    if door == "panel":
        user = make_user("Sam", is_staff=True)
        path, more = "/staff/accounts/invitation/add/", {"tenant": str(acme.pk)}
    else:
        user, path, more = make_member(acme, "Alice", Role.OWNER), "/client/team/invite", {}
    cookie = session_cookie(signed_in(user, has_second_factor=True))
    forms = [{"email": f"o{n}@example.com", "username": f"o{n}"} for n in range(MANY)]
    forms = [{**form, same: forms[0][same], "role": "viewer", **more} for form in forms]
    answers = at_once([act for form in forms for act in posts(path, form, [cookie])])
    assert statuses(answers) == {302: 1, 200: MANY - 1}
    assert Invitation.objects.count() == events(Action.INVITATION_SENT) == 1
    told = "pending invitation" if same == "email" else "reserved by another invitation"
    assert all(told in a.content.decode() for a in answers if a.status_code == 200)


def test_of_tenants_opened_at_once_one_is_made() -> None:
    """With one slug; the others are led back to the list."""
    sam = make_user("Sam", is_staff=True)
    cookie = session_cookie(signed_in(sam, has_second_factor=True))
    form = {"slug": "new", "name": "New"}
    answers = at_once(posts("/staff/accounts/tenant/add/", form, [cookie] * MANY))
    led = [answer.headers.get("Location", "form") for answer in answers]
    assert sum(page.endswith("/change/") for page in led) == 1
    assert {page for page in led if not page.endswith("/change/")} <= {
        "/staff/accounts/tenant/",
        "form",
    }
    assert Tenant.objects.count() == events(Action.TENANT_CREATED) == 1


def test_of_resend_and_accept_one_wins(acme: Tenant) -> None:
    """An old link accepts nothing once it is replaced, and a spent one is not replaced."""
    sent, path = invited(acme)
    staff = make_user("Sam", is_staff=True)
    cookie = session_cookie(signed_in(staff, has_second_factor=True))
    resend = f"/staff/accounts/invitation/{sent.invitation.pk}/resend"
    answers = at_once(
        [*posts(path, PASSWORDS, [""] * 5), *posts(resend, {}, [cookie] * 5)],
    )
    accepted, resent = statuses(answers[:5])[302], events(Action.INVITATION_RESENT)
    assert (accepted, resent) in {(1, 0), (0, 5)}
    assert statuses(answers[:5])[404] == 5 - accepted
    assert User.objects.filter(username="Newcomer").count() == accepted
    assert events(Action.INVITATION_ACCEPTED) == accepted
    row = Invitation.objects.get()
    assert bool(row.accepted_at) == bool(accepted)
    assert (bytes(row.token_hash) == digest(path.rpartition("/")[2])) == bool(accepted)


def waiting_for_code(user: User) -> Client:
    """A browser that has passed the password."""
    Counter.objects.all().delete()  # how often one may try is no matter here
    client = browser()
    sign_in(client, user.username)
    return client


@pytest.mark.parametrize("browsers", [1, MANY])
@pytest.mark.parametrize("kind", ["authenticator", "recovery"])
def test_one_code_lets_one_in(acme: Tenant, browsers: int, kind: str) -> None:
    """From one browser that sends it twenty times, and from twenty that know the password."""
    user = make_member(acme, "Alice", Role.OWNER)
    device = make_authenticator(user)
    mid_step()
    if kind == "authenticator":
        code, gate = code_of(device), "accounts_authenticator"
    else:
        code, gate = make_recovery_codes(user=user, origin=COMMAND_LINE)[0], "accounts_recoverycode"
    cookies = [session_cookie(waiting_for_code(user)) for _ in range(browsers)]
    sent = posts("/client/login/code", {"code": code}, cookies * (MANY // browsers))
    answers = at_once(sent, gate=gate)
    let_in = [a for a in answers if a.headers.get("Location") == "/client/"]
    assert len(let_in) == 1
    assert Session.objects.filter(user=user).count() == 1
    assert events(Action.LOGIN_SUCCEEDED) == 1
    assert all(answer.status_code < 500 for answer in answers)


def test_of_twenty_wrong_codes_at_once_five_are_tried(acme: Tenant) -> None:
    """The others are told to wait: their number is counted, not hoped for."""
    user = make_member(acme, "Alice", Role.OWNER)
    code = wrong_code(make_authenticator(user))
    cookies = [session_cookie(waiting_for_code(user)) for _ in range(MANY)]
    answers = at_once(
        posts("/client/login/code", {"code": code}, cookies), gate="accounts_wrongcode"
    )
    assert statuses(answers) == {200: 5, 429: MANY - 5}
    assert WrongCode.objects.count() == events(Action.LOGIN_REFUSED) == 5


def test_twenty_confirmations_turn_the_second_factor_on_once(acme: Tenant) -> None:
    """And recovery codes are shown by one answer."""
    user = make_member(acme, "Alice", Role.OWNER)
    device = Authenticator(user=user, confirmed=False, name="TOTP")
    device.set_new_secret()
    device.save()
    mid_step()
    cookie = session_cookie(signed_in(user))
    form = {"code": code_of(device)}
    at_once(
        posts("/client/profile/2fa/confirm", form, [cookie] * MANY), gate="accounts_authenticator"
    )
    assert events(Action.AUTHENTICATOR_ENABLED) == events(Action.RECOVERY_CODES_MADE) == 1


def test_of_two_password_changes_at_once_one_is_refused(acme: Tenant) -> None:
    """The current password of the second is current no more; the first one's session goes on."""
    user = make_member(acme, "Alice", Role.OWNER)
    acts = [
        act
        for word in ("estuary", "harbour")
        for act in posts(
            "/client/profile/password",
            {
                "current_password": PASSWORD,
                "new_password": f"seven herons over the {word}",
                "confirm_password": f"seven herons over the {word}",
            },
            [session_cookie(signed_in(user))],
        )
    ]
    answers = at_once(acts)
    assert statuses(answers) == {302: 1, 200: 1}
    word = ("estuary", "harbour")[answers[1].status_code == 302]
    assert User.objects.get().check_password(f"seven herons over the {word}")
    assert events(Action.PASSWORD_CHANGED) == Session.objects.count() == 1


def test_two_owners_cannot_remove_each_other(acme: Tenant) -> None:
    """Nor demote each other: a tenant keeps an owner."""
    owners = [make_member(acme, name, Role.OWNER) for name in ("Alice", "Anna")]
    cookies = [session_cookie(signed_in(owner)) for owner in owners]
    ids = [Membership.objects.get(user=owner).pk for owner in owners]
    for act, form in (("role", {"role": Role.VIEWER}), ("remove", {})):
        answers = at_once(
            [
                *posts(f"/client/team/{ids[1]}/{act}", form, [cookies[0]] * 3),
                *posts(f"/client/team/{ids[0]}/{act}", form, [cookies[1]] * 3),
            ]
        )
        assert Membership.objects.filter(role=Role.OWNER).count() == 1
        assert all(answer.status_code < 500 for answer in answers)
        Membership.objects.update(role=Role.OWNER)
