"""Asking again: what is dangerous needs a proof of less than ten minutes ago.

It is asked when a form is opened. If the ten minutes run out before the form is sent, the question
carries what was typed, as hidden fields and never in a session, and the form comes back filled.
"""

import datetime as dt
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from django import forms
from django.db import transaction
from django.http import HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters

from accounts.access import PortalRequest
from accounts.audit import record
from accounts.forms import ConfirmItIsYouForm
from accounts.limits import browser_id, limit_password_check
from accounts.models import Action
from accounts.origin import Origin
from accounts.services.codes import try_code
from accounts.services.self_service import has_second_factor, refuse_confirmation
from portal.lib import clock

FRESH = dt.timedelta(minutes=10)
MARK = "confirm_it_is_you"  # the name of the button **Continue**
_NOT_CARRIED = {"csrfmiddlewaretoken", MARK, "confirm-password", "confirm-code"}

View = TypeVar("View", bound=Callable[..., HttpResponseBase])
AnyForm = TypeVar("AnyForm", bound=forms.BaseForm)


def fresh_login_required(view: View) -> View:
    """**Confirm it is you** first, unless one did within the last ten minutes."""

    @sensitive_post_parameters()
    @wraps(view)
    def guarded(request: PortalRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method != "POST" and not getattr(view, "answers_get", True):
            return view(request, *args, **kwargs)  # its own 405
        if MARK not in request.POST:
            return view(request, *args, **kwargs) if is_fresh(request) else _ask(request)
        if not is_fresh(request):
            refusal = _check(request)
            if refusal is not None:
                return refusal
        return _go_on(request, view, *args, **kwargs)

    return guarded  # type: ignore[return-value]


def is_fresh(request: PortalRequest) -> bool:
    """Has this session proved itself within the last ten minutes?"""
    proved_at = request.session.get("proved_at")
    return proved_at is not None and clock.now() - dt.datetime.fromisoformat(proved_at) < FRESH


def refilled(form: AnyForm, request: PortalRequest) -> AnyForm:
    """An unbound form with what had been typed into it before the question came."""
    typed: QueryDict | None = getattr(request, "refill", None)
    if typed is not None and not form.is_bound:
        for name, field in form.fields.items():
            value = field.widget.value_from_datadict(typed, {}, form.add_prefix(name))
            if value is not None:
                form.initial[name] = value
    return form


def _ask(request: PortalRequest, form: ConfirmItIsYouForm | None = None) -> HttpResponse:
    """The page **Confirm it is you**, with what was typed as hidden fields."""
    if form is None:
        form = ConfirmItIsYouForm(prefix="confirm", needs_code=has_second_factor(request.user))
    context = {"form": form, "carried": _carried(request), "mark": MARK}
    return render(request, "accounts/confirm.html", context)


def _check(request: PortalRequest) -> HttpResponse | None:
    """Prove it; the question again if it was not proved."""
    limit_password_check(request, request.user)
    needs_code = has_second_factor(request.user)
    form = ConfirmItIsYouForm(request.POST, prefix="confirm", needs_code=needs_code)
    if not form.is_valid():
        return _ask(request, form)
    user, origin = request.user, Origin.of(request)
    if not user.check_password(form.cleaned_data["password"]):
        return _refuse(request, form, "password", form.wrong_password)
    if needs_code and not try_code(
        user=user,
        code=form.cleaned_data["code"],
        browser=browser_id(request, user),
        origin=origin,
    ):
        return _refuse(request, form, "code", form.wrong_code)
    with transaction.atomic():
        request.session.cycle_key()
        request.session["proved_at"] = clock.now().isoformat()
        request.session.save()
        record(Action.REAUTHENTICATED, actor=user, origin=origin, target=user)
    return None


def _refuse(
    request: PortalRequest, form: ConfirmItIsYouForm, step: str, sentence: Any
) -> HttpResponse:
    """The question again, and a record: whoever is at a session that was left open guesses here."""
    refuse_confirmation(user=request.user, step=step, origin=Origin.of(request))
    form.add_error(step, sentence)
    return _ask(request, form)


def _go_on(request: PortalRequest, view: View, *args: Any, **kwargs: Any) -> HttpResponseBase:
    """Back to the form, filled; an act without a form of its own is done now."""
    carried = _carried(request)
    if not getattr(view, "answers_get", True):
        request.POST = carried  # type: ignore[assignment]
        return view(request, *args, **kwargs)
    if not carried:
        return redirect(request.get_full_path())
    request.method = "GET"
    request.refill = carried  # type: ignore[attr-defined]
    return view(request, *args, **kwargs)


def _carried(request: PortalRequest) -> QueryDict:
    """What was typed, without passwords, codes and this page's own fields."""
    carried = QueryDict(mutable=True)
    for name, values in request.POST.lists():
        if name not in _NOT_CARRIED and "password" not in name and name != "code":
            carried.setlist(name, values)
    return carried
