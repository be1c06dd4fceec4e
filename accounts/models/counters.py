"""What is counted against people who try too often."""

from django.conf import settings
from django.db import models

from portal.lib import clock


class Counter(models.Model):
    """A counter of `accounts.counters`. The table is unlogged: a crash may forget it."""

    key = models.CharField(primary_key=True, max_length=255)
    value = models.BigIntegerField()
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.key


class WrongCode(models.Model):
    """A wrong code: exact windows need the moments, which fixed windows would not give."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    # The browser that has signed in before, which counts for itself; null for all strangers.
    browser = models.UUIDField(null=True)
    at = models.DateTimeField(default=clock.now)

    class Meta:
        indexes = [models.Index(fields=["user", "at"], name="wrong_codes_of_a_user")]

    def __str__(self) -> str:
        return f"{self.user_id} at {self.at}"
