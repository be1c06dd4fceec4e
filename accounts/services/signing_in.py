"""Signing in: the password, the code, and the state between them in which one is nobody."""

import datetime as dt
import uuid
from dataclasses import dataclass
from enum import Enum

from django.db import transaction

from accounts.audit import record
from accounts.backends import UsernameOrEmail, may_sign_in
from accounts.models import Action, Authenticator, PendingSignIn, User
from accounts.origin import Origin
from accounts.services.codes import try_code
from portal.lib import clock

PENDING_LIFETIME = dt.timedelta(minutes=5)
PENDING_TRIES = 5


def check_password(*, typed: str, password: str, origin: Origin) -> User | None:
    """The user whose password it is, if they may sign in. A refusal is recorded, without words.

    What was typed is not kept: people type passwords into the wrong field.
    """
    # Not django.contrib.auth.authenticate: it takes TooManyTries for an answer of the backend.
    user = UsernameOrEmail().authenticate(None, username=typed, password=password)
    if user is not None:
        return user
    known = User.objects.by_login(typed)
    record(Action.LOGIN_REFUSED, actor=None, origin=origin, target=known, step="password")
    return None


@transaction.atomic
def begin_second_step(*, user: User) -> PendingSignIn | None:
    """The state between password and code; None for a user without a confirmed authenticator."""
    if not Authenticator.objects.filter(user=user, confirmed=True).exists():
        return None
    return PendingSignIn.objects.create(user=user)


class Outcome(Enum):
    """What became of a code."""

    RIGHT = "right"
    WRONG = "wrong"
    OVER = "over"  # too late, too many tries, already used, or no longer welcome


@dataclass(frozen=True)
class SecondStep:
    """An outcome, and the user where it was right."""

    outcome: Outcome
    user: User | None = None


@transaction.atomic
def check_code(
    *, pending_id: uuid.UUID, code: str, browser: uuid.UUID | None, origin: Origin
) -> SecondStep:
    """Take a code for a pending sign-in. Rows are locked: one code, one entry.

    The user's row comes first, as wherever a user's sign-ins are ended: the other way round the two
    would wait for each other.
    browser: the known browser that is asking, which counts for itself; else None.
    """
    waiting = PendingSignIn.objects.filter(
        pk=pending_id, created_at__gt=clock.now() - PENDING_LIFETIME
    )
    User.objects.select_for_update().filter(pk__in=waiting.values("user_id")).first()
    pending = waiting.select_for_update(of=("self",)).select_related("user").first()
    if pending is None or pending.tries >= PENDING_TRIES or not may_sign_in(pending.user):
        return SecondStep(Outcome.OVER)
    user = pending.user
    if try_code(user=user, code=code, browser=browser, origin=origin):
        pending.delete()
        return SecondStep(Outcome.RIGHT, user)
    pending.tries += 1
    pending.save(update_fields=["tries"])
    record(Action.LOGIN_REFUSED, actor=None, origin=origin, target=user, step="code")
    is_over = pending.tries >= PENDING_TRIES
    return SecondStep(Outcome.OVER if is_over else Outcome.WRONG)
