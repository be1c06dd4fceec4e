"""Choices out and in as CSV. What comes in goes through the review."""

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from accounts.access import PortalRequest, role_required
from markets.forms import ImportForm
from markets.review import review_of
from markets.services.choices import MARKET_ROLES
from markets.sheet import read_sheet, write_sheet
from markets.state import state_of
from markets.views.changes import show_review
from portal.lib.http import answers

MOST_ERRORS = 50  # named; one line too many is said of the rest


@answers("GET")
def choices_csv(request: PortalRequest) -> HttpResponse:
    """**Download CSV**: every type and its choice."""
    state = state_of(request.tenant)
    text = write_sheet(state.choices, state.catalogue)
    response = HttpResponse(text, content_type="text/csv; charset=utf-8")
    name = f"{request.tenant.slug}-markets-{state.revision}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@role_required(*MARKET_ROLES)
@answers("GET", "POST")
def choices_import(request: PortalRequest) -> HttpResponse:
    """**Import CSV**: every bad line is named and nothing is applied, or the review opens."""
    if request.method != "POST":
        return render(request, "markets/import.html", {"form": ImportForm()})
    form = ImportForm(request.POST, request.FILES)
    if form.is_valid():
        state = state_of(request.tenant)
        sheet = read_sheet(form.cleaned_data["file"], state.catalogue)
        if not sheet.errors:
            made_from = state.revision
            return show_review(request, review_of(request.tenant, state, made_from, sheet.choices))
        for error in sheet.errors[:MOST_ERRORS]:
            form.add_error("file", error)
        if len(sheet.errors) > MOST_ERRORS:
            more = len(sheet.errors) - MOST_ERRORS
            form.add_error("file", _("And %(more)d more lines like these.") % {"more": more})
    return render(request, "markets/import.html", {"form": form})
