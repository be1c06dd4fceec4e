"""Audit events: one row a security act, written in the act's own transaction, never changed."""

import uuid
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.agents import describe_agent
from accounts.models.tenants import Membership, Tenant
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
    CONFIRMATION_REFUSED = "session.unconfirmed", _("Confirmation of who it is refused")
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
    MARKETS_CHANGED = "markets.changed", _("Markets switched")
    MARKETS_DEFAULT_CHANGED = "markets.default_changed", _("Default of markets changed")
    MARKETS_RESTORED = "markets.restored", _("Revision of markets restored")
    SPORT_ADDED = "sport.added", _("Sport added")
    SPORT_CHANGED = "sport.changed", _("Sport changed")
    CATALOGUE_LOADED = "catalogue.loaded", _("Market catalogue loaded")
    MARKET_TYPE_ADDED = "market_type.added", _("Market type added")
    MARKET_TYPE_CHANGED = "market_type.changed", _("Market type changed")
    MARKET_TYPE_RETIRED = "market_type.retired", _("Market type taken out")
    MARKET_GROUP_ADDED = "market_group.added", _("Group of market types added")
    MARKET_GROUP_CHANGED = "market_group.changed", _("Group of market types changed")
    AMQP_REQUESTED = "amqp.requested", _("AMQP asked for")
    AMQP_PROVISIONED = "amqp.provisioned", _("AMQP provisioned")
    AMQP_PASSWORD_SET = "amqp.password_set", _("AMQP password set")
    AMQP_SUSPENDED = "amqp.suspended", _("AMQP suspended")
    AMQP_REACTIVATED = "amqp.reactivated", _("AMQP reactivated")
    AMQP_REMOVED = "amqp.removed", _("AMQP removed")


def action_choices() -> list[tuple[str, Any]]:
    """What can have happened, and its words. A function, so that migrations do not list them."""
    return Action.choices


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    """Questions about many events."""

    def for_tenant(self, tenant: Tenant) -> "AuditEventQuerySet":
        """The tenant's own, and its members' signing in and out, which belongs to no tenant.

        Of each member what happened while they were one: what somebody does before joining, or
        after leaving, is no business of the tenant's.
        """
        theirs = models.Q(tenant_id=tenant.pk)
        for user_id, since, until in self._memberships_ever(tenant):
            while_member = models.Q(at__gte=since) & (
                models.Q(at__lte=until) if until else models.Q()
            )
            theirs |= while_member & models.Q(tenant_id=None, target_type="user", target_id=user_id)
        return self.filter(theirs)

    def _memberships_ever(self, tenant: Tenant) -> list[tuple[Any, ...]]:
        """Who was a member from when until when (None: still is). A membership that is over has no
        row any more: the event of its end says when it began.
        """
        present = Membership.objects.filter(tenant=tenant).values_list("user_id", "created_at")
        over = self.model.objects.filter(
            tenant_id=tenant.pk, action=Action.MEMBER_REMOVED, detail__has_key="since"
        ).values_list("target_id", "detail__since", "at")
        return [*((user_id, since, None) for user_id, since in present), *list(over)]

    def about(self, target_id: uuid.UUID) -> "AuditEventQuerySet":
        """What happened to one thing, newest first."""
        return self.filter(target_id=target_id).order_by("-at", "-pk")


class AuditEvent(models.Model):
    """Who did what to which thing, from where, and when.

    Names are kept beside the references, because the row must still read well when the thing is
    gone. No foreign keys: a deleted user or tenant must neither change nor delete what it did.
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(_("when"), default=clock.now)
    action = models.CharField(_("what"), max_length=40, choices=action_choices)
    actor_id = models.UUIDField(_("actor ID"), null=True)
    actor_name = models.CharField(_("who"), max_length=120, blank=True)
    tenant_id = models.UUIDField(_("tenant ID"), null=True)
    target_type = models.CharField(_("kind of target"), max_length=40, blank=True)
    target_id = models.UUIDField(_("target ID"), null=True)
    target_name = models.CharField(_("target"), max_length=254, blank=True)
    address = models.GenericIPAddressField(_("address"), null=True)
    agent = models.CharField(_("agent"), max_length=300, blank=True)
    detail = models.JSONField(_("detail"), default=dict)

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        verbose_name = _("audit event")
        verbose_name_plural = _("audit events")
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
