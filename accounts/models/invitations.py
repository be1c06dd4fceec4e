"""Invitations: a row a link, so that a resend kills the old one and an acceptance spends it."""

import datetime as dt
import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models.tenants import Role, Tenant
from accounts.models.users import username_validator
from portal.lib import clock

LIFETIME = dt.timedelta(hours=72)


class InvitationQuerySet(models.QuerySet["Invitation"]):
    """Questions about many invitations."""

    def pending(self) -> "InvitationQuerySet":
        """Links that can still be accepted."""
        return self.filter(accepted_at=None, revoked_at=None, expires_at__gt=clock.now())


class Invitation(models.Model):
    """Asks one address to become a member of a tenant, or to become staff."""

    class State(models.TextChoices):
        """What has become of it."""

        PENDING = "pending", _("Pending")
        ACCEPTED = "accepted", _("Accepted")
        REVOKED = "revoked", _("Revoked")
        EXPIRED = "expired", _("Expired")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(
        Tenant,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="invitations",
        verbose_name=_("tenant"),
    )
    role = models.CharField(_("role"), max_length=16, choices=Role.choices, blank=True)
    is_staff = models.BooleanField(_("staff"), default=False)
    email = models.EmailField(_("e-mail"), max_length=254)
    username = models.CharField(_("username"), max_length=64, validators=[username_validator])
    name = models.CharField(_("name"), max_length=120, blank=True)
    token_hash = models.BinaryField(max_length=32, unique=True, editable=False)
    invited_by = models.ForeignKey(
        "accounts.User",
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("invited by"),
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)
    sent_at = models.DateTimeField(_("sent at"))
    expires_at = models.DateTimeField(_("expires at"))
    accepted_at = models.DateTimeField(_("accepted at"), null=True)
    accepted_by = models.ForeignKey(
        "accounts.User", null=True, on_delete=models.SET_NULL, related_name="+"
    )
    revoked_at = models.DateTimeField(_("revoked at"), null=True)
    mail_error = models.CharField(_("mail error"), max_length=500, blank=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        ordering = ["-sent_at"]
        constraints = [
            models.CheckConstraint(
                condition=(
                    models.Q(is_staff=True, tenant=None, role="")
                    | models.Q(is_staff=False, tenant__isnull=False, role__in=Role.values)
                ),
                name="invitation_is_for_a_role_or_for_staff",
            ),
        ]

    def __str__(self) -> str:
        return self.email

    @property
    def state(self) -> State:
        """Pending until accepted, revoked, or 72 hours after it was sent, to the second."""
        if self.accepted_at:
            return self.State.ACCEPTED
        if self.revoked_at:
            return self.State.REVOKED
        return self.State.PENDING if clock.now() < self.expires_at else self.State.EXPIRED

    @property
    def is_pending(self) -> bool:
        """Can its link still be accepted?"""
        return self.state == self.State.PENDING
