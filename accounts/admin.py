"""What staff see of people: users, invitations, the audit trail."""

from typing import Any

from django.apps import apps
from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.forms import InvitationForm
from accounts.fresh import fresh_login_required
from accounts.models import AuditEvent, Invitation, Tenant, User
from accounts.origin import Origin
from accounts.services import invitations as services
from accounts.services.invitations import InvitationIsDead
from accounts.services.self_service import has_second_factor, reset_second_factor
from accounts.services.tenants import set_user_active
from accounts.staff import Act, ActRefused, ReadOnlyAdmin, StaffAdmin, given_reason


def _resend(request: HttpRequest, invitation: Invitation) -> Any:
    try:
        services.resend_invitation(
            invitation_id=invitation.pk,
            actor=request.user,  # type: ignore[arg-type]
            origin=Origin.of(request),
        )
    except InvitationIsDead:
        raise ActRefused(_("It was accepted or revoked meanwhile.")) from None
    return _("A new link is on its way; the old one is dead.")


def _revoke(request: HttpRequest, invitation: Invitation) -> Any:
    try:
        services.revoke_invitation(
            invitation_id=invitation.pk,
            actor=request.user,  # type: ignore[arg-type]
            origin=Origin.of(request),
        )
    except InvitationIsDead:
        raise ActRefused(_("It was accepted or revoked meanwhile.")) from None
    return _("Revoked: the link is dead.")


def _is_open(invitation: Invitation) -> bool:
    return not invitation.accepted_at and not invitation.revoked_at


@admin.register(Invitation)
class InvitationAdmin(StaffAdmin):
    """**Invite operator**, **Resend**, **Revoke**."""

    form = InvitationForm
    add_label = _("Send invite")
    list_display = ["email", "username", "for_whom", "state", "sent_at", "expires_at", "mail"]
    list_select_related = ["tenant"]
    list_filter = ["tenant"]
    search_fields = ["email", "username"]
    acts = [
        Act("resend", _("Resend"), _resend, offered=_is_open),
        Act("revoke", _("Revoke"), _revoke, offered=_is_open, is_dangerous=True),
    ]
    readonly_fields = [
        "email",
        "username",
        "name",
        "for_whom",
        "state",
        "invited_by",
        "sent_at",
        "expires_at",
        "accepted_at",
        "revoked_at",
        "mail",
    ]

    @admin.display(description=_("for"))
    def for_whom(self, invitation: Invitation) -> str:
        """Tenant and role, or staff."""
        if invitation.tenant is None:
            return str(_("staff"))
        return f"{invitation.tenant} · {invitation.get_role_display()}"

    @admin.display(description=_("state"))
    def state(self, invitation: Invitation) -> str:
        """Pending, accepted, revoked, expired."""
        return str(invitation.state.label)

    @admin.display(description=_("mail"))
    def mail(self, invitation: Invitation) -> str:
        """Whether the mail went out, and why not."""
        if not invitation.mail_error:
            return str(_("sent"))
        return str(_("not sent: %(error)s. Resend it.") % {"error": invitation.mail_error})

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What was sent is sent; a row is looked at and acted on."""
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """All of them, once it is there."""
        return self.readonly_fields if obj else []

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """What is asked for a new one; what is shown of one that is there."""
        asked = ["tenant", "role", "email", "username", "name"]
        return [(None, {"fields": self.readonly_fields if obj else asked})]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """**Invite operator**, for somebody who proved themselves of late."""
        view = fresh_login_required(super().add_view)
        return view(request, form_url, {"title": _("Invite operator"), **(extra_context or {})})

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """What was typed before the question who it is; else what the address says."""
        typed: QueryDict | None = getattr(request, "refill", None)
        return typed.dict() if typed else super().get_changeform_initial_data(request)

    def save_model(self, request: HttpRequest, obj: Invitation, form: Any, change: bool) -> None:
        """Invite by the service, which mails and records."""
        sent = services.invite(
            actor=request.user,  # type: ignore[arg-type]
            origin=Origin.of(request),
            **form.cleaned_data,
        )
        obj.pk = sent.invitation.pk

    def response_add(
        self, request: HttpRequest, obj: Invitation, post_url_continue: Any = None
    ) -> HttpResponse:
        """To the invitation, where it says whether its mail went out."""
        messages.success(
            request, _("Invited %(email)s. The link is good for 72 hours.") % {"email": obj.email}
        )
        return redirect("admin:accounts_invitation_change", obj.pk)


def _not_oneself(request: HttpRequest, user: User) -> None:
    if user.pk == request.user.pk:
        raise ActRefused(_("You cannot do this to your own account."))


def _set_active(request: HttpRequest, user: User, *, is_active: bool) -> None:
    _not_oneself(request, user)
    set_user_active(
        user_id=user.pk,
        is_active=is_active,
        actor=request.user,  # type: ignore[arg-type]
        origin=Origin.of(request),
    )


def _disable(request: HttpRequest, user: User) -> Any:
    _set_active(request, user, is_active=False)
    return _("Disabled; every session is over.")


def _enable(request: HttpRequest, user: User) -> Any:
    _set_active(request, user, is_active=True)
    return _("Enabled.")


def _reset_second_factor(request: HttpRequest, user: User) -> Any:
    _not_oneself(request, user)
    reset_second_factor(
        user_id=user.pk,
        reason=given_reason(request),
        actor=request.user,  # type: ignore[arg-type]
        origin=Origin.of(request),
    )
    return _("2FA is gone, every session is over, and the user and the owners are told.")


@admin.register(User)
class UserAdmin(ReadOnlyAdmin):
    """People. They come by invitation, and their passwords are their own."""

    list_display = ["username", "email", "name", "kind", "state", "last_login"]
    list_filter = ["is_staff", "is_active", "memberships__tenant"]
    search_fields = ["username", "email", "name"]
    fields = ["username", "email", "name", "tenants", "kind", "state", "last_login"]
    readonly_fields = ["tenants", "kind", "state"]
    acts = [
        Act("disable", _("Disable"), _disable, offered=lambda u: u.is_active, is_dangerous=True),
        Act(
            "reset-2fa",
            _("Reset 2FA"),
            _reset_second_factor,
            offered=has_second_factor,
            is_dangerous=True,
            needs_reason=True,
        ),
        Act("enable", _("Enable"), _enable, offered=lambda u: not u.is_active),
    ]

    @admin.display(description=_("kind"), ordering="is_staff")
    def kind(self, user: User) -> str:
        """Ours or an operator's."""
        return str(_("staff") if user.is_staff else _("member"))

    @admin.display(description=_("state"), ordering="is_active")
    def state(self, user: User) -> str:
        """In words."""
        return str(_("active") if user.is_active else _("disabled"))

    @admin.display(description=_("tenants"))
    def tenants(self, user: User) -> str:
        """Each with the role there."""
        memberships = user.memberships.select_related("tenant")
        return ", ".join(f"{m.tenant} ({m.get_role_display()})" for m in memberships) or "–"


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    """What happened, across tenants, newest first."""

    list_display = ["at", "action", "actor_name", "tenant", "kind", "target_name", "address"]
    fields = [
        *["at", "action", "actor_name", "actor_id", "tenant", "tenant_id"],
        *["kind", "target_name", "target_id", "address", "browser", "agent", "detail"],
    ]
    readonly_fields = ["tenant", "kind", "browser"]
    list_filter = ["action"]
    search_fields = ["actor_name", "target_name"]
    date_hierarchy = "at"

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEvent]:
        """Each with its tenant's name of today: there is no foreign key to follow."""
        tenant = Tenant.objects.filter(pk=OuterRef("tenant_id"))
        events: QuerySet[AuditEvent] = super().get_queryset(request)
        return events.annotate(tenant_name=Subquery(tenant.values("name")))

    @admin.display(description=_("tenant"))
    def tenant(self, event: AuditEvent) -> str:
        """Whose wall it happened behind; none for signing in, and for what staff have to do."""
        return getattr(event, "tenant_name", None) or "–"

    @admin.display(description=_("kind of target"), ordering="target_type")
    def kind(self, event: AuditEvent) -> str:
        """A user, an API key …, in the reader's language."""
        names = {model._meta.model_name: model._meta.verbose_name for model in apps.get_models()}
        name = str(names.get(event.target_type, event.target_type))
        return gettext(name) if name else "–"  # a model without a name of its own has a plain one

    @admin.display(description=_("browser"))
    def browser(self, event: AuditEvent) -> str:
        """The agent in readable form."""
        return event.browser or "–"

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """A row's history is a link to its events."""
        return lookup == "target_id" or super().lookup_allowed(lookup, value, request)
