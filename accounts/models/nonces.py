"""Form nonces: a form that makes something makes it once, however often it is sent."""

import uuid

from django.conf import settings
from django.db import models

from portal.lib import clock


class FormNonce(models.Model):
    """A form that was spent, and what it made."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    nonce = models.UUIDField(default=uuid.uuid4)
    result = models.UUIDField(null=True)
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "nonce"], name="a_form_is_spent_once")
        ]

    def __str__(self) -> str:
        return str(self.nonce)
