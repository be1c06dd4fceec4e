"""**Review** and **Apply**: what is chosen comes into force, and nobody's choice is lost."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.access import PortalRequest, role_required
from accounts.origin import Origin
from markets.forms import RevisionForm, sent_choices
from markets.review import Review, review_of
from markets.services.choices import MARKET_ROLES, OutOfDate, apply_choices
from markets.state import State, state_of
from portal.lib.http import answers

UNREVIEWED = 2  # so many types may be applied without the review


@role_required(*MARKET_ROLES)
@answers("GET", "POST")
def review(request: PortalRequest) -> HttpResponse:
    """What would go on, what off. Writes nothing. Without a form it leads to the page."""
    if request.method != "POST":
        return redirect("markets:list")
    return show_review(request, _review(request, state_of(request.tenant)))


@role_required(*MARKET_ROLES)
@answers("GET", "POST")
def apply(request: PortalRequest) -> HttpResponse:
    """**Apply**. More than UNREVIEWED types are reviewed first, and so is what others changed."""
    if request.method != "POST":
        return redirect("markets:list")
    reviewed = _review(request, state_of(request.tenant))
    is_unread = "reviewed" not in request.POST and len(reviewed.choices) > UNREVIEWED
    if reviewed.outcome.is_empty or reviewed.conflict or is_unread:
        return show_review(request, reviewed)
    try:
        state = apply_choices(
            tenant=request.tenant,
            revision=reviewed.revision,
            choices=reviewed.choices,
            actor=request.user,
            origin=Origin.of(request),
        )
    except OutOfDate as late:
        return show_review(request, _review(request, late.state))
    return applied(state)


def applied(state: State) -> HttpResponse:
    """Back to the page, which tells of the revision and offers to undo it."""
    return redirect(f"{reverse('markets:list')}?applied={state.revision}")


def show_review(request: PortalRequest, reviewed: Review) -> HttpResponse:
    """The page **Review**; 409 where somebody else was first; no page where nothing is left."""
    if reviewed.outcome.is_empty:
        messages.info(
            request,
            _("What you chose is in force already.")
            if reviewed.conflict
            else _("Nothing was chosen otherwise."),
        )
        return redirect("markets:list")
    status = 409 if reviewed.conflict else 200
    return render(request, "markets/review.html", {"review": reviewed}, status=status)


def _review(request: PortalRequest, state: State) -> Review:
    sent = sent_choices(request.POST, state.catalogue)
    return review_of(request.tenant, state, RevisionForm.read(request.POST), sent)
