"""Delivery credentials: where programs go, with what, and what the broker says of them now."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _

from accounts.access import PortalRequest, role_required
from accounts.origin import Origin
from apikeys import snippets
from apikeys.amqp import acts, names
from apikeys.amqp.sight import look
from apikeys.catalogue import DEFAULT_SPORTS
from apikeys.models import AmqpAccess, AmqpRequest, Contract
from apikeys.services import KEY_ROLES
from portal.lib.http import answers


@answers("GET")
def show(request: PortalRequest) -> HttpResponse:
    """REST, WebSocket and AMQP: addresses, names, limits, and programs to copy."""
    contract = get_object_or_404(Contract, tenant=request.tenant)
    access = acts.access_of(request.tenant)
    feed = _feed(contract)
    context = {
        "contract": contract,
        "access": access,
        "may_ask": request.membership.role in KEY_ROLES,
        **feed,
        "rest": snippets.snippets("rest", snippets.REST, feed),
        "websocket": snippets.snippets("websocket", snippets.WEBSOCKET, feed),
        **_amqp(access),
    }
    return render(request, "apikeys/delivery.html", context)


@role_required(*KEY_ROLES)
@answers("POST")
def amqp_access_request(request: PortalRequest) -> HttpResponse:
    """**Ask for AMQP access**."""
    return _asked(request, AmqpRequest.ACCESS)


@role_required(*KEY_ROLES)
@answers("POST")
def amqp_password_request(request: PortalRequest) -> HttpResponse:
    """**Ask for a new password**."""
    return _asked(request, AmqpRequest.PASSWORD)


def _asked(request: PortalRequest, what: AmqpRequest) -> HttpResponse:
    try:
        is_new = acts.request_amqp(
            tenant=request.tenant, what=what, actor=request.user, origin=Origin.of(request)
        )
    except acts.WrongState:
        messages.warning(request, _("Nothing was asked for: the page was out of date."))
    else:
        if is_new:
            messages.success(request, _("We were asked, and will write to you."))
        else:
            messages.info(request, _("We were asked already, and will write to you."))
    return redirect("delivery:show")


def _feed(contract: Contract) -> dict[str, Any]:
    """Where calls and streams go: WebSockets have TLS where calls have it."""
    sport = contract.sports[0] if contract.sports else DEFAULT_SPORTS[0]
    return {
        "base_url": settings.FEED_BASE_URL,
        "stream_url": "ws" + settings.FEED_BASE_URL.removeprefix("http"),
        "first_call": f"/{sport}/v1/matches",
        "stream": f"/{sport}/v1/stream",
    }


def _amqp(access: AmqpAccess) -> dict[str, Any]:
    """What the page says of AMQP; the broker is asked only where there is something to see."""
    if not access.provisioned_at:
        return {}
    values = {
        "host": settings.AMQP_HOST,
        "tls_port": settings.AMQP_TLS_PORT,
        "port": settings.AMQP_PORT,
        "vhost": access.vhost,
        "username": access.username,
        "exchange": names.EXCHANGE,
    }
    return {
        **values,
        "amqp": snippets.snippets("amqp", snippets.AMQP, values),
        "uris": [names.amqp_uri(access), names.plain_amqp_uri(access)],
        "most": {
            "connections": names.MOST_CONNECTIONS,
            "channels": names.MOST_CHANNELS,
            "queues": names.MOST_QUEUES,
        },
        "sight": look(access),
    }
