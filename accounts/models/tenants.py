"""Tenants, which are the wall, and memberships, which are the doors in it."""

import uuid

from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from portal.lib import clock

SLUG_PATTERN = r"^[a-z0-9](-?[a-z0-9]){0,39}\Z"


class Role(models.TextChoices):
    """What a member may do; the order is from most to least."""

    OWNER = "owner", _("Owner")
    DEVELOPER = "developer", _("Developer")
    TRADER = "trader", _("Trader")
    VIEWER = "viewer", _("Viewer")


class TenantQuerySet(models.QuerySet["Tenant"]):
    """Questions about many tenants."""

    def active(self) -> "TenantQuerySet":
        """Those that are not suspended."""
        return self.filter(suspended_at=None)


class Tenant(models.Model):
    """An operator: a sportsbook. Every row of the domain belongs to one."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slug = models.CharField(
        _("slug"),
        max_length=80,
        unique=True,
        validators=[
            RegexValidator(
                SLUG_PATTERN,
                _(
                    "Use lower-case letters and digits, single hyphens between them, "
                    "40 characters at most, for example “acme-sports”."
                ),
            )
        ],
        help_text=_("Never changes: AMQP names are made of it."),
    )
    name = models.CharField(_("name"), max_length=120)
    require_2fa = models.BooleanField(_("require 2FA for everyone"), default=False)
    suspended_at = models.DateTimeField(_("suspended at"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"), default=clock.now, editable=False)
    version = models.BigIntegerField(default=1, editable=False)  # set by a trigger alone

    objects = TenantQuerySet.as_manager()

    class Meta:
        verbose_name = _("tenant")
        verbose_name_plural = _("tenants")
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(slug__regex=r"^[a-z0-9](-?[a-z0-9]){0,39}$"),
                name="tenant_slug_is_well_formed",
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_active(self) -> bool:
        """Not suspended."""
        return self.suspended_at is None


class MembershipQuerySet(models.QuerySet["Membership"]):
    """Questions about many memberships."""

    def in_active_tenants(self) -> "MembershipQuerySet":
        """Those whose tenant is not suspended, oldest first, with the tenant at hand."""
        return (
            self.filter(tenant__suspended_at=None)
            .select_related("tenant")
            .order_by("created_at", "pk")
        )


class Membership(models.Model):
    """A user's role in a tenant; one at most for each pair."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(
        Tenant, on_delete=models.CASCADE, related_name="memberships", verbose_name=_("tenant")
    )
    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(_("role"), max_length=16, choices=Role.choices)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = MembershipQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "user"], name="one_membership_per_tenant"),
            models.CheckConstraint(
                condition=models.Q(role__in=Role.values), name="membership_role_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.tenant_id}: {self.role}"
