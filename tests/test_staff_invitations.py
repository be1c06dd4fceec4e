"""**Invite operator** in the panel, and **Resend** and **Revoke** on what was sent."""

from typing import Any

import pytest
from django.core import mail
from django.core.exceptions import PermissionDenied
from django.test import Client

from accounts.models import AuditEvent, Invitation, Role, Tenant, User
from accounts.origin import COMMAND_LINE, Origin
from accounts.services.invitations import InvitationError, invite, resend_invitation
from tests.conftest import signed_in
from tests.pages import Page, at, text
from tests.test_invitations import GOOD, OLGA, path_of, send
from tests.test_staff import act, change_page

ADD = "/staff/accounts/invitation/add/"


@pytest.fixture
def panel(sam: User) -> Client:
    """Sam's browser, in the panel."""
    return signed_in(sam, has_second_factor=True)


@pytest.fixture
def form(acme: Tenant) -> dict[str, Any]:
    """What is filled in for Olga."""
    return {**OLGA, "tenant": acme.pk, "role": "owner"}


def test_an_operator_is_invited(
    panel: Client, acme: Tenant, form: dict[str, Any], django_capture_on_commit_callbacks: Any
) -> None:
    """Address, username, role, tenant and name; the mail goes out at once."""
    listed = panel.get("/staff/accounts/invitation/")
    assert "Invite operator" in text(listed) and "Add invitation" not in text(listed)
    assert "Invite operator" in text(panel.get(ADD))
    with django_capture_on_commit_callbacks(execute=True):
        answer = panel.post(ADD, form)
    invitation = Invitation.objects.get()
    assert answer.headers["Location"] == change_page(invitation)
    page = text(panel.get(change_page(invitation)))
    for words in (
        "Invited Olga@example.com. The link is good for 72 hours.",
        "Acme Sportsbook · Owner",
        "Olga Ivanova",
        "Pending",
        "Resend",
        "Revoke",
    ):
        assert words in page
    assert [message.to for message in mail.outbox] == [["Olga@example.com"]]
    event = AuditEvent.objects.get(action="invitation.sent")
    assert (event.actor_name, event.tenant_id) == ("Sam", acme.pk)


def test_the_tenants_page_leads_to_the_form_with_the_tenant_chosen(
    panel: Client, acme: Tenant
) -> None:
    page = panel.get(ADD, {"tenant": str(acme.pk)}).content.decode()
    assert f'value="{acme.pk}" selected' in page


def test_the_page_holds_no_link_and_no_token(panel: Client, acme: Tenant) -> None:
    """Promise 38's cousin: a link is in its mail alone."""
    sent = send(acme)
    body = panel.get(change_page(sent.invitation)).content.decode()
    assert sent.link.rpartition("/")[2] not in body
    assert bytes(sent.invitation.token_hash).hex() not in body


def test_staff_are_invited_with_neither_tenant_nor_role(panel: Client, database: None) -> None:
    assert panel.post(ADD, {**OLGA, "tenant": "", "role": ""}).status_code == 302
    invitation = Invitation.objects.get()
    assert (invitation.is_staff, invitation.tenant, invitation.role) == (True, None, "")
    assert "staff" in text(panel.get(change_page(invitation)))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"role": ""}, "Choose both a tenant and a role, or neither for staff."),
        ({"tenant": ""}, "Choose both a tenant and a role, or neither for staff."),
        ({"role": "emperor"}, "Select a valid choice."),
        ({"tenant": "00000000-0000-4000-8000-000000000000"}, "Select a valid choice."),
        ({"email": "olga"}, "Enter a valid email address."),
        ({"email": ""}, "This field is required."),
        ({"email": "olga@example.com\r\nBcc: x@example.com"}, "Enter a valid email address."),
        ({"username": ""}, "This field is required."),
        ({"username": "olga@acme"}, "A username holds no “@”"),
        ({"username": "olga\nivanova"}, "A username holds no “@”"),
        ({"username": "x" * 65}, "at most 64 characters"),
        ({"email": "Alice@EXAMPLE.com"}, "This address already belongs to a member of the tenant."),
        ({"email": "sam@example.com"}, "This address already has an account."),
        ({"tenant": "", "role": "", "email": "alice@example.com"}, "already has an account"),
        ({"username": "ALICE"}, "This username is taken."),
        ({"username": "Pending"}, "This username is reserved by another invitation."),
        ({"email": "PENDING@example.com"}, "This address has a pending invitation."),
    ],
)
def test_what_stands_in_the_way_is_said_and_nothing_is_sent(
    panel: Client, acme: Tenant, alice: User, form: dict[str, Any], given: Any, said: str
) -> None:
    send(acme, email="pending@example.com", username="pending")
    answer = panel.post(ADD, {**form, **given})
    assert answer.status_code == 200
    assert said in text(answer)
    assert Invitation.objects.count() == 1
    if "email" not in given:
        assert Page(answer).fields["email"] == "Olga@example.com"


def test_a_username_that_was_promised_is_free_again_when_the_link_is_dead(
    panel: Client, acme: Tenant, form: dict[str, Any]
) -> None:
    sent = send(acme, email="pending@example.com", username="olga")
    assert panel.post(ADD, form).status_code == 200
    at(sent.invitation.expires_at)
    client = signed_in(User.objects.get(username="Sam"), has_second_factor=True)
    assert client.post(ADD, form).status_code == 302


def test_somebody_of_another_tenant_is_invited_whatever_the_username(
    panel: Client, mallory: User, form: dict[str, Any]
) -> None:
    """They keep the username they have."""
    given = {"email": "mallory@example.com", "username": "mallory"}
    assert panel.post(ADD, {**form, **given}).status_code == 302


def test_extra_fields_change_nothing(panel: Client, form: dict[str, Any]) -> None:
    """Promise 26: what the form does not ask is not taken from it."""
    extra = {
        "is_staff": "on",
        "expires_at_0": "2099-01-01",
        "expires_at": "2099-01-01",
        "token_hash": "x",
        "accepted_at": "2020-01-01",
        "invited_by": "",
    }
    panel.post(ADD, {**form, **extra})
    invitation = Invitation.objects.get()
    assert not invitation.is_staff and invitation.accepted_at is None
    assert invitation.invited_by == User.objects.get(username="Sam")
    assert invitation.expires_at.year < 2099


def test_resend_and_revoke_are_one_click_each(panel: Client, acme: Tenant) -> None:
    sent = send(acme)
    page = act(panel, sent.invitation, "resend")
    assert "A new link is on its way; the old one is dead." in page
    assert Client().get(path_of(sent)).status_code == 404
    assert "Revoked: the link is dead." in act(panel, sent.invitation, "revoke")
    page = text(panel.get(change_page(sent.invitation)))
    assert "Revoked" in page and "Resend" not in page
    assert "It was accepted or revoked meanwhile." in act(panel, sent.invitation, "resend")
    assert "It was accepted or revoked meanwhile." in act(panel, sent.invitation, "revoke")


def test_an_expired_one_is_shown_as_that_and_can_be_sent_again(sam: User, acme: Tenant) -> None:
    sent = send(acme)
    at(sent.invitation.expires_at)
    client = signed_in(sam, has_second_factor=True)
    assert "Expired" in text(client.get(change_page(sent.invitation)))
    act(client, sent.invitation, "resend")
    assert Invitation.objects.get().is_pending


def test_an_accepted_one_offers_nothing_more(panel: Client, acme: Tenant) -> None:
    sent = send(acme)
    Client().post(path_of(sent), GOOD)
    page = panel.get(change_page(sent.invitation))
    assert "State: Accepted" in text(page)
    assert "/resend" not in page.content.decode() and "/revoke" not in page.content.decode()


def test_what_was_sent_is_not_edited(panel: Client, acme: Tenant) -> None:
    sent = send(acme)
    answer = panel.post(change_page(sent.invitation), {**OLGA, "role": "owner"})
    assert answer.status_code == 403
    assert Invitation.objects.get().role == "developer"


@pytest.mark.parametrize("name", ["resend", "revoke"])
def test_looking_at_an_acts_address_does_nothing(panel: Client, acme: Tenant, name: str) -> None:
    sent = send(acme)
    path = f"/staff/accounts/invitation/{sent.invitation.pk}/{name}"
    assert panel.get(path).status_code == 405
    assert Client().get(path_of(sent)).status_code == 200


@pytest.mark.parametrize("who", ["dave", "tina", "victor", "mallory"])
def test_the_service_lets_owners_and_staff_invite_and_nobody_else(
    request: pytest.FixtureRequest, acme: Tenant, who: str
) -> None:
    """Promise 26: nobody invites above their own role, or over the wall."""
    actor = request.getfixturevalue(who)
    given = {"actor": actor, "origin": COMMAND_LINE, "email": "x@example.com", "username": "x"}
    sent = send(acme)
    with pytest.raises(PermissionDenied):
        invite(tenant=acme, role=Role.VIEWER, **given)
    with pytest.raises(InvitationError, match="Only staff invite staff"):
        invite(tenant=None, **given)
    with pytest.raises(PermissionDenied):
        resend_invitation(invitation_id=sent.invitation.pk, actor=actor, origin=Origin())
    assert Invitation.objects.count() == 1


def test_an_owner_may_invite_into_their_own_tenant_alone(
    acme: Tenant, globex: Tenant, alice: User
) -> None:
    given = {"actor": alice, "origin": COMMAND_LINE, "role": Role.OWNER, "send_mail": False}
    invite(tenant=acme, email="x@example.com", username="x", **given)
    with pytest.raises(PermissionDenied):
        invite(tenant=globex, email="y@example.com", username="y", **given)
    assert Invitation.objects.get().tenant == acme
