"""Signing in and out, and the tenant switcher."""

import uuid
from typing import Any

from django.contrib import auth
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters

from accounts.access import (
    PortalRequest,
    login_not_required,
    second_factor_not_required,
    tenant_not_required,
)
from accounts.audit import record
from accounts.entrance import enter, landing, safe_next
from accounts.forms import CodeForm, SignInForm
from accounts.limits import browser_id, limit_sign_in, remember_browser
from accounts.models import Action, User
from accounts.origin import Origin
from accounts.services import signing_in as services
from accounts.services.signing_in import Outcome
from portal.lib.forms import blank
from portal.lib.http import answers


@sensitive_post_parameters("password")
@login_not_required
@tenant_not_required
@answers("GET", "POST")
def sign_in(request: HttpRequest) -> HttpResponse:
    """Username and password. Whoever is signed in already is sent home."""
    wanted = safe_next(request, request.POST.get("next", request.GET.get("next", "")))
    if isinstance(request.user, User):
        return redirect(landing(request.user, wanted))
    form = SignInForm(request.POST) if request.POST else None
    if form is not None and form.is_valid():
        typed = form.cleaned_data["username"]
        limit_sign_in(request, User.objects.by_login(typed), typed)
        user = services.check_password(
            typed=typed,
            password=form.cleaned_data["password"],
            origin=Origin.of(request),
        )
        if user is not None:
            return _after_password(request, user, wanted)
        form.add_error(None, _("Username or password is wrong."))
    context = {
        "next": wanted,
        "has_ended": "ended" in request.GET,
        "is_again": "again" in request.GET,
        **({"form": form} if form else {"blank": blank(SignInForm)}),
    }
    return render(request, "accounts/sign_in.html", context)


def _after_password(request: HttpRequest, user: User, wanted: str) -> HttpResponse:
    pending = services.begin_second_step(user=user)
    if pending is None:
        enter(request, user, has_second_factor=False)
        return _to(request, user, wanted)
    request.session.flush()
    request.session["pending_sign_in"] = str(pending.pk)
    request.session["pending_user"] = str(user.pk)
    request.session["next"] = wanted
    return redirect("accounts:code")


def _to(request: HttpRequest, user: User, wanted: str) -> HttpResponse:
    """Onwards; and this browser is known from now on."""
    response = redirect(landing(user, wanted))
    remember_browser(request, response, user)
    return response


@login_not_required
@tenant_not_required
@answers("GET", "POST")
def code(request: HttpRequest) -> HttpResponse:
    """The second step. Between password and code one is nobody."""
    pending_id = request.session.get("pending_sign_in")
    if pending_id is None:
        return redirect("accounts:sign_in")
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        step = services.check_code(
            pending_id=uuid.UUID(pending_id),
            code=form.cleaned_data["code"],
            browser=_browser(request),
            origin=Origin.of(request),
        )
        if step.outcome is Outcome.RIGHT and step.user is not None:
            wanted = request.session.get("next", "")
            enter(request, step.user, has_second_factor=True)
            return _to(request, step.user, wanted)
        if step.outcome is Outcome.OVER:
            request.session.flush()
            return redirect(f"{reverse('accounts:sign_in')}?again=1")
        form.add_error("code", _("This code is wrong or was used already. Wait for the next one."))
    return render(request, "accounts/code.html", {"form": form})


def _browser(request: HttpRequest) -> uuid.UUID | None:
    """The known browser's id for the user between password and code."""
    return browser_id(request, User(pk=uuid.UUID(request.session["pending_user"])))


@login_not_required
@tenant_not_required
@second_factor_not_required
@answers("POST")
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session and delete its row."""
    with transaction.atomic():
        user = request.user
        if isinstance(user, User):
            record(Action.LOGOUT, actor=user, origin=Origin.of(request), target=user)
        auth.logout(request)
    return redirect("accounts:sign_in")


@second_factor_not_required
@answers("POST")
def tenant_switch(request: PortalRequest) -> HttpResponse:
    """Make another of one's tenants the current one; a stranger's is left alone."""
    wanted: Any = request.POST.get("tenant", "")
    if any(wanted in {m.tenant.slug, str(m.tenant_id)} for m in request.memberships):
        chosen = next(m for m in request.memberships if wanted in {m.tenant.slug, str(m.tenant_id)})
        request.session["tenant"] = str(chosen.tenant_id)
    return redirect("overview")
