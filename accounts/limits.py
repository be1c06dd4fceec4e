"""How often one may try, refused before anything is hashed, and told when to come back.

Counting is django-ratelimit's. A browser that has signed in before counts for itself: strangers
with a thousand wrong passwords do not lock it out (ASVS 5.0 6.1.1), nor does their address.
"""

import secrets
import uuid
from ipaddress import IPv6Network
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django_ratelimit import ALL
from django_ratelimit.core import get_usage

from accounts.known_browsers import LIFETIME_SECONDS, read_known, write_known
from accounts.models import User
from accounts.origin import Origin

_KNOWN_USERS = 10  # that one browser remembers


class TooManyTries(PermissionDenied):
    """429. `retry_after`: whole seconds until the count begins anew."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("too many tries")
        self.retry_after = max(1, retry_after)


def limit_sign_in(request: HttpRequest, user: User | None, typed: str) -> None:
    """Before a password is hashed: by address and by account, or by known browser alone."""
    browser = known_browser(request, user)
    if browser and user:
        _count(request, "sign-in known", "10/5m", f"{user.pk}:{browser}")
        return
    account = str(user.pk) if user else typed.strip().lower()
    _count(request, "sign-in account", "10/5m", account)
    _count(request, "sign-in account, day", "100/d", account)
    _count(request, "sign-in address", "60/5m", _address(request))


def limit_password_check(request: HttpRequest, user: User) -> None:
    """Before the current password of somebody signed in is hashed."""
    _count(request, "current password", "10/5m", str(user.pk))


def limit_invitation(request: HttpRequest) -> None:
    """Before an invitation's link is looked up or its password hashed."""
    _count(request, "invitation", "60/5m", _address(request))


def known_browser(request: HttpRequest, user: User | None) -> str:
    """The random name of this browser, if the user has signed in with it before; else empty."""
    return _known(request).get(str(user.pk), "") if user else ""


def remember_browser(request: HttpRequest, response: HttpResponse, user: User) -> None:
    """Let this browser be known for the user: a signed cookie that opens nothing by itself."""
    known = _known(request)
    name = known.pop(str(user.pk), "") or secrets.token_hex(8)
    newest = {**dict(list(known.items())[-(_KNOWN_USERS - 1) :]), str(user.pk): name}
    response.set_cookie(
        settings.KNOWN_BROWSER_COOKIE_NAME,
        write_known(newest),
        max_age=LIFETIME_SECONDS,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def browser_id(request: HttpRequest, user: User) -> uuid.UUID | None:
    """The known browser's name as an id, for counting wrong codes; None for strangers."""
    name = known_browser(request, user)
    return uuid.uuid5(user.pk, name) if name else None


def _known(request: HttpRequest) -> dict[str, str]:
    return read_known(request.COOKIES.get(settings.KNOWN_BROWSER_COOKIE_NAME, ""))


def _address(request: HttpRequest) -> str:
    """One address, or the /64 of an IPv6 one: whoever has one of those has them all."""
    address = Origin.of(request).address or "unknown"
    return str(IPv6Network((address, 64), strict=False)) if ":" in address else address


def _count(request: HttpRequest, group: str, rate: str, value: str) -> None:
    usage: dict[str, Any] | None = get_usage(
        request, group=group, key=lambda *_: value, rate=rate, method=ALL, increment=True
    )
    if usage and usage["should_limit"]:
        raise TooManyTries(usage["time_left"] + 1)  # the window's last second is still in it
