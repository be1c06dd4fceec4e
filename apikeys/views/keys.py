"""API Access: the list, one key, and the acts on it."""

import uuid
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.access import PortalRequest, role_required
from accounts.fresh import fresh_login_required, refilled
from accounts.models import AuditEvent
from accounts.origin import Origin
from apikeys import services
from apikeys.forms import ConfirmForm, EditKeyForm, NewKeyForm
from apikeys.listing import listing_of
from apikeys.models import ApiKey, Contract, LastUse
from apikeys.networks import covers
from apikeys.propagation import await_effect, effect_of
from apikeys.services import KEY_ROLES, FormAlreadySent, IssuedKey, OutOfDate, TooManyKeys
from apikeys.usage import SPANS, chart_of, last_refusals, with_retired_use
from portal.lib.http import answers


@answers("GET")
def key_list(request: PortalRequest) -> HttpResponse:
    """All keys of the tenant: the live ones in a table, the revoked ones folded away."""
    listing = listing_of(request.tenant)
    if listing is None:
        raise Http404
    context = {"listing": listing, "may_change": _may_change(request)}
    return render(request, "apikeys/key_list.html", context)


@answers("GET")
def key_detail(request: PortalRequest, key_id: uuid.UUID) -> HttpResponse:
    """One key: what it may do, from where, and what happened to it."""
    contract = get_object_or_404(Contract, tenant=request.tenant)
    key = get_object_or_404(with_retired_use(_keys(request)), pk=key_id)
    context = {
        "key": key,
        "contract": contract,
        "scopes": key.granted_scopes(contract),
        "events": AuditEvent.objects.about(key.pk)[:50],
        "may_change": _may_change(request),
        "chart": chart_of(key, SPANS.get(request.GET.get("chart", ""), SPANS["hour"])),
        "refusals": last_refusals(key),
        # Asked by pages that could not wait for it: else it is a question that nobody has.
        "effect": effect_of("key", key.pk, key.version) if "effect" in request.GET else None,
    }
    return render(request, "apikeys/key_detail.html", context)


@role_required(*KEY_ROLES)
@fresh_login_required
@answers("GET", "POST")
def key_new(request: PortalRequest) -> HttpResponse:
    """**New API Key**. The POST itself shows the secret: it is in no other answer."""
    contract = get_object_or_404(Contract, tenant=request.tenant)
    form = refilled(NewKeyForm(request.POST or None, contract=contract), request)
    if request.method == "POST" and form.is_valid():
        try:
            issued = services.create_key(
                tenant=request.tenant,
                actor=request.user,
                origin=Origin.of(request),
                **form.cleaned_data,
            )
        except FormAlreadySent as sent:
            return _conflict(request, "already_sent", sent.key)
        except TooManyKeys:
            form.add_error(
                None,
                _("Your contract allows %(most)d live keys. Revoke one that is not used.")
                % {"most": contract.max_keys},
            )
        else:
            return _secret_page(request, issued)
    context = {"form": form, "contract": contract, "your_address": Origin.of(request).address}
    return render(request, "apikeys/key_new.html", context)


@role_required(*KEY_ROLES)
@fresh_login_required
@answers("GET", "POST")
def key_edit(request: PortalRequest, key_id: uuid.UUID) -> HttpResponse:
    """**Edit** label and allowlist."""
    key = _key(request, key_id)
    if not key.is_live:
        return _conflict(request, "revoked", key)
    form = EditKeyForm(request.POST) if request.method == "POST" else EditKeyForm.of(key)
    form = refilled(form, request)
    if request.method == "POST" and form.is_valid():
        try:
            edited = services.edit_key(
                tenant=request.tenant,
                key_id=key_id,
                actor=request.user,
                origin=Origin.of(request),
                **form.cleaned_data,
            )
        except OutOfDate as late:
            return _conflict(request, "out_of_date", key, late.event)
        for warning in _allowlist_warnings(request, edited, key.last_use):
            messages.warning(request, warning)
        return _done(request, _("Saved."), edited, "apikeys:key_detail", key_id)
    context = {"form": form, "key": key, "your_address": Origin.of(request).address}
    return render(request, "apikeys/key_edit.html", context)


@role_required(*KEY_ROLES)
@fresh_login_required
@answers("GET", "POST")
def key_rotate(request: PortalRequest, key_id: uuid.UUID) -> HttpResponse:
    """**Rotate key**: a page to confirm, then the new secret, once."""
    return _confirmed(request, key_id, "apikeys/key_rotate.html", services.rotate_key)


@role_required(*KEY_ROLES)
@fresh_login_required
@answers("GET", "POST")
def key_revoke(request: PortalRequest, key_id: uuid.UUID) -> HttpResponse:
    """**Revoke key**: a page to confirm, then back to the list."""
    return _confirmed(request, key_id, "apikeys/key_revoke.html", services.revoke_key)


def _confirmed(request: PortalRequest, key_id: uuid.UUID, template: str, act: Any) -> HttpResponse:
    """A confirmation page carries the version of what it shows; a stale one is a 409."""
    key = _key(request, key_id)
    if request.method != "POST":
        if not key.is_live:
            return _conflict(request, "revoked", key)
        form = ConfirmForm(initial={"version": key.version})
        return render(request, template, {"key": key, "form": form})
    form = ConfirmForm(request.POST)
    version = form.cleaned_data["version"] if form.is_valid() else -1
    try:
        done = act(
            tenant=request.tenant,
            key_id=key_id,
            version=version,
            actor=request.user,
            origin=Origin.of(request),
        )
    except OutOfDate as late:
        reason = "out_of_date" if late.key.is_live else "revoked"
        return _conflict(request, reason, key, late.event)
    if isinstance(done, IssuedKey):
        return _secret_page(request, done, rotated=key)
    label = {"label": key.label}
    said = _("“%(label)s” is revoked. No call gets in with it.") % label
    not_yet = _("“%(label)s” is revoked.") % label
    return _done(request, said, done, "apikeys:key_list", not_yet=not_yet)


def _key(request: PortalRequest, key_id: uuid.UUID) -> ApiKey:
    """The tenant's own key; a stranger's is as unknown as one that never was."""
    return get_object_or_404(_keys(request), pk=key_id)


def _keys(request: PortalRequest) -> QuerySet[ApiKey]:
    return ApiKey.objects.for_tenant(request.tenant).for_display()


def _done(
    request: PortalRequest, said: str, key: ApiKey, *then: Any, not_yet: str = ""
) -> HttpResponse:
    """What was done, in how many processes it is in effect, and the way on.

    Where it is not in effect everywhere within a second, or that is not known, to the page that can
    be asked again.
    not_yet: what is said then, if it is less.
    """
    effect = await_effect("key", key.pk, key.version)
    if effect and effect.is_everywhere:
        messages.success(request, f"{said} {effect.sentence}".strip())
        return redirect(*then)
    messages.success(request, f"{not_yet or said} {effect.sentence if effect else ''}".strip())
    return redirect(reverse("apikeys:key_detail", args=[key.pk]) + "?effect=1")


def _may_change(request: PortalRequest) -> bool:
    return request.membership.role in KEY_ROLES


def _secret_page(
    request: PortalRequest, issued: IssuedKey, *, rotated: ApiKey | None = None
) -> HttpResponse:
    """The secret, once: in this answer and in nothing that is kept.

    It needs nothing of the database: a failure now would lose a secret that is in force already.
    """
    context = {
        "key": issued.key,
        "secret": issued.secret,
        "is_rotation": rotated is not None,
        "effect": await_effect("key", issued.key.pk, issued.key.version) if rotated else None,
        "curl": _curl(issued.secret, "/v1/whoami"),
        "matches_curls": [
            _curl(issued.secret, f"/{sport}/v1/matches")
            for sport in issued.key.sports
            if f"{sport}:matches:list" in issued.key.scopes
        ][:1],
        "warnings": _allowlist_warnings(request, issued.key, rotated.last_use if rotated else None),
    }
    return render(request, "apikeys/key_secret.html", context)


def _curl(secret: str, path: str) -> str:
    return f'curl -H "X-API-Key: {secret}" {settings.FEED_BASE_URL}{path}'


def _allowlist_warnings(request: PortalRequest, key: ApiKey, use: LastUse | None) -> list[str]:
    """Sentences for addresses that would be shut out and perhaps should not be."""
    warnings = []
    here = Origin.of(request).address
    if not covers(key.networks, here):
        warnings.append(
            _("Your own address, %(address)s, is not on the allowlist.") % {"address": here}
        )
    last = use.address if use else None
    if last not in {None, here} and not covers(key.networks, last):
        warnings.append(
            _("%(address)s, from where the key was last used, is not on the allowlist.")
            % {"address": last}
        )
    return warnings


def _conflict(
    request: PortalRequest, reason: str, key: ApiKey | None, event: AuditEvent | None = None
) -> HttpResponse:
    """409: nothing was done, and why."""
    if event is None and key is not None:
        event = AuditEvent.objects.about(key.pk).first()
    context = {"reason": reason, "key": key, "event": event}
    return render(request, "apikeys/key_conflict.html", context, status=409)
