"""Where two apps meet on one page: overview, help, health, and the pages of errors."""

import sys
from typing import Any

import psycopg
import redis
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connections
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Exists, F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import resolve, reverse
from django.utils.translation import gettext as _

from accounts.access import (
    PortalRequest,
    login_not_required,
    second_factor_not_required,
    tenant_not_required,
)
from accounts.middleware import attach_tenant
from accounts.models import Authenticator
from accounts.services.self_service import has_second_factor
from apikeys.attention import attention_of
from apikeys.charts import SPANS
from apikeys.cures import CURES
from apikeys.models import ApiKey
from apikeys.services import KEY_ROLES
from apikeys.usage import report_of, with_retired_use
from markets.overview import MarketOverview, market_overview
from portal.lib.http import answers


@answers("GET")
def overview(request: PortalRequest) -> HttpResponse:
    """The first page: what is still to be done."""
    keys = _keys(request)
    latest_use = keys[0] if keys and hasattr(keys[0], "use") else None
    markets = market_overview(request.tenant)
    steps = _first_steps(request, markets, keys, has_called=latest_use is not None)
    context = {
        "steps": steps,
        "latest_use": latest_use,
        "markets": markets,
        **(_use(keys) if keys else {}),
        "retired_in_use": [key for key in keys if key.retired_seen_at],  # type: ignore[attr-defined]
    }
    return render(request, "portal/overview.html", context)


def _keys(request: PortalRequest) -> list[ApiKey]:
    """The one that was used last comes first. With each what the page needs, in one query: its
    use, the contract, and whether who reads has a second factor.
    """
    device = Authenticator.objects.filter(user=request.user, confirmed=True)
    return list(
        with_retired_use(ApiKey.objects.for_tenant(request.tenant))
        .annotate(is_reader_protected=Exists(device))
        .select_related("use", "tenant__contract")
        .order_by(F("use__last_used_at").desc(nulls_last=True))
    )


def _use(keys: list[ApiKey]) -> dict[str, Any]:
    """The calls of the last 24 hours, and what needs attention about the keys."""
    report = report_of(keys, SPANS["day"], keys[0].tenant.contract.limit_rpm)
    return {"chart": report.chart, "attention": attention_of(keys, report)}


def _first_steps(
    request: PortalRequest, markets: MarketOverview, keys: list[ApiKey], *, has_called: bool
) -> list[dict[str, Any]]:
    """The checklist of a new operator. What is not for one's role is said to be somebody else's."""
    is_protected = keys[0].is_reader_protected if keys else has_second_factor(request.user)  # type: ignore[attr-defined]
    may_make_keys = request.membership.role in KEY_ROLES
    return [
        {
            "label": _("Turn on two-factor authentication"),
            "url": reverse("profile:two_factor_enable"),
            "is_done": is_protected,
            "hint": _("A stolen password then opens nothing."),
        },
        {
            "label": _("Make an API key"),
            "url": reverse("apikeys:key_new") if may_make_keys else "",
            "is_done": bool(keys),
            "hint": _("Every call to the feed carries one.")
            if may_make_keys
            else _("An owner or a developer of your team does this."),
        },
        {
            "label": _("Make the first call"),
            "url": reverse("apikeys:key_list"),
            "is_done": has_called,
            "hint": _("curl -H 'X-API-Key: …' %(url)s")
            % {"url": f"{settings.FEED_BASE_URL}/v1/whoami"},
        },
        {
            "label": _("Choose your markets"),
            "url": reverse("markets:list"),
            "is_done": markets.state.revision > 0,
            "hint": _("Everything is on until a trader or an owner switches something off."),
        },
    ]


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
