"""/client/invite/<token>: what it says, what it makes, and of whom."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEvent, Invitation, Membership, Role, Session, Tenant, User
from accounts.origin import COMMAND_LINE
from accounts.services.invitations import Sent, invite
from accounts.services.tenants import set_tenant_active
from tests.conftest import PASSWORD, make_authenticator, make_member, make_user, signed_in
from tests.pages import Page, code_of, holds, is_signed_in, session_cookie, sign_in, text

NEW = "seven herons over the estuary"
GOOD = {"new_password": NEW, "confirm_password": NEW}
OLGA = {"email": "Olga@example.com", "username": "olga", "name": "Olga Ivanova"}


def send(tenant: Tenant | None, role: str = Role.DEVELOPER, **given: Any) -> Sent:
    """An invitation of Olga's by the command line, or whatever is given."""
    return invite(
        **{
            "actor": None,
            "origin": COMMAND_LINE,
            "tenant": tenant,
            "role": role if tenant else "",
            "send_mail": False,
            **OLGA,
            **given,
        }
    )


def path_of(sent: Sent) -> str:
    """The link without its host."""
    return "/client/invite/" + sent.link.partition("/client/invite/")[2]


def test_the_page_says_who_invited_to_what_and_until_when(acme: Tenant, alice: User) -> None:
    alice.name = "Alice Liddell"
    alice.save()
    sent = send(acme, actor=alice)
    ends = f"{sent.invitation.expires_at:%Y-%m-%d %H:%M} UTC"
    page = text(Client().get(path_of(sent)))
    for words in (
        "Join Acme Sportsbook",
        "Invited by Alice Liddell",
        "Role Developer",
        "Username olga",
        "E-mail Olga@example.com",
        f"Link ends {ends}",
        "New password",
        "Confirm password",
        "Set password",
    ):
        assert words in page


def test_without_a_person_behind_it_the_provider_invites(acme: Tenant) -> None:
    assert "Invited by Ticktock" in text(Client().get(path_of(send(acme))))


def test_a_good_password_makes_the_user_and_signs_in(acme: Tenant) -> None:
    sent, client = send(acme), Client()
    answer = client.post(path_of(sent), GOOD)
    assert answer.headers["Location"] == "/client/"
    olga = User.objects.get()
    assert (olga.username, olga.email, olga.name) == tuple(
        OLGA[part] for part in ("username", "email", "name")
    )
    assert not olga.is_staff
    assert [(m.tenant, m.role) for m in olga.memberships.all()] == [(acme, "developer")]
    assert holds(olga, NEW)
    page = text(client.get("/client/"))
    assert "Acme Sportsbook" in page and "olga" in page


def test_it_is_recorded_with_who_and_where(acme: Tenant) -> None:
    sent = send(acme)
    Client(REMOTE_ADDR="203.0.113.7").post(path_of(sent), GOOD)
    event = AuditEvent.objects.get(action="invitation.accepted")
    assert (event.actor_name, event.tenant_id, event.address) == ("olga", acme.pk, "203.0.113.7")
    assert event.target_id == sent.invitation.pk


def test_accepting_gives_a_session_of_its_own(acme: Tenant, dave: User) -> None:
    """Promise 10; and whoever was signed in here before is not any more."""
    client = signed_in(dave)
    before = session_cookie(client)
    client.post(path_of(send(acme)), GOOD)
    assert session_cookie(client) != before
    assert [session.user.username for session in Session.objects.all()] == ["olga"]


def test_a_bad_password_is_explained_and_spends_nothing(acme: Tenant) -> None:
    """Promise 22."""
    sent = send(acme)
    answer = Client().post(path_of(sent), {"new_password": "short", "confirm_password": "other"})
    page = text(answer)
    assert "This password is too short" in page
    assert "Join Acme Sportsbook" in page
    assert "short" not in Page(answer).fields.values()
    assert Invitation.objects.get().is_pending
    assert not User.objects.exists()
    assert Client().post(path_of(sent), GOOD).status_code == 302


def test_looking_a_hundred_times_and_failing_leaves_it_pending(acme: Tenant) -> None:
    """Promise 22: mail scanners and link previews spend nothing."""
    sent = send(acme)
    before = list(Invitation.objects.values())
    client, path = Client(), path_of(sent)
    for turn in range(50):
        assert client.get(path).status_code == 200
        assert client.head(path).status_code == 200
        if turn < 8:
            assert client.post(path, {"new_password": f"short{turn}"}).status_code == 200
    assert client.post(path).status_code == 200
    assert client.put(path).status_code == 405
    assert Client(enforce_csrf_checks=True).post(path, GOOD).status_code == 403
    assert list(Invitation.objects.values()) == before
    assert not User.objects.exists()
    assert client.post(path, GOOD).status_code == 302


def test_extra_fields_are_ignored(acme: Tenant, globex: Tenant) -> None:
    """Promise 26: address, tenant and role come from the row."""
    extra = {
        "email": "evil@example.com",
        "username": "evil",
        "name": "Evil",
        "role": "owner",
        "tenant": str(globex.pk),
        "is_staff": "on",
        "is_active": "",
        "id": "00000000-0000-4000-8000-000000000000",
    }
    Client().post(path_of(send(acme, Role.VIEWER)), {**GOOD, **extra})
    olga = User.objects.get()
    assert (olga.username, olga.email, olga.name) == ("olga", "Olga@example.com", "Olga Ivanova")
    assert not olga.is_staff and olga.is_active
    assert [(m.tenant, m.role) for m in Membership.objects.all()] == [(acme, "viewer")]


def test_staff_are_invited_without_a_tenant_and_have_no_panel_before_the_second_factor(
    database: None,
) -> None:
    """Promise 21."""
    sent, client = send(None), Client()
    page = text(client.get(path_of(sent)))
    assert "Join the staff of Ticktock" in page and "Role" not in page
    assert client.post(path_of(sent), GOOD).headers["Location"] == "/staff/"
    olga = User.objects.get()
    assert olga.is_staff and not olga.memberships.exists()
    assert client.get("/staff/").headers["Location"] == "/staff/profile/2fa/enable"
    assert client.get("/client/").status_code == 403


@pytest.fixture
def known(globex: Tenant) -> User:
    """Olga has an account already, at Globex, under another name."""
    olga = make_member(globex, "OlgaI", Role.OWNER)
    olga.email = "olga@example.com"
    olga.save()
    return olga


def test_an_address_with_an_account_is_asked_to_sign_in(acme: Tenant, known: User) -> None:
    """Whatever the case of the address; no password is set here."""
    path = path_of(send(acme))
    answer = Client().get(path)
    assert "This address already has an account. Sign in with it to join" in text(answer)
    assert "new_password" not in Page(answer).fields
    assert f"/client/login?next={path.replace('/', '%2F')}" in Page(answer).links


def test_a_password_sent_for_an_address_with_an_account_is_ignored(
    acme: Tenant, known: User
) -> None:
    path = path_of(send(acme))
    client = Client()
    client.post(path, GOOD)
    assert holds(known, PASSWORD)
    assert not is_signed_in(client)
    assert Invitation.objects.get().is_pending


def test_after_signing_in_it_joins_and_the_password_stays(acme: Tenant, known: User) -> None:
    path = path_of(send(acme))
    client = Client()
    assert sign_in(client, "OlgaI", next=path).headers["Location"] == path
    assert "You are signed in as OlgaI. Your password stays as it is." in text(client.get(path))
    assert client.post(f"{path}/join").headers["Location"] == "/client/"
    roles = known.memberships.values_list("tenant__slug", "role")
    assert set(roles) == {("globex", "owner"), ("acme", "developer")}
    assert holds(known, PASSWORD)
    assert "Acme Sportsbook" in text(client.get("/client/"))
    assert client.post(f"{path}/join").status_code == 404


def test_joining_takes_the_second_factor_too(acme: Tenant, known: User) -> None:
    """Promise 21."""
    device = make_authenticator(known)
    path, client = path_of(send(acme)), Client()
    sign_in(client, "OlgaI", next=path)
    assert client.post(f"{path}/join").headers["Location"] == path
    assert Invitation.objects.get().is_pending
    answer = client.post("/client/login/code", {"code": code_of(device)})
    assert answer.headers["Location"] == path
    assert client.post(f"{path}/join").status_code == 302
    assert Invitation.objects.get().accepted_by == known


def test_somebody_else_is_told_whose_it_is_and_cannot_join(
    acme: Tenant, known: User, mallory: User
) -> None:
    path, client = path_of(send(acme)), signed_in(mallory)
    page = text(client.get(path))
    assert "You are signed in as Mallory, but this invitation is for Olga@example.com" in page
    assert "Sign out" in page
    assert client.post(f"{path}/join").status_code == 404
    assert not mallory.memberships.filter(tenant=acme).exists()
    assert Invitation.objects.get().is_pending


def test_nobody_joins_without_signing_in(acme: Tenant, known: User) -> None:
    path = path_of(send(acme))
    assert Client().post(f"{path}/join").headers["Location"] == path
    assert Client().get(f"{path}/join").status_code == 405
    assert Invitation.objects.get().is_pending


def test_a_username_taken_meanwhile_is_said_and_spends_nothing(acme: Tenant) -> None:
    sent = send(acme)
    make_user("OLGA", name="another one")
    User.objects.update(email="another@example.com")
    answer = Client().post(path_of(sent), GOOD)
    assert "Somebody else took this username meanwhile" in text(answer)
    assert Invitation.objects.get().is_pending
    assert User.objects.count() == 1


def test_nobody_joins_a_suspended_tenant(acme: Tenant) -> None:
    sent = send(acme)
    set_tenant_active(tenant_id=acme.pk, is_active=False, actor=None, origin=COMMAND_LINE)
    assert Client().get(path_of(sent)).status_code == 404
    assert Client().post(path_of(sent), GOOD).status_code == 404
    assert not User.objects.exists()
    set_tenant_active(tenant_id=acme.pk, is_active=True, actor=None, origin=COMMAND_LINE)
    assert Client().post(path_of(sent), GOOD).status_code == 302


def test_two_tenants_may_invite_one_address(acme: Tenant, globex: Tenant) -> None:
    """The first makes the account, the second is joined with it."""
    first, second = send(acme), send(globex, username="olga")
    client = Client()
    client.post(path_of(first), GOOD)
    client.post(f"{path_of(second)}/join")
    assert set(Membership.objects.values_list("tenant__slug", flat=True)) == {"acme", "globex"}


@pytest.mark.parametrize("to_staff", [True, False])
def test_an_account_that_came_later_is_not_made_both_staff_and_member(
    acme: Tenant, globex: Tenant, to_staff: bool
) -> None:
    """They have separate accounts: such a link is dead."""
    path = path_of(send(None if to_staff else acme))
    olga = make_user("OlgaI", is_staff=not to_staff)
    olga.email = "olga@example.com"
    olga.save()
    if to_staff:
        olga.memberships.create(tenant=globex, role=Role.OWNER)
    client = signed_in(olga)
    assert client.get(path).status_code == 404
    assert client.post(path, GOOD).status_code == 404
    assert client.post(f"{path}/join").status_code == 404
    olga.refresh_from_db()
    assert olga.is_staff is not to_staff
    assert olga.memberships.count() == int(to_staff)
