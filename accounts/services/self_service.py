"""What people do to their own account: password, second factor, preferences, sessions."""

import datetime as dt
import uuid

from django.db import transaction

from accounts.audit import record
from accounts.models import (
    Action,
    Authenticator,
    Membership,
    PendingSignIn,
    RecoveryCode,
    Role,
    Session,
    User,
)
from accounts.models.users import new_session_token
from accounts.notices import notify, people_of
from accounts.origin import Origin
from accounts.services.codes import try_code
from accounts.services.recovery import make_recovery_codes
from portal.lib import clock


class PasswordHasChanged(Exception):
    """The current password is no longer the one that was checked."""


# How long the secret can be seen again, and confirmed, after the password was given for it.
ENROLMENT_LIFETIME = dt.timedelta(minutes=30)


@transaction.atomic
def change_password(*, user: User, password: str, origin: Origin) -> None:
    """Set the password and end every session; the caller keeps its own by `keep_this_session`.

    The forms have checked the current password and the new one's strength; of two changes at once
    the second is PasswordHasChanged.
    """
    if User.objects.select_for_update().get(pk=user.pk).password != user.password:
        raise PasswordHasChanged
    user.set_password(password)
    user.save(update_fields=["password"])
    end_all_sessions(user)
    record(Action.PASSWORD_CHANGED, actor=user, origin=origin, target=user)
    notify("password_changed", users=[user], origin=origin)


def refuse_password_change(*, user: User, origin: Origin) -> None:
    """Record that somebody who is signed in did not know the current password."""
    record(Action.PASSWORD_REFUSED, actor=user, origin=origin, target=user)


def refuse_confirmation(*, user: User, step: str, origin: Origin) -> None:
    """Record that somebody who is signed in could not prove it. step: `password` or `code`."""
    record(Action.CONFIRMATION_REFUSED, actor=user, origin=origin, target=user, step=step)


@transaction.atomic
def begin_enrolment(*, user: User) -> Authenticator | None:
    """A fresh authenticator that waits for its first code; None if a confirmed one is there.

    An unconfirmed one neither asks nor opens, so starting again simply replaces it.
    """
    User.objects.select_for_update().get(pk=user.pk)
    if has_second_factor(user):
        return None
    Authenticator.objects.filter(user=user, confirmed=False).delete()
    device = Authenticator(user=user, confirmed=False, name="TOTP", begun_at=clock.now())
    device.set_new_secret()
    device.save()
    return device


def waiting_authenticator(user: User) -> Authenticator | None:
    """The user's own authenticator that waits for its first code; its page shows the secret."""
    begun = clock.now() - ENROLMENT_LIFETIME
    return Authenticator.objects.filter(user=user, confirmed=False, begun_at__gt=begun).first()


def has_second_factor(user: User) -> bool:
    """Is a confirmed authenticator there?"""
    return Authenticator.objects.filter(user=user, confirmed=True).exists()


def must_have_second_factor(user: User) -> bool:
    """Staff always; members when one of their tenants requires it of everyone."""
    return (
        user.is_staff
        or Membership.objects.filter(user=user, tenant__require_2fa=True)
        .in_active_tenants()
        .exists()
    )


@transaction.atomic
def replace_recovery_codes(*, user: User, origin: Origin) -> list[str]:
    """New recovery codes; the old ones are void, and every session ends but the caller's."""
    codes = make_recovery_codes(user=user, origin=origin)
    end_all_sessions(user)
    notify("recovery_codes_new", users=[user], origin=origin)
    return codes


@transaction.atomic
def reset_second_factor(*, user_id: uuid.UUID, reason: str, actor: User, origin: Origin) -> User:
    """Staff take a lost second factor away, and say why. Every session of the user ends."""
    user = User.objects.select_for_update().get(pk=user_id)
    Authenticator.objects.filter(user=user).delete()
    RecoveryCode.objects.filter(user=user).delete()
    end_all_sessions(user)
    record(Action.AUTHENTICATOR_RESET, actor=actor, origin=origin, target=user, reason=reason)
    owners = [
        owner
        for membership in Membership.objects.filter(user=user).select_related("tenant")
        for owner in people_of(membership.tenant, Role.OWNER)
    ]
    notify("two_factor_reset", users=[user, *owners], origin=None, who=user.username, reason=reason)
    return user


@transaction.atomic
def confirm_enrolment(*, user: User, code: str, origin: Origin) -> list[str]:
    """Turn 2FA on with the first code: its recovery codes, or none where the code was wrong.

    Every session ends but the caller's.
    """
    User.objects.select_for_update().get(pk=user.pk)
    device = waiting_authenticator(user)
    if device is None or has_second_factor(user) or not device.verify_token(code):
        return []
    device.confirmed = True
    device.save(update_fields=["confirmed"])
    end_all_sessions(user)
    record(Action.AUTHENTICATOR_ENABLED, actor=user, origin=origin, target=user)
    notify("two_factor_on", users=[user], origin=origin)
    return make_recovery_codes(user=user, origin=origin)


@transaction.atomic
def disable_second_factor(
    *, user: User, code: str, browser: uuid.UUID | None, origin: Origin
) -> bool:
    """Turn 2FA off with a code; the form has checked the password. Every other session ends."""
    if not try_code(user=user, code=code, browser=browser, origin=origin):
        return False
    Authenticator.objects.filter(user=user).delete()
    RecoveryCode.objects.filter(user=user).delete()
    end_all_sessions(user)
    record(Action.AUTHENTICATOR_DISABLED, actor=user, origin=origin, target=user)
    notify("two_factor_off", users=[user], origin=origin)
    return True


@transaction.atomic
def change_preferences(*, user: User, language: str, time_zone: str, theme: str) -> None:
    """Language, zone and theme: no security act, so no event."""
    user.language, user.time_zone, user.theme = language, time_zone, theme
    user.save(update_fields=["language", "time_zone", "theme"])


def end_all_sessions(user: User) -> None:
    """Delete the user's rows, and make whatever cookie is left worthless.

    Whoever gave the password and not yet the code begins again, with the password that is now.
    """
    user.session_token = new_session_token()
    user.save(update_fields=["session_token"])
    Session.objects.filter(user=user).delete()
    PendingSignIn.objects.filter(user=user).delete()
