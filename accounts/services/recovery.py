"""Recovery codes: made, shown once, taken once."""

import secrets

from django.db import transaction

from accounts.audit import record
from accounts.models import Action, RecoveryCode, User
from accounts.notices import notify
from accounts.origin import Origin
from portal.lib import clock
from portal.lib.crypto import digest

HOW_MANY = 10
# No 0, 1, i, l, o: they are written down and typed again. 16 of 31 characters are 79 bits, which is
# why a plain SHA-256 is enough at rest.
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
_GROUPS, _GROUP = 4, 4


@transaction.atomic
def make_recovery_codes(*, user: User, origin: Origin) -> list[str]:
    """Ten new codes, `xxxx-xxxx-xxxx-xxxx`; the old ones are void. They are known here alone."""
    User.objects.select_for_update().get(pk=user.pk)
    codes = [_new_code() for _ in range(HOW_MANY)]
    RecoveryCode.objects.filter(user=user).delete()
    RecoveryCode.objects.bulk_create(
        RecoveryCode(user=user, code_hash=_hash(code)) for code in codes
    )
    record(Action.RECOVERY_CODES_MADE, actor=user, origin=origin, target=user)
    return codes


@transaction.atomic
def take_recovery_code(*, user: User, code: str, origin: Origin) -> bool:
    """Spend the code, if it is one of the user's that is left: one UPDATE decides."""
    taken = RecoveryCode.objects.filter(user=user, code_hash=_hash(code), used_at=None).update(
        used_at=clock.now()
    )
    if taken:
        left = codes_left(user)
        record(Action.RECOVERY_CODE_USED, actor=user, origin=origin, target=user, left=left)
        notify("recovery_code_used", users=[user], origin=origin, left=left)
    return bool(taken)


def codes_left(user: User) -> int:
    """How many can still be used."""
    return RecoveryCode.objects.filter(user=user, used_at=None).count()


def _new_code() -> str:
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))
    return "-".join(groups)


def _hash(code: str) -> bytes:
    return digest("".join(code.lower().split()).replace("-", ""))
