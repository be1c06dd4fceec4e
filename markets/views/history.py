"""History by revision: who, when, what; and putting one back, which Undo is too."""

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from accounts.access import PortalRequest, role_required
from accounts.origin import Origin
from markets.catalogue import TypeFacts
from markets.effective import consequence
from markets.forms import RevisionForm
from markets.models import Revision
from markets.review import Conflict, conflict_since
from markets.services.choices import MARKET_ROLES, OutOfDate, restore_revision
from markets.state import State, choices_at, state_of
from markets.views.changes import applied
from portal.lib.http import answers

PAGE = 50


@answers("GET")
def revision_list(request: PortalRequest) -> HttpResponse:
    """Every revision, newest first, a page at a time."""
    state = state_of(request.tenant)
    revisions = Revision.objects.for_tenant(request.tenant).defer("overrides")
    before = request.GET.get("before", "")
    if before.isascii() and before.isdigit() and len(before) < 19:
        revisions = revisions.filter(number__lt=int(before))
    shown = list(revisions[: PAGE + 1])
    has_more = len(shown) > PAGE
    context = {
        "state": state,
        "rows": [
            (each, _names(state, each.went_on), _names(state, each.went_off))
            for each in shown[:PAGE]
        ],
        "is_last": not has_more,
        "older_url": f"?before={shown[PAGE - 1].number}" if has_more else "",
        "newest_url": request.path if before else "",
        "may_change": _may_change(request),
    }
    return render(request, "markets/history.html", context)


@answers("GET")
def revision_detail(request: PortalRequest, number: int) -> HttpResponse:
    """One revision: what it switched, and what putting it back would do now."""
    return _show(request, state_of(request.tenant), number)


@role_required(*MARKET_ROLES)
@answers("GET", "POST")
def revision_restore(request: PortalRequest, number: int) -> HttpResponse:
    """**Restore**, and **Undo**, which restores the one before."""
    if request.method != "POST":
        return redirect("markets:revision", number)
    made_from = RevisionForm.read(request.POST)
    try:
        state = restore_revision(
            tenant=request.tenant,
            revision=made_from,
            number=number,
            actor=request.user,
            origin=Origin.of(request),
        )
    except OutOfDate as late:
        conflict = conflict_since(request.tenant, late.state, made_from)
        return _show(request, late.state, number, conflict)
    except Revision.DoesNotExist:
        raise Http404 from None
    if state.revision == made_from:
        messages.info(request, _("What you chose is in force already."))
        return redirect("markets:list")
    return applied(state)


def _show(
    request: PortalRequest, state: State, number: int, conflict: Conflict | None = None
) -> HttpResponse:
    """The revision's page; 409 where somebody has changed something since it was opened."""
    try:
        after = choices_at(request.tenant, number)
    except Revision.DoesNotExist:
        raise Http404 from None
    revision = Revision.objects.for_tenant(request.tenant).filter(number=number).first()
    live = state.catalogue.live
    context = {
        "number": number,
        "revision": revision,
        "went_on": _types(state, revision.went_on if revision else []),
        "went_off": _types(state, revision.went_off if revision else []),
        "is_present": number == state.revision,
        "state": state,
        "default_on": after.default_on,
        "flips_default": after.default_on != state.choices.default_on,
        "outcome": consequence(state.choices, after, live),
        "may_change": _may_change(request),
        "conflict": conflict,
    }
    status = 409 if conflict else 200
    return render(request, "markets/revision.html", context, status=status)


def _names(state: State, codes: list[str]) -> list[str]:
    return [state.catalogue.name_of(code) for code in codes]


def _types(state: State, codes: list[str]) -> list[TypeFacts]:
    known = state.catalogue.by_code
    return [known[code] for code in codes if code in known]


def _may_change(request: PortalRequest) -> bool:
    return request.membership.role in MARKET_ROLES
