"""What staff see of AMQP: who asked, how far each access has come, and the acts on it."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant
from accounts.origin import Origin
from accounts.staff import Act, ActRefused, ReadOnlyAdmin, given_reason
from apikeys.amqp import acts as amqp
from apikeys.amqp import names
from apikeys.amqp.broker import is_configured
from apikeys.models import PROVISIONING, AmqpAccess, AmqpState, Step


def _done(request: HttpRequest, access: AmqpAccess, act: Callable[..., Any], **given: Any) -> Any:
    """Call the service; what it will not do is said in a sentence."""
    origin = Origin.of(request)
    try:
        return act(tenant=access.tenant, actor=request.user, origin=origin, **given)
    except amqp.NotConfigured:
        raise ActRefused(
            _("No broker is configured: RABBITMQ_MANAGEMENT_URL is not set (docs/operations.md).")
        ) from None
    except amqp.Busy:
        raise ActRefused(
            _("Somebody else is at this access just now. Nothing was done; try again.")
        ) from None
    except amqp.WrongState as wrong:
        state = wrong.access.state.label
        raise ActRefused(
            gettext("Nothing was done: by now the access is %(state)s.") % {"state": state}
        ) from None
    except amqp.Stopped as stopped:
        raise ActRefused(
            gettext("It stopped at “%(step)s”: %(why)s. What was done before stays; Retry goes on.")
            % {"step": stopped.step.label, "why": stopped.why}
        ) from None


def _provision(request: HttpRequest, access: AmqpAccess) -> Any:
    if access.removal_asked_at or access.provisioned_at:
        return _retry(request, access)
    if not access.tenant.is_active:
        raise ActRefused(_("The tenant is suspended."))
    return _password_page(request, _done(request, access, amqp.provision))


def _retry(request: HttpRequest, access: AmqpAccess) -> Any:
    """Of what is decided and not on the broker yet; of a provisioning, the rest of it."""
    if access.state == AmqpState.UNFINISHED:
        return _provision(request, access)
    return _in_force(access, _("The broker is in step."))


def _new_password(request: HttpRequest, access: AmqpAccess) -> Any:
    return _password_page(request, _done(request, access, amqp.renew_password))


def _suspend(request: HttpRequest, access: AmqpAccess) -> Any:
    _done(request, access, amqp.set_amqp_active, is_active=False)
    return _in_force(access, _("Suspended: its connections are closed, new ones are refused."))


def _reactivate(request: HttpRequest, access: AmqpAccess) -> Any:
    _done(request, access, amqp.set_amqp_active, is_active=True)
    return _in_force(access, _("Active again."))


def _remove(request: HttpRequest, access: AmqpAccess) -> Any:
    _done(request, access, amqp.remove_amqp, reason=given_reason(request))
    return _in_force(access, _("Removed: user, virtual host and queues are gone."))


def _in_force(access: AmqpAccess, sentence: Any) -> Any:
    """The sentence, if the broker is as it says; else that it will be."""
    if amqp.keep_in_step(access.tenant):
        return sentence
    return _("Decided, but the broker has not taken it yet. It is tried again every minute.")


def _password_page(request: HttpRequest, issued: amqp.IssuedPassword) -> HttpResponse:
    """The password, once: in this answer and in nothing that is kept."""
    context = {
        "access": issued.access,
        "password": issued.password,
        "uri": names.amqp_uri(issued.access, issued.password),
        "is_cut_off": issued.is_cut_off,
        "back_url": reverse("admin:apikeys_amqpaccess_change", args=[issued.access.pk]),
    }
    return render(request, "apikeys/amqp_password.html", context)


def _is(*states: AmqpState) -> Callable[[AmqpAccess], bool]:
    return lambda access: access.state in states


def _waits(access: AmqpAccess) -> bool:
    return access.state == AmqpState.UNFINISHED or not access.is_in_step


@admin.register(AmqpAccess)
class AmqpAccessAdmin(ReadOnlyAdmin):
    """**Provision AMQP**, **Retry**, **New password**, **Suspend**, **Remove**."""

    list_display = ["tenant", "shown_state", "shown_request", "requested_at", "password_set_at"]
    list_select_related = ["tenant", "requested_by"]
    list_filter = ["request"]
    search_fields = ["tenant__name", "tenant__slug"]
    fields = [
        "tenant",
        "shown_state",
        "shown_request",
        "vhost",
        "username",
        "limits",
        "shown_steps",
        "password_set_at",
        "password_set_by",
    ]
    acts = [
        Act("provision", _("Provision AMQP"), _provision, offered=_is(AmqpState.NONE)),
        Act("retry", _("Retry"), _retry, offered=_waits),
        Act(
            "new-password",
            _("New password"),
            _new_password,
            offered=_is(AmqpState.READY, AmqpState.SUSPENDED),
        ),
        Act(
            "suspend",
            _("Suspend"),
            _suspend,
            offered=lambda a: bool(a.provisioned_at) and not a.suspended_at,
            is_dangerous=True,
        ),
        Act("reactivate", _("Reactivate"), _reactivate, offered=lambda a: bool(a.suspended_at)),
        Act(
            "remove",
            pgettext_lazy("AMQP", "Remove"),
            _remove,
            offered=_is(AmqpState.READY, AmqpState.SUSPENDED, AmqpState.UNFINISHED),
            is_dangerous=True,
            needs_reason=True,
        ),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """All of them."""
        return self.fields

    def get_ordering(self, request: HttpRequest) -> Any:
        """Whoever waits comes first, the longest wait at the top."""
        return [F("requested_at").asc(nulls_last=True), "tenant__name"]

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> AmqpAccess | None:
        """A tenant's access; one that was never asked for is shown as what it is: none."""
        found: AmqpAccess | None = super().get_object(request, object_id, from_field)
        if found is not None:
            return found
        tenant = self._tenant(object_id)
        return amqp.access_of(tenant) if tenant else None

    def waiting(self) -> tuple[str, str] | None:
        """How many wait for staff, for the panel's first page."""
        number = AmqpAccess.objects.exclude(request="").count()
        if not number:
            return None
        sentence = ngettext(
            "%(number)d request for AMQP waits", "%(number)d requests for AMQP wait", number
        )
        return sentence % {"number": number}, reverse("admin:apikeys_amqpaccess_changelist")

    @admin.display(description=_("state"))
    def shown_state(self, access: AmqpAccess) -> str:
        """In words, with what is still to be done for it to be true."""
        if not is_configured():
            return gettext("%(state)s; no broker is configured") % {"state": access.state.label}
        if not access.is_in_step:
            return gettext("%(state)s; the broker has not taken it yet") % {
                "state": access.state.label
            }
        return str(access.state.label)

    @admin.display(description=_("asked for"), ordering="requested_at")
    def shown_request(self, access: AmqpAccess) -> SafeString | str:
        """What, and by whom: marked, since somebody waits."""
        if not access.request:
            return "–"
        by = access.requested_by.username if access.requested_by else "–"
        words = f"{access.get_request_display()} · {by}"
        return format_html('<span class="badge warning">{}</span>', words)

    @admin.display(description=_("virtual host"))
    def vhost(self, access: AmqpAccess) -> str:
        """Made of the slug."""
        return access.vhost

    @admin.display(description=_("username"))
    def username(self, access: AmqpAccess) -> str:
        """Made of the slug."""
        return access.username

    @admin.display(description=_("limits"))
    def limits(self, access: AmqpAccess) -> str:
        """Of each tenant."""
        return gettext("%(connections)d connections, %(channels)d channels, %(queues)d queues") % {
            "connections": names.MOST_CONNECTIONS,
            "channels": names.MOST_CHANNELS,
            "queues": names.MOST_QUEUES,
        }

    @admin.display(description=_("steps"))
    def shown_steps(self, access: AmqpAccess) -> SafeString:
        """Each with what became of it; those of the provisioning also before they are taken."""
        taken = {step.name: step for step in access.steps}
        lines = []
        for step in Step:
            row = taken.get(step)
            if row is None and step not in PROVISIONING:
                continue
            if row is not None and row.failed_at:
                state = gettext("stopped: %(why)s") % {"why": row.failure}
            else:
                state = gettext("done") if row and row.done_at else gettext("to do")
            lines.append((step.label, state))
        return format_html_join("", "<div>{}: {}</div>", lines)

    def _tenant(self, object_id: str) -> Tenant | None:
        try:
            return Tenant.objects.filter(pk=object_id).first()
        except ValidationError:  # no UUID
            return None
