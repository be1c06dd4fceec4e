"""What every answer of the pages goes through: a record, headers, and a refusal of rubbish."""

import logging
import re
import time
import uuid
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import resolve
from django.utils import translation

from accounts.limits import TooManyTries
from accounts.origin import Origin
from portal.lib.http import CAME_TOO_SLOWLY
from portal.lib.redact import redacted
from portal.lib.turnstile import CAME_TOO_OFTEN

logger = logging.getLogger("portal.requests")

GetResponse = Callable[[HttpRequest], HttpResponse]

METHODS = {"GET", "HEAD", "POST"}
LONGEST_PATH = 2048
HEALTH = ("/healthz", "/readyz")
# Charsets that Django would decode forms with; utf-7 and utf-16 make a 500 of plain Django.
_CHARSET = re.compile(r"charset\s*=\s*\"?\s*([^\s;\"]+)", re.IGNORECASE)
_CHARSETS = {"utf-8", "utf8", "us-ascii", "ascii"}

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)


class RequestRecord:
    """A request id on every answer, and one redacted line a request: no query, no invite token."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, then write the line."""
        request.request_id = uuid.uuid4().hex  # type: ignore[attr-defined]
        began = time.perf_counter()
        # The browser's language, for answers that are given before the user is known.
        with translation.override(translation.get_language_from_request(request)):
            response = self._get_response(request)
        response.headers["X-Request-Id"] = request.request_id  # type: ignore[attr-defined]
        if not request.path.startswith(settings.STATIC_URL):
            logger.info(
                "%s %s %s %d ms %s %s",
                request.method,
                redacted(request.path).encode("unicode_escape").decode("ascii"),
                response.status_code,
                (time.perf_counter() - began) * 1000,
                Origin.of(request).address or "-",
                request.request_id,  # type: ignore[attr-defined]
            )
        return response


class SecurityHeaders:
    """The policy on every answer, errors too; pages are kept by nobody."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Add what is missing."""
        response = self._get_response(request)
        headers = response.headers
        headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        headers["X-Frame-Options"] = "DENY"
        headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=(), payment=()"
        headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        # Django's SecurityMiddleware sets these, but not where it refuses a host itself.
        headers.setdefault("X-Content-Type-Options", "nosniff")
        headers.setdefault("Referrer-Policy", settings.SECURE_REFERRER_POLICY)
        headers.setdefault("Cross-Origin-Opener-Policy", settings.SECURE_CROSS_ORIGIN_OPENER_POLICY)
        if not headers.get("Cache-Control"):
            headers["Cache-Control"] = "no-store"
        return response


class Health:
    """`/healthz` and `/readyz` for load balancers, which ask by address and not by our name."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer before the host is looked at, and before any session is."""
        if request.path_info not in HEALTH:
            return self._get_response(request)
        response: HttpResponse = resolve(request.path_info).func(request)
        return response


COME_AGAIN_SECONDS = 5


class TooMany:
    """429 with `Retry-After` for whoever tried too often: django-ratelimit has no waiting time."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Refuse a sign-in among too many at once. One's own too many: see process_exception."""
        if request.META.get("asgi.scope", {}).get(CAME_TOO_OFTEN):
            return _come_again(request, COME_AGAIN_SECONDS)
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The page that says when to come back."""
        if not isinstance(exception, TooManyTries):
            return None
        return _come_again(request, exception.retry_after)


def _come_again(request: HttpRequest, seconds: int) -> HttpResponse:
    context = {"retry_after": seconds, "status": 429}
    response = render(request, "errors/429.html", context, status=429)
    response.headers["Retry-After"] = str(seconds)
    return response


class RefuseRubbish:
    """4xx for what no page here takes, before anything reads it."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Refuse, or pass on."""
        status = _why_refused(request)
        if status is None:
            return self._get_response(request)
        response = render(request, "errors/refused.html", {"status": status}, status=status)
        if status == 405:
            response.headers["Allow"] = ", ".join(sorted(METHODS))
        return response


def _why_refused(request: HttpRequest) -> int | None:
    """The status of the refusal; None for what may pass."""
    if request.META.get("asgi.scope", {}).get(CAME_TOO_SLOWLY):
        return 408
    if request.method not in METHODS:
        return 405
    length = request.META.get("CONTENT_LENGTH") or "0"
    is_length = length.isascii() and length.isdigit() and len(length) < 20
    if len(request.path) > LONGEST_PATH or "\x00" in request.path or not is_length:
        return 400
    if int(length) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
        return 413
    named = _CHARSET.findall(request.META.get("CONTENT_TYPE", ""))
    if any(charset.lower() not in _CHARSETS for charset in named):
        return 415
    return None
