"""The page **Markets**: every type, what it is, and what was chosen."""

from collections.abc import Mapping

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.dateparse import parse_datetime

from accounts.access import PortalRequest, role_required
from markets.effective import Choice
from markets.forms import RevisionForm, Wanted, sent_choices, wanted_of
from markets.models import Revision
from markets.page import board_of
from markets.review import Conflict, conflict_since
from markets.services import choices as services
from markets.services.choices import MARKET_ROLES
from markets.state import State, state_of
from portal.lib.http import answers


@answers("GET")
def market_list(request: PortalRequest) -> HttpResponse:
    """All groups. The filter is in the address; `applied` names a revision to tell of."""
    state = state_of(request.tenant)
    return _page(request, state, wanted_of(request.GET, state.catalogue))


@role_required(*MARKET_ROLES)
@answers("GET", "POST")
def market_edit(request: PortalRequest) -> HttpResponse:
    """Back from the review: the page with what was chosen, which is not applied yet."""
    if request.method != "POST":
        return redirect("markets:list")
    state = state_of(request.tenant)
    chosen = sent_choices(request.POST, state.catalogue)
    made_from = RevisionForm.read(request.POST)
    conflict = None
    if chosen and made_from != state.revision:
        conflict = conflict_since(request.tenant, state, made_from, chosen)
    return _page(request, state, (), chosen, conflict)


@role_required(*MARKET_ROLES)
@answers("POST")
def types_seen(request: PortalRequest) -> HttpResponse:
    """The new types that the page showed are no longer news."""
    try:
        through = parse_datetime(request.POST.get("through", ""))
    except ValueError:
        through = None
    newest = state_of(request.tenant).catalogue.newest
    if through and through.tzinfo and newest:
        through = min(through, newest)
        services.mark_seen(tenant=request.tenant, through=through, actor=request.user)
    return redirect("markets:list")


def _page(
    request: PortalRequest,
    state: State,
    wanted: Wanted,
    chosen: Mapping[str, Choice] | None = None,
    conflict: Conflict | None = None,
) -> HttpResponse:
    """409 where somebody has changed something since what was chosen was chosen."""
    may_change = request.membership.role in MARKET_ROLES
    applied = _applied(request, state)
    name = state.catalogue.name_of
    context = {
        "state": state,
        "board": board_of(state, wanted, may_change=may_change, chosen=chosen),
        "new_types": state.new_types,
        "may_change": may_change,
        "applied": applied,
        "went_on": [name(code) for code in applied.went_on] if applied else [],
        "went_off": [name(code) for code in applied.went_off] if applied else [],
        "conflict": conflict,
    }
    status = 409 if conflict else 200
    return render(request, "markets/market_list.html", context, status=status)


def _applied(request: PortalRequest, state: State) -> Revision | None:
    """The revision that was just applied, as long as it is the present one."""
    if not state.revision or request.GET.get("applied") != str(state.revision):
        return None
    return Revision.objects.for_tenant(request.tenant).filter(number=state.revision).first()
