"""The second factor: turning it on and off, and recovery codes."""

import base64
import io
from typing import TypeVar

import qrcode
from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import urlencode
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from qrcode.image.svg import SvgPathImage

from accounts.access import PortalRequest, own_page, second_factor_not_required, under_own_roof
from accounts.entrance import keep_this_session
from accounts.forms import CodeForm, EnableTwoFactorForm, PasswordAndCodeForm
from accounts.fresh import fresh_login_required
from accounts.limits import browser_id, limit_password_check
from accounts.models import Authenticator
from accounts.origin import Origin
from accounts.services import self_service as services
from accounts.services.codes import try_code
from portal.lib.http import answers

PasswordForm = TypeVar("PasswordForm", bound=EnableTwoFactorForm)


@sensitive_post_parameters()
@second_factor_not_required
@under_own_roof
@fresh_login_required
@answers("GET", "POST")
def two_factor_enable(request: PortalRequest) -> HttpResponse:
    """**Enable 2FA**: the password first, then the code's page."""
    if services.has_second_factor(request.user):
        return redirect(own_page(request, "profile:show"))
    _limit(request)
    form = _refusals_recorded(request, EnableTwoFactorForm(request.POST or None, user=request.user))
    if request.method == "POST" and form.is_valid():
        services.begin_enrolment(user=request.user)
        return redirect(own_page(request, "profile:two_factor_confirm"))
    context = {"form": form, "is_required": services.must_have_second_factor(request.user)}
    return render(request, "accounts/two_factor_enable.html", context)


@second_factor_not_required
@under_own_roof
@fresh_login_required
@answers("GET", "POST")
def two_factor_confirm(request: PortalRequest) -> HttpResponse:
    """The QR code and the secret; one code turns 2FA on, and its answer shows recovery codes."""
    device = services.waiting_authenticator(request.user)
    if device is None or services.has_second_factor(request.user):
        return redirect(own_page(request, "profile:show"))
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        codes = services.confirm_enrolment(
            user=request.user, code=form.cleaned_data["code"], origin=Origin.of(request)
        )
        if codes:
            keep_this_session(request, request.user, has_second_factor=True)
            return _codes_page(request, codes, is_enrolment=True)
        form.add_error(
            "code", _("This code is not right. Check the clock of your device, then try again.")
        )
    context = {"form": form, **_enrolment(request, device)}
    return render(request, "accounts/two_factor_confirm.html", context)


@sensitive_post_parameters()
@under_own_roof
@fresh_login_required
@answers("GET", "POST")
def two_factor_disable(request: PortalRequest) -> HttpResponse:
    """**Disable 2FA**: the password and a code, unless the team or the panel requires it."""
    if not services.has_second_factor(request.user):
        return redirect(own_page(request, "profile:show"))
    if services.must_have_second_factor(request.user):
        messages.error(request, _("2FA is required for you: it cannot be turned off."))
        return redirect(own_page(request, "profile:show"))
    form = _password_and_code(request)
    if request.method == "POST" and form.is_valid():
        if services.disable_second_factor(
            user=request.user,
            code=form.cleaned_data["code"],
            browser=browser_id(request, request.user),
            origin=Origin.of(request),
        ):
            keep_this_session(request, request.user, has_second_factor=False)
            messages.success(request, _("2FA is off. Your other sessions are over."))
            return redirect(own_page(request, "profile:show"))
        _refuse_code(request, form)
    return render(request, "accounts/two_factor_disable.html", {"form": form})


@sensitive_post_parameters()
@under_own_roof
@fresh_login_required
@answers("GET", "POST")
def recovery_codes(request: PortalRequest) -> HttpResponse:
    """**New recovery codes**: the password and a code; the answer shows them, once."""
    if not services.has_second_factor(request.user):
        return redirect(own_page(request, "profile:show"))
    form = _password_and_code(request)
    if request.method == "POST" and form.is_valid():
        origin = Origin.of(request)
        if try_code(
            user=request.user,
            code=form.cleaned_data["code"],
            browser=browser_id(request, request.user),
            origin=origin,
        ):
            codes = services.replace_recovery_codes(user=request.user, origin=origin)
            keep_this_session(request, request.user, has_second_factor=True)
            return _codes_page(request, codes, is_enrolment=False)
        _refuse_code(request, form)
    return render(request, "accounts/recovery_codes_new.html", {"form": form})


def _password_and_code(request: PortalRequest) -> PasswordAndCodeForm:
    _limit(request)
    return _refusals_recorded(request, PasswordAndCodeForm(request.POST or None, user=request.user))


def _limit(request: PortalRequest) -> None:
    """What asks for the current password is counted before it is hashed."""
    if request.method == "POST":
        limit_password_check(request, request.user)


def _refusals_recorded(request: PortalRequest, form: PasswordForm) -> PasswordForm:
    """The form; if the current password in it is wrong, that is in the audit trail."""
    if form.has_error("current_password", "wrong"):
        services.refuse_confirmation(user=request.user, step="password", origin=Origin.of(request))
    return form


def _refuse_code(request: PortalRequest, form: PasswordAndCodeForm) -> None:
    services.refuse_confirmation(user=request.user, step="code", origin=Origin.of(request))
    form.add_error("code", _("This code is wrong or was used already."))


def _codes_page(request: PortalRequest, codes: list[str], *, is_enrolment: bool) -> HttpResponse:
    """The codes, once: to copy, to print, to download."""
    text = "\n".join(codes) + "\n"
    context = {
        "codes": codes,
        "download": f"data:text/plain;charset=utf-8,{urlencode({'': text})[1:]}",
        "is_enrolment": is_enrolment,
    }
    return render(request, "accounts/recovery_codes.html", context)


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
