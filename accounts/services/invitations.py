"""Invitations: sent, sent again, revoked, accepted, each once and each with its record."""

import logging
import smtplib
import uuid
from dataclasses import dataclass

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.access import require_role
from accounts.audit import record
from accounts.mail import compose
from accounts.models import Action, Invitation, Membership, Role, Tenant, User
from accounts.models.invitations import LIFETIME
from accounts.notices import notify, people_of
from accounts.origin import Origin
from portal.lib import clock
from portal.lib.crypto import digest, random_token

logger = logging.getLogger(__name__)


class InvitationError(Exception):
    """The invitation cannot be made; the message is for the person who tried."""


class InvitationIsDead(Exception):
    """Accepted, revoked, expired or unknown: whoever holds the link is not told which."""


class AccountExists(Exception):
    """The address has an account: it joins by signing in, never by setting a password."""


class UsernameIsTaken(Exception):
    """Somebody took the username since the invitation was sent."""


@dataclass(frozen=True)
class Sent:
    """An invitation and its link, which is known here and in the mail alone."""

    invitation: Invitation
    link: str


@transaction.atomic
def invite(
    *,
    actor: User | None,
    origin: Origin,
    email: str,
    username: str,
    name: str = "",
    tenant: Tenant | None = None,
    role: str = "",
    send_mail: bool = True,
) -> Sent:
    """Invite an address into a tenant with a role, or, without a tenant, to the staff.

    actor None is the command line. InvitationError says what stands in the way.
    """
    _check_may_invite(actor, tenant)
    check_can_be_invited(email, username, tenant)
    token, now = random_token(), clock.now()
    invitation = Invitation.objects.create(
        tenant=tenant,
        role=role,
        is_staff=tenant is None,
        email=email,
        username=username,
        name=name,
        token_hash=digest(token),
        invited_by=actor,
        sent_at=now,
        expires_at=now + LIFETIME,
    )
    _record(Action.INVITATION_SENT, invitation, actor, origin)
    return _send(invitation, token, send_mail=send_mail)


def check_can_be_invited(email: str, username: str, tenant: Tenant | None) -> None:
    """InvitationError if the address or the username stands in the way.

    Invitations are made one at a time, until the end of the transaction that asks: what is pending
    ends with time alone, and no constraint can say that.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('accounts_invitation'))")
    existing = User.objects.by_email(email)
    if existing is not None:
        if tenant is None or existing.is_staff:
            raise InvitationError(
                _("This address already has an account. Staff and members have separate ones.")
            )
        if Membership.objects.filter(user=existing, tenant=tenant).exists():
            raise InvitationError(_("This address already belongs to a member of the tenant."))
        return
    if User.objects.filter(username__iexact=username).exists():
        raise InvitationError(_("This username is taken."))
    pending = Invitation.objects.pending()
    if pending.filter(username__iexact=username).exclude(email__iexact=email).exists():
        raise InvitationError(_("This username is reserved by another invitation."))
    if pending.filter(email__iexact=email, tenant=tenant).exists():
        raise InvitationError(_("This address has a pending invitation. Resend that one instead."))


@transaction.atomic
def resend_invitation(
    *, invitation_id: uuid.UUID, actor: User | None, origin: Origin, send_mail: bool = True
) -> Sent:
    """A new link for fresh 72 hours; the old one is dead from this commit on."""
    invitation = _locked(pk=invitation_id)
    if invitation is None or invitation.accepted_at or invitation.revoked_at:
        raise InvitationIsDead
    _check_may_invite(actor, invitation.tenant)
    token, now = random_token(), clock.now()
    invitation.token_hash = digest(token)
    invitation.sent_at, invitation.expires_at = now, now + LIFETIME
    invitation.mail_error = ""
    invitation.save(update_fields=["token_hash", "sent_at", "expires_at", "mail_error"])
    _record(Action.INVITATION_RESENT, invitation, actor, origin)
    return _send(invitation, token, send_mail=send_mail)


@transaction.atomic
def revoke_invitation(*, invitation_id: uuid.UUID, actor: User | None, origin: Origin) -> None:
    """Kill the link. One that was accepted or revoked meanwhile is InvitationIsDead."""
    invitation = _locked(pk=invitation_id)
    if invitation is None or invitation.accepted_at or invitation.revoked_at:
        raise InvitationIsDead
    _check_may_invite(actor, invitation.tenant)
    invitation.revoked_at = clock.now()
    invitation.save(update_fields=["revoked_at"])
    _record(Action.INVITATION_REVOKED, invitation, actor, origin)


def find_pending(token: str) -> Invitation | None:
    """The invitation of a live link, for looking at; None for every dead one."""
    invitation = (
        Invitation.objects.pending()
        .select_related("tenant", "invited_by")
        .filter(token_hash=digest(token))
        .first()
    )
    return invitation if invitation and _is_open(invitation) else None


@transaction.atomic
def accept_invitation(*, token: str, password: str, origin: Origin) -> User:
    """Make the user and the membership, and spend the link: once, however often it is sent.

    The row's lock comes first: of twenty at once one makes the user, nineteen find it spent.
    """
    invitation = _locked_and_open(token)
    if User.objects.by_email(invitation.email) is not None:
        raise AccountExists
    user = User(
        username=invitation.username,
        email=invitation.email,
        name=invitation.name,
        is_staff=invitation.is_staff,
    )
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError:
        raise UsernameIsTaken from None
    _spend(invitation, user, origin)
    return user


@transaction.atomic
def join_tenant(*, token: str, user: User, origin: Origin) -> Tenant:
    """Spend the link for somebody who has an account and has signed in with it."""
    invitation = _locked_and_open(token)
    if invitation.email.lower() != user.email.lower() or invitation.tenant is None or user.is_staff:
        raise InvitationIsDead
    _spend(invitation, user, origin)
    return invitation.tenant


def _spend(invitation: Invitation, user: User, origin: Origin) -> None:
    if invitation.tenant:
        Membership.objects.get_or_create(
            tenant=invitation.tenant, user=user, defaults={"role": invitation.role}
        )
    invitation.accepted_at, invitation.accepted_by = clock.now(), user
    invitation.save(update_fields=["accepted_at", "accepted_by"])
    _record(Action.INVITATION_ACCEPTED, invitation, user, origin)
    told = people_of(invitation.tenant, Role.OWNER) if invitation.tenant else []
    told += [invitation.invited_by] if invitation.invited_by else []
    notify(
        "invitation_accepted",
        users=[person for person in told if person.pk != user.pk],
        origin=origin,
        who=user.username,
        email=user.email,
        tenant=str(invitation.tenant or ""),
        role=invitation.role or "staff",
    )


def _locked(**lookup: object) -> Invitation | None:
    return (
        Invitation.objects.select_for_update(of=("self",))
        .select_related("tenant", "invited_by")
        .filter(**lookup)
        .first()
    )


def _locked_and_open(token: str) -> Invitation:
    invitation = _locked(token_hash=digest(token))
    if invitation is None or not invitation.is_pending or not _is_open(invitation):
        raise InvitationIsDead
    return invitation


def _is_open(invitation: Invitation) -> bool:
    """Nobody joins a suspended tenant; and an account is a member's or of the staff, never both."""
    if invitation.tenant is not None and not invitation.tenant.is_active:
        return False
    account = User.objects.by_email(invitation.email)
    return account is None or (invitation.tenant is not None and not account.is_staff)


def _check_may_invite(actor: User | None, tenant: Tenant | None) -> None:
    if actor is None or actor.is_staff:
        return
    if tenant is None:
        raise InvitationError(_("Only staff invite staff."))
    require_role(actor, tenant, frozenset({Role.OWNER}))


def _record(action: Action, invitation: Invitation, actor: User | None, origin: Origin) -> None:
    record(
        action,
        actor=actor,
        origin=origin,
        tenant=invitation.tenant,
        target=invitation,
        role=invitation.role or "staff",
    )


def _send(invitation: Invitation, token: str, *, send_mail: bool) -> Sent:
    """Mail the link once the row is committed. The base address is ours, never a request's."""
    link = settings.PORTAL_BASE_URL + reverse("accounts:invitation", args=[token])
    if send_mail:
        transaction.on_commit(lambda: _mail(invitation, link))
    return Sent(invitation, link)


def _mail(invitation: Invitation, link: str) -> None:
    # In the language of the account that is there, else in that of whoever invites.
    reader = User.objects.by_email(invitation.email) or invitation.invited_by
    message = compose(
        "invitation",
        to=invitation.email,
        context={"invitation": invitation, "link": link},
        language=reader.language if reader else settings.LANGUAGE_CODE,
    )
    try:
        message.send()
    except (OSError, smtplib.SMTPException) as error:
        # Nothing is lost: the invitation says that its mail did not go, and Resend is one click.
        logger.warning("The mail of invitation %s was not sent: %s", invitation.pk, error)
        invitation.mail_error = str(error)[:500] or type(error).__name__
        invitation.save(update_fields=["mail_error"])
