"""What people do to their own account. Mounted for members and, apart, for staff."""

import base64
import io

import qrcode
from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from qrcode.image.svg import SvgPathImage

from accounts.access import PortalRequest, under_own_roof
from accounts.entrance import keep_this_session
from accounts.forms import (
    ChangePasswordForm,
    CodeForm,
    DisableTwoFactorForm,
    EnableTwoFactorForm,
    PreferencesForm,
)
from accounts.limits import browser_id, limit_password_check
from accounts.models import Authenticator
from accounts.origin import Origin
from accounts.services import self_service as services
from portal.lib.http import answers


@under_own_roof
@answers("GET")
def profile(request: PortalRequest) -> HttpResponse:
    """Who one is here, and the way to everything below."""
    context = {
        "has_second_factor": services.has_second_factor(request.user),
        "language_name": dict(settings.LANGUAGES).get(request.user.language, ""),
    }
    return render(request, "accounts/profile.html", context)


@sensitive_post_parameters()
@under_own_roof
@answers("GET", "POST")
def password_change(request: PortalRequest) -> HttpResponse:
    """**Change Password**: the current one and a new one."""
    request.user.context_words = [m.tenant.name for m in request.memberships]  # type: ignore[attr-defined]
    _limit(request)
    form = ChangePasswordForm(request.POST or None, user=request.user)
    if request.method == "POST" and form.is_valid():
        services.change_password(
            user=request.user,
            password=form.cleaned_data["new_password"],
            origin=Origin.of(request),
        )
        keep_this_session(
            request,
            request.user,
            has_second_factor=request.session.get("has_second_factor", False),
        )
        messages.success(request, _("Password changed. Your other sessions are over."))
        return redirect(_own(request, "profile:show"))
    return render(request, "accounts/password_change.html", {"form": form})


@sensitive_post_parameters()
@under_own_roof
@answers("GET", "POST")
def two_factor_enable(request: PortalRequest) -> HttpResponse:
    """**Enable 2FA**: the password first, then the code's page."""
    if services.has_second_factor(request.user):
        return redirect(_own(request, "profile:show"))
    _limit(request)
    form = EnableTwoFactorForm(request.POST or None, user=request.user)
    if request.method == "POST" and form.is_valid():
        services.begin_enrolment(user=request.user)
        return redirect(_own(request, "profile:two_factor_confirm"))
    context = {"form": form, "is_required": request.user.is_staff}
    return render(request, "accounts/two_factor_enable.html", context)


@under_own_roof
@answers("GET", "POST")
def two_factor_confirm(request: PortalRequest) -> HttpResponse:
    """The QR code and the secret; one code turns 2FA on."""
    device = services.waiting_authenticator(request.user)
    if device is None or services.has_second_factor(request.user):
        return redirect(_own(request, "profile:show"))
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        if services.confirm_enrolment(
            user=request.user, code=form.cleaned_data["code"], origin=Origin.of(request)
        ):
            keep_this_session(request, request.user, has_second_factor=True)
            messages.success(request, _("2FA is on. Your other sessions are over."))
            return redirect(_own(request, "profile:show"))
        form.add_error(
            "code", _("This code is not right. Check the clock of your device, then try again.")
        )
    context = {"form": form, **_enrolment(request, device)}
    return render(request, "accounts/two_factor_confirm.html", context)


@sensitive_post_parameters()
@under_own_roof
@answers("GET", "POST")
def two_factor_disable(request: PortalRequest) -> HttpResponse:
    """**Disable 2FA**: the password and a code."""
    if not services.has_second_factor(request.user):
        return redirect(_own(request, "profile:show"))
    _limit(request)
    form = DisableTwoFactorForm(request.POST or None, user=request.user)
    if request.method == "POST" and form.is_valid():
        if services.disable_second_factor(
            user=request.user,
            code=form.cleaned_data["code"],
            browser=browser_id(request, request.user),
            origin=Origin.of(request),
        ):
            keep_this_session(request, request.user, has_second_factor=False)
            messages.success(request, _("2FA is off. Your other sessions are over."))
            return redirect(_own(request, "profile:show"))
        form.add_error("code", _("This code is wrong or was used already."))
    return render(request, "accounts/two_factor_disable.html", {"form": form})


@under_own_roof
@answers("GET", "POST")
def preferences(request: PortalRequest) -> HttpResponse:
    """Language, time zone, theme."""
    user = request.user
    initial = {"language": user.language, "time_zone": user.time_zone, "theme": user.theme}
    form = PreferencesForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        services.change_preferences(user=user, **form.cleaned_data)
        messages.success(request, _("Preferences saved."))
        return redirect(_own(request, "profile:show"))
    return render(request, "accounts/preferences.html", {"form": form})


def _limit(request: PortalRequest) -> None:
    """Forms that ask for the current password are counted before it is hashed."""
    if request.method == "POST":
        limit_password_check(request, request.user)


def _own(request: PortalRequest, name: str) -> str:
    """The page's address under the roof one is under: `/client/profile` or `/staff/profile`."""
    match = request.resolver_match
    return reverse(name, current_app=match.namespace if match else None)


def _enrolment(request: PortalRequest, device: Authenticator) -> dict[str, str]:
    """The secret in base 32, in groups of four to be typed, and the QR code of its address."""
    secret = base64.b32encode(device.secret).decode("ascii")
    issuer = settings.PROVIDER_NAME
    query = urlencode({"secret": secret, "issuer": issuer})
    label = urlencode({"": f"{issuer}:{request.user.username}"})[1:].replace("+", "%20")
    return {
        "secret": " ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
        "qr": _qr(f"otpauth://totp/{label}?{query.replace('+', '%20')}"),
    }


def _qr(text: str) -> SafeString:
    """An inline SVG, drawn here: nothing is fetched, and no inline style is needed."""
    drawn = io.BytesIO()
    qrcode.make(text, image_factory=SvgPathImage, border=4).save(drawn)
    svg = drawn.getvalue().decode("utf-8")
    return mark_safe(svg[svg.index("<svg") :])  # noqa: S308 - our own drawing
