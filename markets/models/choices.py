"""What each tenant chose, as one row, and every state that this row was ever in."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant
from portal.lib import clock


class Act(models.TextChoices):
    """What made a revision."""

    CHANGED = "changed", _("Types switched")
    DEFAULT = "default", _("Default changed")
    RESTORED = "restored", _("Revision restored")
    BY_HAND = "by_hand", _("Changed in the database")


class TenantMarkets(models.Model):
    """A tenant's default and its overrides, code → on, at a revision, which is `version`.

    One row and not one for each override: however many types are switched, it is one UPDATE, one
    revision, one announcement, and what was chosen before is one value to be put back. There is
    no row before the first change; that is revision 0, in which everything is on.

    A trigger counts the revision and copies it into the history. It takes the names below from
    whoever moves `changed_at`; a change by hand that does not is put down to nobody.
    """

    tenant = models.OneToOneField(
        Tenant, primary_key=True, on_delete=models.CASCADE, related_name="+"
    )
    default_on = models.BooleanField(default=True)
    overrides = models.JSONField(default=dict)
    version = models.BigIntegerField(default=1, editable=False)  # set by a trigger alone
    changed_at = models.DateTimeField(default=clock.now)
    # No foreign key, as in audit events: people go, what they did stays.
    changed_by_id = models.UUIDField(null=True)
    changed_by_name = models.CharField(max_length=120, blank=True)
    act = models.CharField(max_length=16, choices=Act.choices)
    restored = models.BigIntegerField(null=True)  # the revision that was restored

    class Meta:
        verbose_name = _("markets of a tenant")
        verbose_name_plural = _("markets of tenants")

    def __str__(self) -> str:
        return str(self.tenant)


class RevisionQuerySet(models.QuerySet["Revision"]):
    """Questions about many revisions."""

    def for_tenant(self, tenant: Tenant | None) -> "RevisionQuerySet":
        """The tenant's own: the lookup is the permission. Nobody's tenant has none."""
        return self.filter(tenant=tenant) if tenant else self.none()


class Revision(models.Model):
    """A state that a tenant's choices were in, who brought it about, and what it switched.

    Written by a trigger alone. went_on, went_off: codes of the catalogue as it was then.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    number = models.BigIntegerField()
    at = models.DateTimeField()
    act = models.CharField(max_length=16, choices=Act.choices)
    actor_id = models.UUIDField(null=True)
    actor_name = models.CharField(max_length=120, blank=True)
    restored = models.BigIntegerField(null=True)
    default_on = models.BooleanField()
    overrides = models.JSONField()
    went_on = ArrayField(models.CharField(max_length=64))
    went_off = ArrayField(models.CharField(max_length=64))

    objects = RevisionQuerySet.as_manager()

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "number"], name="a_revision_is_counted_once")
        ]

    def __str__(self) -> str:
        return str(self.number)

    @property
    def before(self) -> int:
        """The one that Undo restores."""
        return self.number - 1


class SeenTypes(models.Model):
    """Up to which announcement a tenant's people have looked at new types.

    Apart from the choices, of which it is no change.
    """

    tenant = models.OneToOneField(
        Tenant, primary_key=True, on_delete=models.CASCADE, related_name="+"
    )
    through = models.DateTimeField()

    def __str__(self) -> str:
        return str(self.through)
