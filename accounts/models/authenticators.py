"""The second factor: a TOTP device on django-otp's base classes, its secret encrypted.

django-otp's own TOTPDevice keeps the secret in the clear and has no room for ciphertext.
"""

import re
import secrets
from functools import lru_cache
from typing import ClassVar

from django.conf import settings
from django.db import models
from django_otp.models import Device, TimestampMixin
from django_otp.oath import TOTP

from portal.lib import clock
from portal.lib.crypto import FieldCipher

SECRET_BYTES = 20  # 160 bits, the length RFC 4226 §4 recommends
STEP_SECONDS = 30
NEIGHBOURS = 1  # this step and the ones beside it

_CODE = re.compile(r"[0-9]{6}", re.ASCII)


@lru_cache(maxsize=4)
def _cipher(keys: tuple[str, ...]) -> FieldCipher:
    return FieldCipher(keys)


class Authenticator(TimestampMixin, Device):  # type: ignore[misc]
    """A user's TOTP device: at most one confirmed and one that waits for its first code."""

    encrypted_secret = models.TextField(editable=False)
    begun_at = models.DateTimeField(default=clock.now, editable=False)
    # The step of the last code taken; nothing at or below it is taken again (RFC 6238 §5.2).
    last_step = models.BigIntegerField(default=-1, editable=False)

    objects: ClassVar[models.Manager["Authenticator"]] = models.Manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "confirmed"], name="one_authenticator_of_each_kind"
            )
        ]

    def __str__(self) -> str:
        return f"{self.user_id} ({'confirmed' if self.confirmed else 'waiting'})"

    def set_new_secret(self) -> None:
        """Give the device 160 fresh random bits."""
        self.set_secret(secrets.token_bytes(SECRET_BYTES))

    def set_secret(self, secret: bytes) -> None:
        """Encrypt the secret with the newest of FIELD_KEYS."""
        self.encrypted_secret = _cipher(tuple(settings.FIELD_KEYS)).encrypt(secret)

    @property
    def secret(self) -> bytes:
        """The secret in the clear: for the enrolment page and for checking codes alone."""
        return _cipher(tuple(settings.FIELD_KEYS)).decrypt(self.encrypted_secret)

    def verify_token(self, token: str) -> bool:
        """Take the code if it is right and newer than the last one taken.

        The caller holds the row's lock: two equal codes in parallel must give one success.
        Only six ASCII digits get through to django-otp, which would take other digits too.
        """
        if not _CODE.fullmatch(token):
            return False
        totp = TOTP(self.secret, step=STEP_SECONDS, digits=6)
        totp.time = clock.now().timestamp()
        if not totp.verify(int(token), tolerance=NEIGHBOURS, min_t=self.last_step + 1):
            return False
        self.last_step = totp.t()
        self.set_last_used_timestamp(commit=False)
        self.save(update_fields=["last_step", "last_used_at"])
        return True
