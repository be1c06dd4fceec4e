"""Sessions as rows, so that a user can see and end them; and the state before the code."""

import uuid

from django.conf import settings
from django.db import models

from accounts.agents import describe_agent
from portal.lib import clock


class SessionQuerySet(models.QuerySet["Session"]):
    """Questions about many sessions."""

    def live(self) -> "SessionQuerySet":
        """Those that have not reached their end."""
        return self.filter(expires_at__gt=clock.now())


class Session(models.Model):
    """One signed-in browser. The row holds a hash of the cookie: a dump opens no session."""

    id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    key_hash = models.BinaryField(primary_key=True, max_length=32)
    data = models.TextField()
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="sessions"
    )
    signed_in_at = models.DateTimeField(null=True)
    proved_at = models.DateTimeField(null=True)
    last_seen_at = models.DateTimeField(default=clock.now)
    expires_at = models.DateTimeField(db_index=True)
    address = models.GenericIPAddressField(null=True)
    agent = models.CharField(max_length=300, blank=True)

    is_current = False  # set where sessions are listed: is it the one that is asking?

    objects = SessionQuerySet.as_manager()

    def __str__(self) -> str:
        return str(self.id)

    @property
    def browser(self) -> str:
        """The agent in readable form."""
        return describe_agent(self.agent)


class PendingSignIn(models.Model):
    """Somebody whose password was right and whose code is still to come: so far, nobody.

    A row and not session data, because five tries are only five when they are counted in SQL.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(default=clock.now)
    tries = models.PositiveSmallIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.id)
