"""A tenant's access to the messaging feed: what was decided, how far it has come, what was seen."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant
from portal.lib import clock


class AmqpRequest(models.TextChoices):
    """What people of a tenant ask staff for."""

    ACCESS = "access", _("access")
    PASSWORD = "password", _("a new password")


class AmqpState(models.TextChoices):
    """What became of an access, in a word."""

    NONE = "none", _("not provisioned")
    UNFINISHED = "unfinished", _("not finished")
    READY = "ready", _("ready")
    SUSPENDED = "suspended", _("suspended")
    REMOVING = "removing", _("being removed")


class Step(models.TextChoices):
    """What is done on the broker. The first six, in this order, are the provisioning."""

    VHOST = "vhost", _("Virtual host")
    EXCHANGE = "exchange", _("Exchange")
    USER = "user", _("User, without a password")
    PERMISSIONS = "permissions", _("Permissions")
    LIMITS = "limits", _("Limits")
    PASSWORD = "password", _("Password")
    SHUT = "shut", _("Refuse connections and close the open ones")
    OPEN = "open", _("Allow connections again")
    REMOVAL = "removal", _("Remove user and virtual host")


PROVISIONING = (
    Step.VHOST,
    Step.EXCHANGE,
    Step.USER,
    Step.PERMISSIONS,
    Step.LIMITS,
    Step.PASSWORD,
)


class AmqpAccess(models.Model):
    """One a tenant, from the first request or the last step of provisioning on.

    What staff decide is written here first; the broker is brought in step with it afterwards, and
    again every minute until it is.
    """

    tenant = models.OneToOneField(
        Tenant,
        primary_key=True,
        on_delete=models.CASCADE,
        related_name="amqp",
        verbose_name=_("tenant"),
    )
    request = models.CharField(
        _("asked for"), max_length=16, choices=AmqpRequest.choices, blank=True
    )
    requested_at = models.DateTimeField(_("asked at"), null=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    provisioned_at = models.DateTimeField(_("provisioned at"), null=True)
    password_set_at = models.DateTimeField(_("password set at"), null=True)
    password_set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("password set by"),
    )
    suspended_at = models.DateTimeField(_("suspended at"), null=True)
    removal_asked_at = models.DateTimeField(_("removal asked at"), null=True)
    # What the broker was last told and took, whatever is wanted by now.
    is_shut = models.BooleanField(default=False)
    # {"connections": n, "channels": n, "queues": [{"name", "messages", "consumers"}]}
    seen = models.JSONField(null=True)
    seen_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("AMQP access")
        verbose_name_plural = _("AMQP access")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(request__in=["", *AmqpRequest.values]),
                name="amqp_request_is_known",
            ),
            models.CheckConstraint(
                condition=models.Q(provisioned_at=None) | models.Q(password_set_at__isnull=False),
                name="amqp_is_provisioned_with_a_password",
            ),
        ]

    def __str__(self) -> str:
        return str(self.tenant)

    @property
    def vhost(self) -> str:
        """The tenant's part of the broker."""
        return self.tenant.slug

    @property
    def username(self) -> str:
        """Who the tenant's programs are there."""
        return f"op-{self.tenant.slug}"

    @property
    def wants_shut(self) -> bool:
        """Nobody of the tenant should be connected."""
        return self.suspended_at is not None or not self.tenant.is_active

    @property
    def state(self) -> AmqpState:
        """Ready is what has its last step done; steps without that are unfinished."""
        if self.removal_asked_at:
            return AmqpState.REMOVING
        if self.provisioned_at:
            return AmqpState.SUSPENDED if self.wants_shut else AmqpState.READY
        return AmqpState.UNFINISHED if self.steps else AmqpState.NONE

    @property
    def is_in_step(self) -> bool:
        """The broker has taken what was decided."""
        if self.removal_asked_at:
            return False
        return not self.provisioned_at or self.is_shut == self.wants_shut

    @property
    def steps(self) -> "list[AmqpStep]":
        """What was done or failed on the broker, in the order of the steps; asked once."""
        if not hasattr(self, "_steps"):
            order = list(Step)
            rows = AmqpStep.objects.filter(tenant_id=self.tenant_id)
            self._steps = sorted(rows, key=lambda row: order.index(Step(row.name)))
        return self._steps


class AmqpStep(models.Model):
    """How far one step has come: done, or failed with what the broker said."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=16, choices=Step.choices)
    done_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    failure = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], name="one_amqp_step_per_tenant")
        ]

    def __str__(self) -> str:
        return f"{self.tenant_id}: {self.name}"

    @classmethod
    def mark_done(cls, tenant: Tenant, step: Step) -> None:
        """It is done, whatever failed before."""
        done = {"done_at": clock.now(), "failed_at": None, "failure": ""}
        cls.objects.update_or_create(tenant=tenant, name=step, defaults=done)

    @classmethod
    def mark_failed(cls, tenant: Tenant, step: Step, failure: str) -> None:
        """It is not done, and why."""
        failed = {"done_at": None, "failed_at": clock.now(), "failure": failure[:200]}
        cls.objects.update_or_create(tenant=tenant, name=step, defaults=failed)
