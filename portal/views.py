"""Where two apps meet on one page: overview, help, health, and the pages of errors."""

import sys
from functools import lru_cache
from typing import Any, NamedTuple

import psycopg
import redis
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import resolve, reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.access import (
    PortalRequest,
    login_not_required,
    second_factor_not_required,
    tenant_not_required,
)
from accounts.middleware import attach_tenant
from accounts.services.self_service import has_second_factor
from apikeys.cures import CURES
from apikeys.overview import key_overview, key_questions
from apikeys.services import KEY_ROLES
from markets.overview import market_overview
from markets.state import state_question
from portal.lib import clock
from portal.lib.compiled import ask
from portal.lib.http import answers


class Step(NamedTuple):
    """One of the first steps. Without an address it is somebody else's."""

    label: str
    url: str
    is_done: bool
    hint: str


@answers("GET")
def overview(request: PortalRequest) -> HttpResponse:
    """The first page: what is still to be done."""
    now = clock.now()
    keys, calls, (state,) = ask(
        *key_questions(request.tenant, request.user, now), state_question(request.tenant)
    )
    seen, markets = key_overview(keys, calls, now), market_overview(request.tenant, state)
    latest = keys[0] if keys and keys[0].last_used_at else None
    steps = _first_steps(
        get_language(),
        may_make_keys=request.membership.role in KEY_ROLES,
        is_protected=keys[0].has_second_factor if keys else has_second_factor(request.user),
        has_keys=bool(keys),
        has_called=latest is not None,
        has_chosen=markets.revision > 0,
    )
    context = {
        "steps": steps,
        "seen": seen,
        "latest": latest,
        "markets": markets,
        "retired_in_use": [key for key in keys if key.retired_seen_at],
    }
    return render(request, "portal/overview.html", context)


@lru_cache(maxsize=256)
def _first_steps(
    language: str | None,
    *,
    may_make_keys: bool,
    is_protected: bool,
    has_keys: bool,
    has_called: bool,
    has_chosen: bool,
) -> tuple[Step, ...]:
    """The checklist of a new operator. What is not for one's role is said to be somebody else's.

    language: the active one.
    """
    who = _("An owner or a developer of your team does this.")
    return (
        Step(
            _("Turn on two-factor authentication"),
            reverse("profile:two_factor_enable"),
            is_protected,
            _("A stolen password then opens nothing."),
        ),
        Step(
            _("Make an API key"),
            reverse("apikeys:key_new") if may_make_keys else "",
            has_keys,
            _("Every call to the feed carries one.") if may_make_keys else who,
        ),
        Step(
            _("Make the first call"),
            reverse("apikeys:key_list"),
            has_called,
            _("curl -H 'X-API-Key: …' %(url)s") % {"url": f"{settings.FEED_BASE_URL}/v1/whoami"},
        ),
        Step(
            _("Choose your markets"),
            reverse("markets:list"),
            has_chosen,
            _("Everything is on until a trader or an owner switches something off."),
        ),
    )


@login_not_required
@tenant_not_required
@second_factor_not_required
@answers("GET")
def help_page(request: HttpRequest) -> HttpResponse:
    """**Getting help**: whom to write to, what codes mean. Open to who cannot sign in, too."""
    return render(request, "portal/help.html", {"layout": _layout(request), "cures": CURES})


@login_not_required
@tenant_not_required
@answers("GET")
def root(request: HttpRequest) -> HttpResponse:
    """The portal lives under /client/."""
    return redirect(reverse("overview"))


@login_not_required
@tenant_not_required
@answers("GET")
def healthz(request: HttpRequest) -> HttpResponse:
    """The process is up."""
    return HttpResponse("ok\n", content_type="text/plain")


@login_not_required
@tenant_not_required
@answers("GET")
def readyz(request: HttpRequest) -> HttpResponse:
    """Postgres can be reached and is migrated; else 503, and which of the two."""
    try:
        executor = MigrationExecutor(connections["default"])
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        return _not_ready("Postgres cannot be reached")
    if waiting:
        return _not_ready("migrations are waiting")
    return HttpResponse("ready\n", content_type="text/plain")


def _not_ready(reason: str) -> HttpResponse:
    return HttpResponse(f"{reason}\n", content_type="text/plain", status=503)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400 as a page of the portal."""
    return _error_page(request, "errors/refused.html", 400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403: signed in, but not for this role."""
    return _error_page(request, "errors/403.html", 403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404, the same for what never was and for what is another tenant's."""
    return _error_page(request, "errors/404.html", 404)


def server_error(request: HttpRequest) -> HttpResponse:
    """500; 503 when the database is away, which is nobody's mistake and passes.

    The page asks nothing of the session or the database, which may be what is broken.
    """
    reference = getattr(request, "request_id", "")
    if _is_database_away(sys.exc_info()[1]):
        context = {"status": 503, "reference": reference}
        response = HttpResponse(_plain("errors/unavailable.html", context), status=503)
        response.headers["Retry-After"] = "5"
        return response
    context = {"status": 500, "reference": reference}
    return HttpResponse(_plain("errors/500.html", context), status=500)


def _is_database_away(error: BaseException | None) -> bool:
    """Postgres, or the Redis that counts tries. The queue wraps psycopg's errors in its own."""
    away = (
        OperationalError,
        InterfaceError,
        psycopg.OperationalError,
        psycopg.InterfaceError,
        redis.ConnectionError,
        redis.TimeoutError,
    )
    while error is not None:
        if isinstance(error, away):
            return True
        error = error.__cause__
    return False


def stale_form(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 for a CSRF token that is missing or out of date: friendly, and not a dead end."""
    match = resolve(request.path)
    back = request.path if getattr(match.func, "answers_get", False) else ""
    return _error_page(request, "errors/stale_form.html", 403, back=back)


def _error_page(request: HttpRequest, template: str, status: int, **context: Any) -> HttpResponse:
    """An error in the frame that the person is in: the portal's, or the entrance's."""
    try:
        context["layout"] = _layout(request)
    except DatabaseError:
        context["layout"] = "base_entrance.html"
    return render(request, template, {**context, "status": status}, status=status)


def _layout(request: HttpRequest) -> str:
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return "base_entrance.html"
    attach_tenant(request)
    return "base.html"


def _plain(template: str, context: dict[str, Any]) -> str:
    provider = {"name": settings.PROVIDER_NAME, "b2b_email": settings.PROVIDER_EMAIL}
    return render_to_string(template, {**context, "provider": provider})
