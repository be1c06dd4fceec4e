"""An invitation's link: how long it lives, what kills it, and what a dead one says."""

import datetime as dt
import re
from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEvent, Invitation, Role, Tenant, User
from accounts.origin import COMMAND_LINE
from accounts.services.invitations import (
    InvitationIsDead,
    Sent,
    resend_invitation,
    revoke_invitation,
)
from accounts.services.tenants import set_tenant_active
from tests.conftest import signed_in
from tests.pages import at, everything_of, text, whole_dump
from tests.test_invitations import GOOD, OLGA, path_of, send

SECOND = dt.timedelta(seconds=1)
UNKNOWN = "/client/invite/" + "A" * 43


def is_alive(sent: Sent) -> bool:
    """Does the link show a form?"""
    return Client().get(path_of(sent)).status_code == 200


def resend(sent: Sent) -> Sent:
    """Send it again."""
    return resend_invitation(
        invitation_id=sent.invitation.pk, actor=None, origin=COMMAND_LINE, send_mail=False
    )


def revoke(sent: Sent) -> None:
    """Kill it."""
    revoke_invitation(invitation_id=sent.invitation.pk, actor=None, origin=COMMAND_LINE)


def test_it_lives_for_72_hours(acme: Tenant) -> None:
    """Promise 24."""
    sent = send(acme)
    end = sent.invitation.sent_at + dt.timedelta(hours=72)
    assert sent.invitation.expires_at == end
    at(end - SECOND)
    assert is_alive(sent)
    at(end - SECOND)
    assert Client().post(path_of(sent), GOOD).status_code == 302


def test_a_second_later_it_is_dead(acme: Tenant) -> None:
    """Promise 24, for looking and for accepting."""
    sent = send(acme)
    at(sent.invitation.sent_at + dt.timedelta(hours=72) + SECOND)
    assert not is_alive(sent)
    assert Client().post(path_of(sent), GOOD).status_code == 404
    assert not User.objects.exists()


def test_every_dead_link_looks_the_same(acme: Tenant, globex: Tenant) -> None:
    """Promise 24: byte for byte, used, revoked, replaced, expired, suspended or unknown."""
    used, revoked, replaced, suspended, expired = (
        send(
            globex if name == "suspended" else acme,
            email=f"{name}@example.com",
            username=name,
        )
        for name in ("used", "revoked", "replaced", "suspended", "expired")
    )
    Client().post(path_of(used), GOOD)
    revoke(revoked)
    set_tenant_active(tenant_id=globex.pk, is_active=False, actor=None, origin=COMMAND_LINE)
    at(expired.invitation.expires_at + SECOND)
    resend(replaced)
    paths = [path_of(sent) for sent in (used, revoked, replaced, suspended, expired)]
    paths += [UNKNOWN, "/client/invite/x", "/client/invite/%F0%9F%90%A2"]
    answers = [
        answer for path in paths for answer in (Client().get(path), Client().post(path, GOOD))
    ]
    assert all(everything_of(answer) == everything_of(answers[0]) for answer in answers)
    page = text(answers[0])
    assert answers[0].status_code == 404
    assert "This link does not work" in page
    assert "Ask for a new invitation: b2b@ticktock.bet" in page


def test_a_dead_link_opens_nothing_for_somebody_signed_in(acme: Tenant, dave: User) -> None:
    client = signed_in(dave)
    assert "This link does not work" in text(client.get(UNKNOWN))
    assert "This link does not work" in text(client.post(f"{UNKNOWN}/join"))


def test_resend_kills_the_old_link_and_gives_the_new_one_fresh_72_hours(acme: Tenant) -> None:
    """Promise 25."""
    first = send(acme)
    at(first.invitation.expires_at - SECOND * 10)
    second = resend(first)
    assert second.link != first.link
    assert not is_alive(first) and is_alive(second)
    assert Client().post(path_of(first), GOOD).status_code == 404
    at(second.invitation.sent_at + dt.timedelta(hours=72) - SECOND)
    assert is_alive(second)
    assert Invitation.objects.count() == 1


def test_resend_wakes_one_that_expired(acme: Tenant) -> None:
    sent = send(acme)
    at(sent.invitation.expires_at + SECOND)
    assert is_alive(resend(sent))


def test_revoke_kills_it_at_once_and_for_good(acme: Tenant) -> None:
    """Promise 25."""
    sent = send(acme)
    revoke(sent)
    assert not is_alive(sent)
    with pytest.raises(InvitationIsDead):
        resend(sent)
    with pytest.raises(InvitationIsDead):
        revoke(sent)


@pytest.mark.parametrize("act", [resend, revoke])
def test_what_was_accepted_is_neither_sent_again_nor_revoked(acme: Tenant, act: Any) -> None:
    sent = send(acme)
    Client().post(path_of(sent), GOOD)
    with pytest.raises(InvitationIsDead):
        act(sent)
    assert Invitation.objects.get().state == "accepted"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "127.0.0.1:9"},
        {"X-Forwarded-Host": "evil.example"},
        {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"},
        {"Forwarded": "host=evil.example"},
        {"X-Forwarded-Server": "evil.example", "X-Host": "evil.example"},
    ],
)
def test_the_headers_of_whoever_invites_are_not_in_the_link(
    acme: Tenant,
    sam: User,
    headers: dict[str, str],
    django_capture_on_commit_callbacks: Any,
    mailoutbox: list[Any],
) -> None:
    """Promise 27: through the panel, whose request is somebody's."""
    form = {**OLGA, "tenant": acme.pk, "role": "owner"}
    with django_capture_on_commit_callbacks(execute=True):
        answer = signed_in(sam, has_second_factor=True).post(
            "/staff/accounts/invitation/add/", form, headers=headers
        )
    assert answer.status_code == 302
    sent = mailoutbox[0].message().as_string()
    assert "evil" not in sent and "127.0.0.1" not in sent
    links = re.findall(r"https?://[^\s\"<>]+", mailoutbox[0].body)
    assert links[0].startswith("http://localhost:8000/client/invite/")


def test_a_host_that_is_not_ours_gets_no_page_at_all(sam: User, acme: Tenant) -> None:
    """Promise 27."""
    form = {**OLGA, "tenant": acme.pk, "role": "owner"}
    client = signed_in(sam, has_second_factor=True)
    answer = client.post("/staff/accounts/invitation/add/", form, headers={"Host": "evil.example"})
    assert answer.status_code == 400
    assert not Invitation.objects.exists()


def test_a_link_is_256_random_bits_of_which_the_database_has_a_hash(acme: Tenant) -> None:
    tokens = set()
    for turn in range(5):
        sent = send(acme, email=f"{turn}@example.com", username=f"u{turn}")
        token = sent.link.rpartition("/")[2]
        assert re.fullmatch(r"[\w-]{43}", token)
        tokens.add(token)
    assert len(tokens) == 5
    dump = whole_dump()
    assert not any(token in dump for token in tokens)


def test_sending_resending_and_revoking_are_each_recorded(acme: Tenant, alice: User) -> None:
    """With who did it; Alice is an owner, and may."""
    sent = send(acme, actor=alice)
    by_alice = {"invitation_id": sent.invitation.pk, "actor": alice, "origin": COMMAND_LINE}
    resend_invitation(send_mail=False, **by_alice)
    revoke_invitation(**by_alice)
    events = AuditEvent.objects.filter(target_id=sent.invitation.pk).order_by("pk")
    assert [(event.action, event.actor_name) for event in events] == [
        ("invitation.sent", "Alice"),
        ("invitation.resent", "Alice"),
        ("invitation.revoked", "Alice"),
    ]
    assert {event.detail["role"] for event in events} == {Role.DEVELOPER}
