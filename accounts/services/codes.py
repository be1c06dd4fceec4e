"""Trying a code: the authenticator's or a recovery code, within exact limits.

At most 5 wrong in 5 minutes, 20 an hour, 50 a day (RFC 4226 §7.3). All strangers share these; a
browser that the user has signed in with counts for itself, 5 in 15 minutes, so that nobody shuts
the user out.
"""

import datetime as dt
import uuid
from math import ceil

from django.db import transaction

from accounts.limits import TooManyTries
from accounts.models import Authenticator, User, WrongCode
from accounts.origin import Origin
from accounts.services.recovery import take_recovery_code
from portal.lib import clock

_STRANGERS = [
    (5, dt.timedelta(minutes=5)),
    (20, dt.timedelta(hours=1)),
    (50, dt.timedelta(days=1)),
]
_KNOWN_BROWSER = [(5, dt.timedelta(minutes=15))]


@transaction.atomic
def try_code(*, user: User, code: str, browser: uuid.UUID | None, origin: Origin) -> bool:
    """Is it a fresh code of the user's? Spends it if so; else counts it, or is TooManyTries.

    The user's row is locked: codes tried at once are tried one after the other.
    """
    User.objects.select_for_update().get(pk=user.pk)
    _refuse_if_too_many(user, browser)
    device = Authenticator.objects.select_for_update().filter(user=user, confirmed=True).first()
    if device is None:
        return False
    if device.verify_token(code) or take_recovery_code(user=user, code=code, origin=origin):
        return True
    WrongCode.objects.create(user=user, browser=browser)
    return False


def _refuse_if_too_many(user: User, browser: uuid.UUID | None) -> None:
    now, waits = clock.now(), []
    for most, window in _KNOWN_BROWSER if browser else _STRANGERS:
        wrong = WrongCode.objects.filter(user=user, browser=browser, at__gt=now - window)
        moments = list(wrong.order_by("-at").values_list("at", flat=True)[:most])
        if len(moments) == most:
            waits.append(moments[-1] + window - now)
    if waits:
        raise TooManyTries(ceil(max(waits).total_seconds()))
