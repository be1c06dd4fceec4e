"""Recovery codes: ten ways in without the authenticator, each once."""

from django.conf import settings
from django.db import models

from portal.lib import clock


class RecoveryCode(models.Model):
    """The hash of one code. New codes replace all older ones."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="recovery_codes"
    )
    code_hash = models.BinaryField(max_length=32)
    created_at = models.DateTimeField(default=clock.now)
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "code_hash"], name="recovery_code_is_unique")
        ]

    def __str__(self) -> str:
        return f"{self.user_id} ({'used' if self.used_at else 'left'})"
