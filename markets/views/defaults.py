"""**Enable all** and **Disable all**: the default, and what becomes of overrides."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from accounts.access import PortalRequest, role_required
from accounts.origin import Origin
from markets.effective import consequence
from markets.forms import DefaultForm, DisableAllForm, RevisionForm
from markets.review import Conflict, conflict_since
from markets.services.choices import MARKET_ROLES, OutOfDate, set_default
from markets.state import State, state_of
from markets.views.changes import applied
from portal.lib.http import answers


@role_required(*MARKET_ROLES)
@answers("GET", "POST")
def enable_all(request: PortalRequest) -> HttpResponse:
    """**Enable all**: a page that says what will happen, then the default is on."""
    return _flip(request, default_on=True)


@role_required(*MARKET_ROLES)
@answers("GET", "POST")
def disable_all(request: PortalRequest) -> HttpResponse:
    """**Disable all**: the same, and the tenant's slug typed out."""
    return _flip(request, default_on=False)


def _flip(request: PortalRequest, *, default_on: bool) -> HttpResponse:
    state = state_of(request.tenant)
    if request.method != "POST":
        form = _form(request, state, None, default_on=default_on)
        return _show(request, state, form, default_on=default_on)
    made_from = RevisionForm.read(request.POST)
    form = _form(request, state, request.POST, default_on=default_on)
    if made_from != state.revision:
        return _show_late(request, state, made_from, default_on=default_on)
    if not form.is_valid():
        return _show(request, state, form, default_on=default_on)
    try:
        flipped = set_default(
            tenant=request.tenant,
            revision=made_from,
            default_on=default_on,
            keep_overrides=form.keeps,
            actor=request.user,
            origin=Origin.of(request),
        )
    except OutOfDate as late:
        return _show_late(request, late.state, made_from, default_on=default_on)
    if flipped.revision == made_from:
        messages.info(request, _("What you chose is in force already."))
        return redirect("markets:list")
    return applied(flipped)


def _form(
    request: PortalRequest, state: State, sent: QueryDict | None, *, default_on: bool
) -> DefaultForm:
    # Where the default is what it is to be, keeping the overrides would be doing nothing.
    likely = "keep" if _flips(state, default_on) else "clear"
    given: dict[str, Any] = {
        "data": sent,
        "initial": {"revision": state.revision, "overrides": likely},
        "has_overrides": bool(state.own),
    }
    return DefaultForm(**given) if default_on else DisableAllForm(slug=request.tenant.slug, **given)


def _flips(state: State, default_on: bool) -> bool:
    return state.choices.default_on is not default_on


def _show_late(
    request: PortalRequest, state: State, made_from: int, *, default_on: bool
) -> HttpResponse:
    """409: the form again, made from what is there now, with what was picked in it.

    But for the typed word, which stood for what the page said before.
    """
    sent = request.POST.copy()
    sent["revision"] = str(state.revision)
    sent.pop("typed", None)
    form = _form(request, state, sent, default_on=default_on)
    conflict = conflict_since(request.tenant, state, made_from)
    return _show(request, state, form, default_on=default_on, conflict=conflict)


def _show(
    request: PortalRequest,
    state: State,
    form: DefaultForm,
    *,
    default_on: bool,
    conflict: Conflict | None = None,
) -> HttpResponse:
    outcomes = {
        keep: consequence(
            state.choices,
            state.choices.with_default(default_on, keep_overrides=keep),
            state.catalogue.live,
        )
        for keep in (True, False)
    }
    context = {
        "form": form,
        "default_on": default_on,
        "flips": _flips(state, default_on),
        "kept": outcomes[True],
        "cleared": outcomes[False],
        "overrides": len(state.own),
        "contrary": [each for each in state.own if state.choices.is_on(each) is not default_on],
        "conflict": conflict,
    }
    status = 409 if conflict else 200
    return render(request, "markets/default.html", context, status=status)
