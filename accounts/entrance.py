"""What a browser's session holds, and where it goes next: the part of signing in that is HTTP."""

from urllib.parse import urlsplit

from django.contrib import auth
from django.db import transaction
from django.http import HttpRequest
from django.urls import Resolver404, resolve, reverse
from django.utils.http import url_has_allowed_host_and_scheme

from accounts.audit import record
from accounts.limits import known_browser
from accounts.models import Action, User
from accounts.notices import notify
from accounts.origin import Origin
from portal.lib import clock

_PROOF_KEYS = ("signed_in_at", "proved_at", "address", "agent", "has_second_factor", "tenant")


def enter(request: HttpRequest, user: User, *, has_second_factor: bool) -> None:
    """Sign the user in: a new session id, and nothing of what the anonymous session held."""
    origin, now = Origin.of(request), clock.now().isoformat()
    is_new_place = user.last_login is not None and not known_browser(request, user)
    with transaction.atomic():
        request.session.flush()
        auth.login(request, user, backend="accounts.backends.UsernameOrEmail")
        request.session.update(
            {
                "signed_in_at": now,
                "proved_at": now,
                "address": origin.address,
                "agent": origin.agent,
                "has_second_factor": has_second_factor,
            }
        )
        record(
            Action.LOGIN_SUCCEEDED,
            actor=user,
            origin=origin,
            target=user,
            second_factor=has_second_factor,
        )
        if is_new_place:
            notify("new_place", users=[user], origin=origin)


def keep_this_session(request: HttpRequest, user: User, *, has_second_factor: bool) -> None:
    """After an act that ended every session: this one goes on, under a new id."""
    kept = {key: request.session[key] for key in _PROOF_KEYS if key in request.session}
    request.session.flush()
    auth.login(request, user, backend="accounts.backends.UsernameOrEmail")
    request.session.update(kept)
    request.session["has_second_factor"] = has_second_factor


def home(user: User) -> str:
    """Where one lands: staff in the panel, members on the overview."""
    return reverse("admin:index") if user.is_staff else reverse("overview")


def landing(user: User, wanted: str) -> str:
    """`wanted`, which `safe_next` gave, or home where the user would only be refused.

    Members have nothing under `/staff/`, and staff nothing outside it but what is open to all.
    """
    if not wanted:
        return home(user)
    path = urlsplit(wanted).path
    is_open = not getattr(resolve(path).func, "login_required", True)
    is_panels = path.startswith(reverse("admin:index"))
    return wanted if is_open or is_panels == user.is_staff else home(user)


def safe_next(request: HttpRequest, wanted: str) -> str:
    """`wanted` if it is a page of this portal that answers GET, else an empty string.

    `//evil`, `/\\evil`, `javascript:`, other hosts and POST-only addresses are none.
    """
    if not url_has_allowed_host_and_scheme(wanted, allowed_hosts=None) or wanted[:1] != "/":
        return ""
    parts = urlsplit(wanted)
    if parts.scheme or parts.netloc or "\\" in wanted:
        return ""
    try:
        view = resolve(parts.path).func
    except Resolver404:
        return ""
    return wanted if getattr(view, "answers_get", True) else ""
