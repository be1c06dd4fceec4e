"""/client/team: who belongs, who may change it, and the owner that every tenant keeps.

Security promises 26, 29, 35 and 37.
"""

import re
import uuid
from typing import Any

import pytest
from django.core import mail

from accounts.models import Action, AuditEvent, Invitation, Membership, Role, Session, Tenant, User
from accounts.origin import COMMAND_LINE
from accounts.services.invitations import invite
from tests.at_once import at_once, posts
from tests.conftest import make_authenticator, make_member, signed_in
from tests.mailbox import queued
from tests.pages import is_signed_in, session_cookie, text

TEAM = "/client/team"
INVITE = "/client/team/invite"
OLGA = {"email": "Olga@example.com", "username": "Olga", "name": "Olga I.", "role": Role.TRADER}


def membership(user: User) -> Membership:
    """The user's one membership."""
    return Membership.objects.get(user=user)


def path_of(user: User, act: str) -> str:
    return f"{TEAM}/{membership(user).pk}/{act}"


def role_of(user: User) -> str:
    return membership(user).role


def invited(tenant: Tenant, email: str = "new@example.com") -> Invitation:
    """One that staff have sent."""
    return invite(
        actor=None,
        origin=COMMAND_LINE,
        email=email,
        username=email.partition("@")[0],
        tenant=tenant,
        role=Role.DEVELOPER,
        send_mail=False,
    ).invitation


@pytest.mark.parametrize("role", Role.values)
def test_everybody_sees_the_team_and_owners_change_it(
    acme: Tenant, alice: User, role: Role
) -> None:
    make_authenticator(alice)
    invited(acme)
    viewer = make_member(acme, "Anyone", role)
    answer = signed_in(viewer).get(TEAM)
    page, html = text(answer), answer.content.decode()
    for words in ("alice@example.com", "Owner", "new@example.com", "Pending", "On", "Off"):
        assert words in page
    for word in ("Invite", "Change role", "Remove", "Resend", "Revoke"):
        assert (f">{word}<" in html) is (role == Role.OWNER)


def test_nobody_sees_another_team(alice: User, mallory: User, globex: Tenant) -> None:
    invited(globex, "secret@example.com")
    page = text(signed_in(alice).get(TEAM))
    assert "Mallory" not in page and "secret@example.com" not in page


def test_the_team_costs_as_many_queries_whoever_belongs(
    acme: Tenant, alice: User, django_assert_num_queries: Any, django_assert_max_num_queries: Any
) -> None:
    client = signed_in(alice)
    with django_assert_max_num_queries(12) as few:
        client.get(TEAM)
    for number in range(20):
        make_member(acme, f"Member{number}", Role.VIEWER)
        invited(acme, f"guest{number}@example.com")
    with django_assert_num_queries(len(few)):
        assert text(client.get(TEAM)).count("@example.com") >= 41


def test_an_owner_invites(
    acme: Tenant, alice: User, django_capture_on_commit_callbacks: Any
) -> None:
    client = signed_in(alice)
    with django_capture_on_commit_callbacks(execute=True):
        answer = client.post(INVITE, OLGA)
    assert answer.headers["Location"] == TEAM
    sent = Invitation.objects.get()
    assert (sent.tenant, sent.role, sent.invited_by) == (acme, Role.TRADER, alice)
    (message,) = mail.outbox
    assert message.to == ["Olga@example.com"]
    page = text(client.get(TEAM))
    assert "Invitation sent to Olga@example.com. The link is good for 72 hours." in page
    event = AuditEvent.objects.get(action=Action.INVITATION_SENT)
    assert (event.actor_id, event.tenant_id) == (alice.pk, acme.pk)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"email": "ALICE@example.com"}, "already belongs to a member"),
        ({"username": "alice"}, "This username is taken."),
        ({"username": "a@b"}, "A username holds no"),
        ({"email": "new@example.com"}, "has a pending invitation"),
        ({"email": "nonsense"}, "valid email"),
        ({"role": "king"}, "not one of the available choices"),
    ],
)
def test_what_stands_in_the_way_is_said_and_nothing_is_sent(
    acme: Tenant, alice: User, changed: dict[str, str], sentence: str
) -> None:
    invited(acme)
    answer = signed_in(alice).post(INVITE, {**OLGA, **changed})
    assert sentence in text(answer)
    assert Invitation.objects.count() == 1 and not mail.outbox


def test_tenant_and_staff_cannot_be_asked_for(acme: Tenant, globex: Tenant, alice: User) -> None:
    """Promise 26: what is not in the form is no part of it."""
    extra = {"tenant": str(globex.pk), "is_staff": "1", "expires_at": "2099-01-01"}
    signed_in(alice).post(INVITE, {**OLGA, **extra})
    sent = Invitation.objects.get()
    assert (sent.tenant, sent.is_staff) == (acme, False)


@pytest.mark.parametrize("role", [Role.DEVELOPER, Role.TRADER, Role.VIEWER])
def test_nobody_but_owners_changes_the_team(acme: Tenant, alice: User, role: Role) -> None:
    """Nor invites anybody, above their own role or below it."""
    sent = invited(acme)
    client = signed_in(make_member(acme, "Anyone", role))
    for path, form in (
        (INVITE, {**OLGA, "role": Role.VIEWER}),
        (path_of(alice, "role"), {"role": Role.VIEWER}),
        (path_of(alice, "remove"), {}),
        (f"{TEAM}/invitations/{sent.pk}/resend", {}),
        (f"{TEAM}/invitations/{sent.pk}/revoke", {}),
        (f"{TEAM}/require-2fa", {"required": "1"}),
    ):
        assert client.post(path, form).status_code == 403
    assert role_of(alice) == Role.OWNER
    assert Invitation.objects.get().is_pending


def test_an_owner_sends_again_and_revokes(acme: Tenant, alice: User) -> None:
    sent = invited(acme)
    client = signed_in(alice)
    client.post(f"{TEAM}/invitations/{sent.pk}/resend")
    again = Invitation.objects.get()
    assert bytes(again.token_hash) != bytes(sent.token_hash) and again.is_pending
    answer = client.post(f"{TEAM}/invitations/{sent.pk}/revoke", follow=True)
    assert "Revoked: the link is dead." in text(answer)
    assert "Pending" not in text(answer)
    assert not Invitation.objects.get().is_pending
    answer = client.post(f"{TEAM}/invitations/{sent.pk}/resend", follow=True)
    assert "It was accepted or revoked meanwhile." in text(answer)


def test_an_invitation_whose_mail_did_not_go_says_so(
    alice: User, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    client = signed_in(alice)
    with django_capture_on_commit_callbacks(execute=True):
        client.post(INVITE, OLGA)
    assert "Mail not sent" in text(client.get(TEAM))


def test_a_role_holds_from_the_next_request(alice: User, dave: User, acme: Tenant) -> None:
    """Promise 29: the page that is open is worth nothing."""
    owner, member = signed_in(alice), signed_in(dave)
    assert member.get("/client/api-access/new").status_code == 200
    owner.post(path_of(dave, "role"), {"role": Role.VIEWER})
    assert member.post("/client/api-access/new", {"label": "L"}).status_code == 403
    owner.post(path_of(dave, "role"), {"role": Role.OWNER})
    assert member.get(INVITE).status_code == 200
    events = AuditEvent.objects.filter(action=Action.MEMBER_ROLE_CHANGED).order_by("pk")
    assert [event.detail["role"] for event in events] == [
        ["developer", "viewer"],
        ["viewer", "owner"],
    ]
    assert {event.tenant_id for event in events} == {acme.pk}
    assert [job.context["role"] for job in queued("role_changed")] == ["viewer", "owner"]


def test_the_role_one_has_is_no_change(alice: User, dave: User) -> None:
    signed_in(alice).post(path_of(dave, "role"), {"role": Role.DEVELOPER})
    assert not AuditEvent.objects.filter(action=Action.MEMBER_ROLE_CHANGED).exists()
    assert not queued()


def test_a_removed_member_is_out_at_once(alice: User, dave: User, acme: Tenant) -> None:
    owner, member = signed_in(alice), signed_in(dave)
    path = path_of(dave, "remove")
    assert "Remove Dave" in text(owner.get(path))
    assert Membership.objects.filter(user=dave).exists()
    assert "Dave no longer belongs to the team." in text(owner.post(path, follow=True))
    assert not is_signed_in(member)
    assert not Session.objects.filter(user=dave).exists()
    event = AuditEvent.objects.get(action=Action.MEMBER_REMOVED)
    assert (event.target_id, event.tenant_id) == (dave.pk, acme.pk)
    assert owner.post(path).status_code == 404


def test_whoever_belongs_elsewhere_too_stays_there(alice: User, dave: User, globex: Tenant) -> None:
    path = path_of(dave, "remove")
    globex.memberships.create(user=dave, role=Role.VIEWER)
    member = signed_in(dave)
    signed_in(alice).post(path)
    page = text(member.get("/client/"))
    assert "Globex" in page and "Acme" not in page


@pytest.mark.parametrize(("act", "form"), [("role", {"role": Role.VIEWER}), ("remove", {})])
def test_the_last_owner_stays(alice: User, dave: User, act: str, form: dict[str, str]) -> None:
    """Promise 37; and one who is disabled is no owner to count on."""
    client = signed_in(alice)
    path = path_of(alice, act)
    answer = client.post(path, form, follow=True)
    assert "A tenant keeps at least one owner." in text(answer)
    other = make_member(membership(alice).tenant, "Anna", Role.OWNER)
    User.objects.filter(pk=other.pk).update(is_active=False)
    client.post(path, form)
    assert role_of(alice) == Role.OWNER
    User.objects.filter(pk=other.pk).update(is_active=True)
    client.post(path, form)
    assert not Membership.objects.filter(user=alice, role=Role.OWNER).exists()


@pytest.mark.usefixtures("committed_db")
@pytest.mark.parametrize("act", ["role", "remove"])
def test_owners_who_leave_at_once_leave_one(acme: Tenant, act: str) -> None:
    """Each gives up their own: the last one is refused."""
    owners = [make_member(acme, f"Owner{number}", Role.OWNER) for number in range(5)]
    acts = [
        posts(path_of(owner, act), {"role": Role.VIEWER}, [session_cookie(signed_in(owner))])[0]
        for owner in owners
    ]
    answers = at_once(acts)
    assert Membership.objects.filter(role=Role.OWNER).count() == 1
    assert all(answer.status_code < 500 for answer in answers)


def test_another_tenants_ids_are_404(alice: User, mallory: User, globex: Tenant) -> None:
    """Promise 35: byte for byte what an id is that never was."""
    client, sent = signed_in(alice), invited(globex)

    def answer_to(path: str, *, post: bool) -> tuple[int, bytes]:
        answer: Any = client.post(path, {"role": Role.OWNER}) if post else client.get(path)
        return answer.status_code, answer.content

    for act, known in (("{}/role", membership(mallory).pk), ("{}/remove", membership(mallory).pk)):
        for post in (False, True):
            theirs = answer_to(f"{TEAM}/{act.format(known)}", post=post)
            nobodys = answer_to(f"{TEAM}/{act.format(uuid.uuid4())}", post=post)
            assert theirs[0] == 404 and same(theirs[1], nobodys[1])
    for act in ("resend", "revoke"):
        theirs = answer_to(f"{TEAM}/invitations/{sent.pk}/{act}", post=True)
        nobodys = answer_to(f"{TEAM}/invitations/{uuid.uuid4()}/{act}", post=True)
        assert theirs[0] == 404 and same(theirs[1], nobodys[1])
    assert role_of(mallory) == Role.OWNER and Invitation.objects.get().is_pending


def same(one: bytes, other: bytes) -> bool:
    """The same page, but for the token that every form carries anew."""
    token = rb'(name="csrfmiddlewaretoken" value=")[^"]*'
    return re.sub(token, rb"\1", one) == re.sub(token, rb"\1", other)
