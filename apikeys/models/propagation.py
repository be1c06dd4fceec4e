"""In which processes of the machine door a change is in effect, by their own acknowledgement.

The first three tables are not logged ahead: a crash of Postgres may forget when what took effect.
"""

import uuid

from django.db import models


class Announcement(models.Model):
    """The last announcement about a row: its version, and the moment of the change.

    Kept by the function that announces. Not of secrets, and not of keys that were just made.
    """

    pk = models.CompositePrimaryKey("kind", "name")
    kind = models.CharField(max_length=16)
    name = models.CharField(max_length=40)
    version = models.BigIntegerField()
    at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}:{self.version}"


class DoorProcess(models.Model):
    """A process of the machine door that says it is there, about once a second.

    It counts until `counted_until`, or until it takes its leave. facts: what it knows of itself,
    for the metrics (`apikeys.edge.metrics`).
    """

    id = models.UUIDField(primary_key=True)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    counted_until = models.DateTimeField()
    is_remembering = models.BooleanField()  # else it asks Postgres on each call
    facts = models.JSONField()

    def __str__(self) -> str:
        return str(self.id)


class Acknowledgement(models.Model):
    """A process has heard an announcement, and believes nothing older from `heard_at` on."""

    pk = models.CompositePrimaryKey("kind", "name", "process")
    kind = models.CharField(max_length=16)
    name = models.CharField(max_length=40)
    process = models.UUIDField()
    version = models.BigIntegerField()
    heard_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}:{self.version} by {self.process}"


class Canary(models.Model):
    """A key that is none: it has no tenant and no secret, and its changes are announced as a key's.

    A task changes it once a minute, to see how long that takes to reach every process.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    is_only = models.BooleanField(default=True, unique=True)  # there is one
    changed_at = models.DateTimeField()
    version = models.BigIntegerField(default=1, editable=False)  # set by a trigger alone

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(is_only=True), name="one_canary")]

    def __str__(self) -> str:
        return f"version {self.version}"


class PropagationRun(models.Model):
    """What the canary showed. processes: those that remember keys. seconds: until the last of them
    had heard, None if not all did or there is none.
    """

    at = models.DateTimeField(db_index=True)
    processes = models.PositiveIntegerField()
    reached = models.PositiveIntegerField()
    seconds = models.FloatField(null=True)

    def __str__(self) -> str:
        return f"{self.reached} of {self.processes} after {self.seconds} s"
