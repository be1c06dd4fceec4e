"""What a tenant has bought: scopes, sports, calls a minute. Kept apart from the tenant itself."""

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant


class Contract(models.Model):
    """The bounds of every key of a tenant. The stored list is flat; bundles are shorthands."""

    tenant = models.OneToOneField(
        Tenant,
        primary_key=True,
        on_delete=models.CASCADE,
        related_name="contract",
        verbose_name=_("tenant"),
    )
    scopes = ArrayField(models.CharField(max_length=64))
    sports = ArrayField(models.CharField(max_length=32))
    limit_rpm = models.PositiveIntegerField(
        _("requests a minute and key"), default=600, validators=[MinValueValidator(1)]
    )
    max_keys = models.PositiveIntegerField(_("live API keys at most"), default=20)
    max_streams = models.PositiveIntegerField(_("open WebSockets at most"), default=50)
    version = models.BigIntegerField(default=1, editable=False)  # set by a trigger alone

    class Meta:
        verbose_name = _("contract")
        verbose_name_plural = _("contracts")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(limit_rpm__gte=1), name="contract_limit_is_positive"
            )
        ]

    def __str__(self) -> str:
        return str(self.tenant)
