"""Audit events: one row a security act, written in the act's own transaction, never changed."""

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.agents import describe_agent
from portal.lib import clock


class Action(models.TextChoices):
    """What can have happened, as `subject.past_participle`."""

    LOGIN_SUCCEEDED = "login.succeeded", _("Signed in")
    LOGIN_REFUSED = "login.refused", _("Sign-in refused")
    LOGOUT = "session.ended", _("Signed out")
    PASSWORD_CHANGED = "password.changed", _("Password changed")
    PASSWORD_REFUSED = "password.refused", _("Password change refused")
    AUTHENTICATOR_ENABLED = "authenticator.enabled", _("2FA enabled")
    AUTHENTICATOR_DISABLED = "authenticator.disabled", _("2FA disabled")
    AUTHENTICATOR_RESET = "authenticator.reset", _("2FA reset by staff")
    RECOVERY_CODES_MADE = "recovery_codes.made", _("Recovery codes made")
    RECOVERY_CODE_USED = "recovery_code.used", _("Recovery code used")
    REAUTHENTICATED = "session.confirmed", _("Confirmed who it is")
    SESSION_ENDED_ELSEWHERE = "session.revoked", _("Session ended from elsewhere")
    MEMBER_ROLE_CHANGED = "membership.changed", _("Role changed")
    MEMBER_REMOVED = "membership.ended", _("Member removed")
    TWO_FACTOR_REQUIRED = "tenant.2fa_required", _("2FA required for everyone")
    TWO_FACTOR_OPTIONAL = "tenant.2fa_optional", _("2FA no longer required")
    INVITATION_SENT = "invitation.sent", _("Invitation sent")
    INVITATION_RESENT = "invitation.resent", _("Invitation sent again")
    INVITATION_REVOKED = "invitation.revoked", _("Invitation revoked")
    INVITATION_ACCEPTED = "invitation.accepted", _("Invitation accepted")
    TENANT_CREATED = "tenant.created", _("Tenant created")
    TENANT_CHANGED = "tenant.changed", _("Tenant changed")
    TENANT_SUSPENDED = "tenant.suspended", _("Tenant suspended")
    TENANT_REACTIVATED = "tenant.reactivated", _("Tenant reactivated")
    CONTRACT_CHANGED = "contract.changed", _("Contract changed")
    USER_DISABLED = "user.disabled", _("User disabled")
    USER_ENABLED = "user.enabled", _("User enabled")
    API_KEY_CREATED = "api_key.created", _("API key created")
    API_KEY_CHANGED = "api_key.changed", _("API key changed")
    API_KEY_ROTATED = "api_key.rotated", _("API key rotated")
    API_KEY_REVOKED = "api_key.revoked", _("API key revoked")


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    """Questions about many events."""

    def about(self, target_id: uuid.UUID) -> "AuditEventQuerySet":
        """What happened to one thing, newest first."""
        return self.filter(target_id=target_id).order_by("-at", "-pk")


class AuditEvent(models.Model):
    """Who did what to which thing, from where, and when.

    Names are kept beside the references, because the row must still read well when the thing is
    gone. No foreign keys: a deleted user or tenant must neither change nor delete what it did.
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(default=clock.now)
    action = models.CharField(max_length=40, choices=Action.choices)
    actor_id = models.UUIDField(null=True)
    actor_name = models.CharField(max_length=120, blank=True)
    tenant_id = models.UUIDField(null=True)
    target_type = models.CharField(max_length=40, blank=True)
    target_id = models.UUIDField(null=True)
    target_name = models.CharField(max_length=254, blank=True)
    address = models.GenericIPAddressField(null=True)
    agent = models.CharField(max_length=300, blank=True)
    detail = models.JSONField(default=dict)

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        ordering = ["-at", "-pk"]
        indexes = [
            models.Index(fields=["tenant_id", "-at"], name="audit_by_tenant"),
            models.Index(fields=["target_id", "-at"], name="audit_by_target"),
            models.Index(fields=["actor_id", "-at"], name="audit_by_actor"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.action}"

    @property
    def browser(self) -> str:
        """The agent in readable form."""
        return describe_agent(self.agent)
