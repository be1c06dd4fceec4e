"""Where **Confirm it is you** is asked, and of whom.

Security promise 34.
"""

import pytest
from django.test import Client

from accounts.models import (
    Action,
    AuditEvent,
    Authenticator,
    Invitation,
    Membership,
    Role,
    Tenant,
    User,
)
from accounts.origin import COMMAND_LINE
from accounts.services.invitations import invite
from portal.lib import clock
from tests.access import World, routes
from tests.conftest import PASSWORD, MakeKey, make_authenticator, signed_in
from tests.pages import Page, code_of, mid_step
from tests.test_access import undone
from tests.test_asking_again import INVITE, MINUTE, NEW, asks, carried, late, new_key, prove

__all__ = ["late"]  # pytest finds the fixture here
SECOND_FACTOR = ("enable", "confirm", "disable", "recovery-codes")
ASKED = {
    "client/api-access/new",
    "client/api-access/<uuid:key_id>/edit",
    "client/api-access/<uuid:key_id>/rotate",
    "client/api-access/<uuid:key_id>/revoke",
    "client/team/invite",
    "client/team/require-2fa",
    "client/team/<uuid:membership_id>/role",
    "client/team/<uuid:membership_id>/remove",
    "client/team/invitations/<uuid:invitation_id>/resend",
    "client/team/invitations/<uuid:invitation_id>/revoke",
    *(f"{door}/profile/2fa/{act}" for door in ("client", "staff") for act in SECOND_FACTOR),
    "staff/accounts/invitation/add/",
    "staff/accounts/invitation/<uuid:object_id>/resend",
    "staff/accounts/invitation/<uuid:object_id>/revoke",
    "staff/accounts/user/<uuid:object_id>/disable",
    "staff/accounts/user/<uuid:object_id>/enable",
    "staff/accounts/user/<uuid:object_id>/reset-2fa",
    "staff/accounts/tenant/<uuid:object_id>/suspend",
    "staff/accounts/tenant/<uuid:object_id>/reactivate",
    "staff/markets/markettype/<uuid:object_id>/retire",
    *(
        f"staff/apikeys/amqpaccess/<uuid:object_id>/{act}"
        for act in ("provision", "retry", "new-password", "suspend", "reactivate", "remove")
    ),
}


@pytest.fixture
def world(acme: Tenant, globex: Tenant, make_key: MakeKey) -> World:
    """Somebody of each kind, eleven minutes after signing in."""
    key, _ = make_key(acme)
    key.refresh_from_db()
    world = World(acme, globex, key)
    clock.move(11 * MINUTE)
    return world


def test_it_is_asked_for_all_that_is_dangerous_and_for_nothing_else(world: World) -> None:
    """Every route there is: nothing is written before the proof, and a page asks when opened."""
    owner, staff = world.browser("owner"), world.browser("staff")
    asked, wrong = set(), []
    for route in routes():
        client, person = (staff, "staff") if route.startswith("staff/") else (owner, "owner")
        for method in ("GET", "POST"):
            world.restore(client, person)
            with undone() as writes:
                send = client.post if method == "POST" else client.get
                answer = send(world.address(route), world.form(route) if method == "POST" else {})
                does_ask = asks(answer)
                is_silent = not [sql for sql in writes if "accounts_session" not in sql]
            if method == "POST" and does_ask:
                asked.add(route)
            if route in ASKED and not ((does_ask or answer.status_code == 405) and is_silent):
                wrong.append((method, route, answer.status_code, writes))
            if method == "GET" and does_ask and route not in ASKED:
                wrong.append((method, route, answer.status_code, writes))
    assert asked == ASKED
    assert not wrong


def test_whoever_lost_the_role_meanwhile_is_refused(
    late: Client, alice: User, acme: Tenant
) -> None:
    question = late.post(NEW, new_key(acme))
    Membership.objects.filter(user=alice).update(role=Role.VIEWER)
    assert prove(late, NEW, question).status_code == 403


@pytest.mark.parametrize("path", [NEW, INVITE])
def test_a_role_too_low_is_refused_and_not_asked(tina: User, path: str) -> None:
    client = signed_in(tina)
    clock.move(11 * MINUTE)
    assert client.get(path).status_code == client.post(path, {"label": "L"}).status_code == 403


def test_a_forged_proof_proves_nothing(late: Client) -> None:
    """CSRF: another site knows neither the token nor what to do without it."""
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = late.cookies
    proof = {"confirm-password": PASSWORD, "confirm_it_is_you": "1"}
    assert strict.post(NEW, proof).status_code == 403
    assert asks(late.get(NEW))


def test_head_and_unknown_methods_are_answered_as_everywhere(late: Client) -> None:
    assert late.head(NEW).status_code == 200 and late.head(NEW).content == b""
    assert late.put(NEW).status_code == late.delete(NEW).status_code == 405
    assert late.get("/client/team/require-2fa").status_code == 405


def test_whoever_proved_it_in_another_tab_goes_on(late: Client, acme: Tenant) -> None:
    """The question is still open here: whatever is typed into it, the form comes back."""
    question = late.post(NEW, new_key(acme))
    prove(late, INVITE, late.get(INVITE))
    page = Page(prove(late, NEW, question, "wrong"))
    assert page.fields["label"] == new_key(acme)["label"]


def test_an_invitation_that_was_sent_is_shown_as_it_is(late: Client, acme: Tenant) -> None:
    """Resend, Revoke: no form of their own, so that the proof is the press that does it."""
    sent = invite(
        actor=None,
        origin=COMMAND_LINE,
        email="o@example.com",
        username="Olga",
        tenant=acme,
        role=Role.VIEWER,
        send_mail=False,
    ).invitation
    path = f"/client/team/invitations/{sent.pk}"
    question = late.post(f"{path}/resend")
    assert asks(question)
    assert Invitation.objects.get().token_hash == sent.token_hash
    assert asks(prove(late, f"{path}/resend", question, "wrong"))
    assert prove(late, f"{path}/resend", question).headers["Location"] == "/client/team"
    assert Invitation.objects.get().token_hash != sent.token_hash
    clock.move(11 * MINUTE)
    prove(late, f"{path}/revoke", late.post(f"{path}/revoke"))
    assert Invitation.objects.get().revoked_at


def test_requiring_2fa_goes_on_after_the_proof(late: Client, alice: User, acme: Tenant) -> None:
    device = make_authenticator(alice)
    path = "/client/team/require-2fa"
    question = late.post(path, {"required": "1"})
    assert asks(question) and carried(question) == {"required": ["1"]}
    prove(late, path, question, code=code_of(device))
    acme.refresh_from_db()
    assert acme.require_2fa


@pytest.fixture
def sams(sam: User) -> tuple[Client, Authenticator]:
    """Sam's browser, eleven minutes after signing in, and the authenticator that staff have."""
    mid_step()
    device = make_authenticator(sam)
    client = signed_in(sam, has_second_factor=True)
    clock.move(11 * MINUTE)
    return client, device


def test_staff_prove_it_before_they_take_a_second_factor_away(
    sams: tuple[Client, Authenticator], alice: User
) -> None:
    """The reason is carried along, and the proof is the press that does it."""
    client, device = sams
    make_authenticator(alice)
    path = f"/staff/accounts/user/{alice.pk}/reset-2fa"
    question = client.post(path, {"reason": "Lost her phone"})
    assert asks(question) and carried(question) == {"reason": ["Lost her phone"]}
    assert asks(prove(client, path, question))
    assert Authenticator.objects.filter(user=alice).exists()
    done = prove(client, path, question, code=code_of(device))
    assert done.headers["Location"].startswith(f"/staff/accounts/user/{alice.pk}/")
    assert not Authenticator.objects.filter(user=alice).exists()
    assert AuditEvent.objects.get(action=Action.AUTHENTICATOR_RESET).detail == {
        "reason": "Lost her phone"
    }


def test_an_invitation_by_staff_comes_back_as_typed(
    sams: tuple[Client, Authenticator], acme: Tenant
) -> None:
    client, device = sams
    path = "/staff/accounts/invitation/add/"
    form = {"tenant": str(acme.pk), "role": "trader", "email": "o@example.com", "username": "Olga"}
    question = client.post(path, form)
    answer = prove(client, path, question, code=code_of(device))
    page, html = Page(answer), answer.content.decode()
    assert (page.fields["email"], page.fields["username"]) == ("o@example.com", "Olga")
    assert f'<option value="{acme.pk}" selected>' in html
    assert '<option value="trader" selected>' in html
    assert not Invitation.objects.exists()
    client.post(path, form)
    assert Invitation.objects.get().role == Role.TRADER


def test_an_enrolment_that_was_left_open_needs_a_proof_again(late: Client, alice: User) -> None:
    """Whoever finds the browser neither reads the secret nor turns 2FA on with it."""
    waiting = make_authenticator(alice)
    Authenticator.objects.update(confirmed=False)
    path = "/client/profile/2fa/confirm"
    assert asks(late.get(path))
    assert asks(late.post(path, {"code": code_of(waiting)}))
    assert not Authenticator.objects.filter(confirmed=True).exists()
    prove(late, path, late.get(path))
    assert "totp-secret" in late.get(path).content.decode()
