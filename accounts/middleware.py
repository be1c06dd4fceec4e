"""What is known of a request before its view: the session's end, the person, the tenant."""

import datetime as dt
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.middleware import AuthenticationMiddleware, LoginRequiredMiddleware
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers
from django.utils.crypto import constant_time_compare

from accounts.models import Membership, User
from accounts.sessions import LIFETIME
from portal.lib import clock

GetResponse = Callable[[HttpRequest], HttpResponse]


class Sessions(SessionMiddleware):
    """Django's session middleware; a session that was ended meanwhile is no server's error."""

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Save the session. One that was ended in another tab stays ended, and its cookie goes."""
        try:
            return super().process_response(request, response)
        except SessionInterrupted:
            return response


class Authentication(AuthenticationMiddleware):
    """Django's, with the user that was read together with the session."""

    def process_request(self, request: Any) -> None:
        """Set `request.user`: at once, since language and zone are asked of it next."""
        request.user = _user_of(request)


class Preferences:
    """The user's language and time zone; for strangers the browser's language and UTC."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Activate both for the length of the request."""
        user = request.user
        if user.is_authenticated:
            language, zone = user.language, clock.zone(user.time_zone)
        else:
            language, zone = translation.get_language() or settings.LANGUAGE_CODE, clock.zone("UTC")
        with translation.override(language), timezone.override(zone):
            request.LANGUAGE_CODE = language
            response = self._get_response(request)
            if not user.is_authenticated:
                patch_vary_headers(response, ("Accept-Language",))
            response.headers.setdefault("Content-Language", language)
        return response


class LoginRequired(LoginRequiredMiddleware):
    """Everything needs a session but what says `@login_not_required`."""

    def process_view(
        self,
        request: HttpRequest,
        view_func: Callable[..., Any],
        view_args: tuple[Any, ...],
        view_kwargs: dict[str, Any],
    ) -> HttpResponseBase | None:
        """End a session of more than twelve hours, then ask for one where one is needed."""
        self._end_if_over(request)
        return super().process_view(request, view_func, view_args, view_kwargs)

    def handle_no_permission(  # type: ignore[override] # Django's own always redirects
        self, request: HttpRequest, view_func: Callable[..., Any]
    ) -> HttpResponseBase:
        """See `ask_to_sign_in`."""
        return ask_to_sign_in(request)

    def _end_if_over(self, request: HttpRequest) -> None:
        """The row's own end says the same; this holds whatever pushed that end."""
        if not request.user.is_authenticated:
            return
        signed_in_at = request.session.get("signed_in_at")
        is_over = (
            signed_in_at is None
            or dt.datetime.fromisoformat(signed_in_at) + LIFETIME <= clock.now()
        )
        if is_over:
            auth.logout(request)


class CurrentTenant:
    """Sets `request.tenant`, `request.membership` and `request.memberships`.

    A session of somebody whose tenants are all suspended is over at its next request.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Nothing is known before a view is: see process_view."""
        return self._get_response(request)

    def process_view(
        self,
        request: Any,
        view_func: Callable[..., Any],
        view_args: tuple[Any, ...],
        view_kwargs: dict[str, Any],
    ) -> HttpResponseBase | None:
        """Find the tenant; 403 where a view needs one and the person (staff) has none."""
        attach_tenant(request)
        user = request.user
        if not user.is_authenticated:
            return None
        if not user.is_staff and request.tenant is None:
            auth.logout(request)
            is_open = not getattr(view_func, "login_required", True)
            return None if is_open else ask_to_sign_in(request)
        if request.tenant is None and getattr(view_func, "tenant_required", True):
            raise PermissionDenied
        if _lacks_second_factor(request) and getattr(view_func, "second_factor_required", True):
            return redirect("profile:two_factor_enable")
        return None


def ask_to_sign_in(request: HttpRequest) -> HttpResponse:
    """401 for scripts; people go to the login page and come back after it."""
    if _is_script(request):
        return JsonResponse(
            {"detail": "Sign in first.", "login": reverse("accounts:sign_in")}, status=401
        )
    query = {}
    if request.method in {"GET", "HEAD"}:
        query["next"] = request.get_full_path()
    if request.COOKIES.get(settings.SESSION_COOKIE_NAME):
        query["ended"] = "1"
    target = reverse("accounts:sign_in")
    return redirect(f"{target}?{urlencode(query)}" if query else target)


def attach_tenant(request: Any) -> None:
    """Set the three attributes, once: error pages need them too, and have no view before them."""
    if hasattr(request, "tenant"):
        return
    request.tenant, request.membership, request.memberships = None, None, []
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated or user.is_staff:
        return
    arrival = request.session.arrival
    if arrival is not None and arrival.user == user:
        request.memberships = arrival.memberships
    else:
        request.memberships = list(Membership.objects.filter(user=user).in_active_tenants())
    if request.memberships:
        request.membership = _chosen(request.memberships, request.session.get("tenant"))
        request.tenant = request.membership.tenant


def _user_of(request: Any) -> User | AnonymousUser:
    """Where anything is not as it should be, Django's way: the session is over, or nobody's."""
    session = request.session
    user: User | None = session.arrival.user if session.arrival else None
    if user is None or not user.is_active or not _is_verified(session, user):
        return auth.get_user(request)
    return user


def _is_verified(session: SessionBase, user: User) -> bool:
    """The session is the user's, from a door of ours, and neither password nor 2FA has changed."""
    return (
        session.get(auth.SESSION_KEY) == str(user.pk)
        and session.get(auth.BACKEND_SESSION_KEY) in settings.AUTHENTICATION_BACKENDS
        and constant_time_compare(
            session.get(auth.HASH_SESSION_KEY, ""), user.get_session_auth_hash()
        )
    )


def _lacks_second_factor(request: Any) -> bool:
    """The current tenant requires 2FA of everyone, and this session has proved none."""
    return (
        request.tenant is not None
        and request.tenant.require_2fa
        and not request.session.get("has_second_factor")
    )


def _chosen(memberships: list[Membership], tenant_id: str | None) -> Membership:
    for membership in memberships:
        if str(membership.tenant_id) == tenant_id:
            return membership
    return memberships[0]


def _is_script(request: HttpRequest) -> bool:
    if request.headers.get("X-Requested-With"):
        return True
    preferred = request.get_preferred_type(["text/html", "application/json"])
    return preferred == "application/json"
