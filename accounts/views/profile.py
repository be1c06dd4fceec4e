"""One's own account: who one is here, password, preferences. For members and, apart, for staff."""

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters

from accounts.access import PortalRequest, own_page, under_own_roof
from accounts.entrance import keep_this_session
from accounts.forms import ChangePasswordForm, PreferencesForm
from accounts.limits import limit_password_check
from accounts.origin import Origin
from accounts.services import self_service as services
from accounts.services.recovery import codes_left
from accounts.services.sessions import live_sessions
from portal.lib.http import answers


@under_own_roof
@answers("GET")
def profile(request: PortalRequest) -> HttpResponse:
    """Who one is here, and the way to everything below."""
    context = {
        "sessions": live_sessions(request.user, current_key=request.session.session_key),
        "codes_left": codes_left(request.user),
        "may_disable": not services.must_have_second_factor(request.user),
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
    if request.method == "POST":
        limit_password_check(request, request.user)
    form = ChangePasswordForm(request.POST or None, user=request.user)
    if request.method == "POST" and form.is_valid():
        try:
            services.change_password(
                user=request.user,
                password=form.cleaned_data["new_password"],
                origin=Origin.of(request),
            )
        except services.PasswordHasChanged:
            form.add_error("current_password", _("It was changed a moment ago, in another window."))
        else:
            keep_this_session(
                request,
                request.user,
                has_second_factor=request.session.get("has_second_factor", False),
            )
            messages.success(request, _("Password changed. Your other sessions are over."))
            return redirect(own_page(request, "profile:show"))
    if form.has_error("current_password", "wrong"):
        services.refuse_password_change(user=request.user, origin=Origin.of(request))
    return render(request, "accounts/password_change.html", {"form": form})


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
        return redirect(own_page(request, "profile:show"))
    return render(request, "accounts/preferences.html", {"form": form})
