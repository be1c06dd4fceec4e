"""What staff see of tenants: opening, renaming, suspending, and the contract."""

from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant
from accounts.origin import Origin
from accounts.services.tenants import rename_tenant, set_tenant_active
from accounts.staff import Act, StaffAdmin
from apikeys.amqp.acts import access_of, keep_in_step
from apikeys.amqp.staff import AmqpAccessAdmin
from apikeys.forms import ContractForm
from apikeys.models import Contract
from apikeys.propagation import Effect, await_effect
from apikeys.services import change_contract, open_tenant

__all__ = ["AmqpAccessAdmin", "ContractAdmin", "TenantAdmin"]  # what the panel finds here


def _set_active(request: HttpRequest, tenant: Tenant, *, is_active: bool) -> Effect | None:
    with transaction.atomic():  # the version is the one that this act has made
        changed = set_tenant_active(
            tenant_id=tenant.pk,
            is_active=is_active,
            actor=request.user,  # type: ignore[arg-type]
            origin=Origin.of(request),
        )
        changed.refresh_from_db(fields=["version"])
    if not keep_in_step(tenant):
        messages.warning(
            request, _("The message broker has not heard of it; it is told within a minute.")
        )
    return await_effect("tenant", changed.pk, changed.version)


def _suspend(request: HttpRequest, tenant: Tenant) -> Any:
    effect = _set_active(request, tenant, is_active=False)
    said = _("Suspended: its members cannot sign in, its keys are to be refused.")
    if effect and effect.is_everywhere:
        said = _("Suspended: its keys open nothing, its members cannot sign in.")
    return _with_effect(said, effect)


def _reactivate(request: HttpRequest, tenant: Tenant) -> Any:
    return _with_effect(_("Active again."), _set_active(request, tenant, is_active=True))


def _with_effect(said: Any, effect: Effect | None) -> str:
    return f"{said} {effect.sentence}".strip() if effect else str(said)


@admin.register(Tenant)
class TenantAdmin(StaffAdmin):
    """Tenants. The slug is set once; suspending is an act."""

    add_label = _("Create tenant")
    list_display = ["name", "slug", "state", "created_at"]
    search_fields = ["name", "slug"]
    acts = [
        Act("suspend", _("Suspend"), _suspend, offered=lambda t: t.is_active, is_dangerous=True),
        Act("reactivate", _("Reactivate"), _reactivate, offered=lambda t: not t.is_active),
    ]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Slug and name of a new one; afterwards the name can be changed."""
        if obj is None:
            return ["slug", "name"]
        return ["name", "slug", "state", "created_at", "contract_link", "amqp_link", "invite_link"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """All but the name, once it is there."""
        return [name for name in self.get_fields(request, obj) if obj and name != "name"]

    @admin.display(description=_("state"))
    def state(self, tenant: Tenant) -> str:
        """In words."""
        return str(_("active") if tenant.is_active else _("suspended"))

    @admin.display(description=_("contract"))
    def contract_link(self, tenant: Tenant) -> SafeString:
        """The way to its terms."""
        url = reverse("admin:apikeys_contract_change", args=[tenant.pk])
        return format_html('<a href="{}">{}</a>', url, _("Scopes, sports, limits"))

    @admin.display(description=_("AMQP"))
    def amqp_link(self, tenant: Tenant) -> SafeString:
        """The way to its part of the message broker."""
        url = reverse("admin:apikeys_amqpaccess_change", args=[tenant.pk])
        state = access_of(tenant).state.label
        return format_html('<a href="{}">{}</a>', url, state)

    @admin.display(description=_("people"))
    def invite_link(self, tenant: Tenant) -> SafeString:
        """The way to a new invitation into it."""
        url = reverse("admin:accounts_invitation_add")
        return format_html('<a href="{}?tenant={}">{}</a>', url, tenant.pk, _("Invite operator"))

    def save_model(self, request: HttpRequest, obj: Tenant, form: Any, change: bool) -> None:
        """By the services, which record."""
        actor: Any = request.user
        origin = Origin.of(request)
        if change:
            if "name" in form.changed_data:
                stored = Tenant.objects.get(pk=obj.pk)
                rename_tenant(tenant=stored, name=obj.name, actor=actor, origin=origin)
                _tell_effect_after_commit(request, "tenant", stored)
            return
        opened = open_tenant(slug=obj.slug, name=obj.name, actor=actor, origin=origin)
        obj.pk = opened.pk

    def response_add(
        self, request: HttpRequest, obj: Tenant, post_url_continue: Any = None
    ) -> HttpResponse:
        """To the tenant, where the contract and the first invitation are one click away."""
        messages.success(request, _("%(name)s is open.") % {"name": obj.name})
        return redirect("admin:accounts_tenant_change", obj.pk)


def _tell_effect_after_commit(request: HttpRequest, kind: str, changed: Tenant | Contract) -> None:
    """In how many processes of the machine door the change is in effect, and after how long.

    The panel's pages are one transaction each: before its end nobody can hear of it.
    """
    changed.refresh_from_db(fields=["version"])
    transaction.on_commit(partial(_tell_effect, request, kind, changed))


def _tell_effect(request: HttpRequest, kind: str, changed: Tenant | Contract) -> None:
    effect = await_effect(kind, changed.pk, changed.version)
    if effect and effect.sentence:
        messages.info(request, effect.sentence)


@admin.register(Contract)
class ContractAdmin(StaffAdmin):
    """Terms. They come with the tenant and are edited here."""

    form = ContractForm
    list_display = ["tenant", "limit_rpm", "max_keys", "max_streams"]
    list_select_related = ["tenant"]
    search_fields = ["tenant__name", "tenant__slug"]
    fields = ["bundles", "scopes", "sports", "limit_rpm", "max_keys", "max_streams"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Every tenant has one from the start."""
        return False

    def save_model(self, request: HttpRequest, obj: Contract, form: Any, change: bool) -> None:
        """By the service, which records and takes the keys along."""
        terms = {name: form.cleaned_data[name] for name in ContractForm.Meta.fields}
        changed = change_contract(
            tenant=obj.tenant,
            actor=request.user,  # type: ignore[arg-type]
            origin=Origin.of(request),
            terms=terms,
        )
        _tell_effect_after_commit(request, "contract", changed)
