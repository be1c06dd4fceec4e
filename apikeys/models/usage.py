"""How keys are used: calls by outcome, the last refusals, retired secrets that are still in use.

The machine door writes all of it, a few seconds behind (`apikeys.edge.usage`); pages only read.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from apikeys.models.keys import ApiKey, ApiKeySecret


class Period(models.TextChoices):
    """How long a span of `KeyCalls` is."""

    MINUTE = "minute", _("minute")
    HOUR = "hour", _("hour")
    DAY = "day", _("day")


class KeyCalls(models.Model):
    """How many calls of a key had one outcome, in the minute (hour, day) that begins at `start`.

    outcome: `allowed`, or the code of the refusal. The machine door writes minutes; the worker adds
    them to their hour, and hours to their day (`apikeys.rollup`). rolled: how many of the calls it
    has added so far. most: of hours and days, the calls in their busiest minute.
    """

    pk = models.CompositePrimaryKey("key", "period", "start", "outcome")
    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="calls", db_index=False)
    period = models.CharField(max_length=6, choices=Period)
    start = models.DateTimeField()
    outcome = models.CharField(max_length=32)
    calls = models.BigIntegerField()
    rolled = models.BigIntegerField(db_default=0)
    most = models.BigIntegerField(db_default=0)

    class Meta:
        indexes = [
            models.Index(fields=["period", "start"], name="calls_by_age"),
            models.Index(
                fields=["period", "start"],
                condition=~models.Q(period="day") & ~models.Q(calls=models.F("rolled")),
                name="calls_to_roll_up",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.calls} {self.outcome} in the {self.period} from {self.start}"


class WaitingUse(models.Model):
    """What a process counted of many keys in the minute from `start`: not in `KeyCalls` yet.

    Written instead of those when many keys are in use, and merged into them a minute later
    (`apikeys.edge.merging`). slice: of keys, by their last byte. Of the arrays, what is at the same
    place belongs together: a key, its calls that were let in, the last of them (milliseconds since
    1970, 0 for none) and from where. A key may be gone.
    """

    slice = models.SmallIntegerField()
    start = models.DateTimeField()
    keys = ArrayField(models.UUIDField())
    calls = ArrayField(models.BigIntegerField())
    used_at = ArrayField(models.BigIntegerField())
    addresses = ArrayField(models.GenericIPAddressField(null=True))

    class Meta:
        indexes = [models.Index(fields=["slice", "start"], name="waiting_use_by_slice")]

    def __str__(self) -> str:
        return f"{len(self.keys)} keys of slice {self.slice} in the minute from {self.start}"


class CountedHour(models.Model):
    """An hour in which a process of the machine door was there to count.

    Without calls, one that is here had none; of one that is not here nothing is known.
    """

    start = models.DateTimeField(primary_key=True)

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H}"


class Threshold(models.TextChoices):
    """What about its use a key's people are told."""

    NEAR_LIMIT = "near_limit", _("near its limit")
    AT_LIMIT = "at_limit", _("at its limit")
    UNUSED = "unused", _("not used")


class KeyNotice(models.Model):
    """When a key's people were last told of something, so that they are not told all the time."""

    pk = models.CompositePrimaryKey("key", "threshold")
    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="+", db_index=False)
    threshold = models.CharField(max_length=16, choices=Threshold)
    told_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.key_id} {self.threshold} at {self.told_at}"


class KeyRefusal(models.Model):
    """The last refusal of a key for one reason from one address, and how many there were.

    Of each key the latest few are kept. path: as it came, without the query, cut off.
    """

    key = models.ForeignKey(
        ApiKey, on_delete=models.CASCADE, related_name="refusals", db_index=False
    )
    outcome = models.CharField(max_length=32)
    address = models.CharField(max_length=45, blank=True)  # empty: it could not be read
    at = models.DateTimeField()
    method = models.CharField(max_length=16)
    path = models.CharField(max_length=200)
    detail = models.CharField(max_length=400)
    calls = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["key", "outcome", "address"], name="one_refusal_per_reason_and_address"
            )
        ]

    def __str__(self) -> str:
        return f"{self.outcome} at {self.at}"


class SecretUse(models.Model):
    """When and from where a secret was last sent after it had been retired."""

    secret = models.OneToOneField(
        ApiKeySecret,
        primary_key=True,
        on_delete=models.CASCADE,
        related_name="use",
        db_constraint=False,  # secrets can be emptied by hand, and this is no reason not to
    )
    last_used_at = models.DateTimeField()
    last_address = models.GenericIPAddressField(null=True)
    calls = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.secret_id} at {self.last_used_at}"


class UsageWriter(models.Model):
    """The last batch of usage that a process has written: one sent twice is counted once."""

    process = models.UUIDField(primary_key=True)
    batch = models.BigIntegerField()
    written_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.process} wrote {self.batch}"
