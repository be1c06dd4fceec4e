"""Activity: the tenant's audit trail, filtered, a page at a time, and as CSV."""

import csv
import datetime as dt
from collections.abc import Iterator

from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.access import PortalRequest
from accounts.forms import ActivityFilterForm
from accounts.models import AuditEvent
from portal.lib.http import answers
from portal.lib.spreadsheets import harmless

PAGE = 50
MOST_CSV_ROWS = 100_000


@answers("GET")
def activity(request: PortalRequest) -> HttpResponse:
    """What happened, newest first. The filter is in the address."""
    form = ActivityFilterForm(request.GET)
    events = _filtered(request, form)
    before = request.GET.get("before", "")
    if before.isascii() and before.isdigit() and len(before) < 19:
        events = events.filter(pk__lt=int(before))
    shown = list(events[: PAGE + 1])
    query = request.GET.copy()
    query.pop("before", None)
    older = ""
    if len(shown) > PAGE:
        query["before"] = str(shown[PAGE - 1].pk)
        older = f"?{query.urlencode()}"
        del query["before"]
    context = {
        "form": form,
        "events": shown[:PAGE],
        "older_url": older,
        "newest_url": f"?{query.urlencode()}" if before else "",
        "csv_query": query.urlencode(),
        "is_filtered": any(form.data.get(name) for name in form.fields),
    }
    return render(request, "accounts/activity.html", context)


@answers("GET")
def activity_csv(request: PortalRequest) -> HttpResponseBase:
    """The same, all of it, for a spreadsheet."""
    events = _filtered(request, ActivityFilterForm(request.GET))[:MOST_CSV_ROWS]
    # Said now: when the lines are sent, the request's language is no longer set.
    names = [_("Time (UTC)"), _("Who"), _("What"), _("Target"), _("Address"), _("Agent")]
    response = StreamingHttpResponse(_csv(names, events), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{request.tenant.slug}-activity.csv"'
    return response


def _filtered(request: PortalRequest, form: ActivityFilterForm) -> QuerySet[AuditEvent]:
    """The tenant's events that fit, newest first; all of them where the filter makes no sense."""
    events = AuditEvent.objects.for_tenant(request.tenant).order_by("-pk")
    if not form.is_valid():
        return events
    wanted = form.cleaned_data
    if wanted["action"]:
        events = events.filter(action=wanted["action"])
    if wanted["actor"]:
        events = events.filter(actor_name__icontains=wanted["actor"])
    # Days are the reader's. Moments now, because the CSV asks when no zone is set any more.
    zone = timezone.get_current_timezone()
    if wanted["since"]:
        events = events.filter(at__gte=dt.datetime.combine(wanted["since"], dt.time.min, zone))
    if wanted["until"]:
        events = events.filter(at__lte=dt.datetime.combine(wanted["until"], dt.time.max, zone))
    return events


class _Line:
    """What csv.writer writes into: it hands each line back."""

    def write(self, line: str) -> str:
        return line


def _csv(names: list[str], events: QuerySet[AuditEvent]) -> Iterator[str]:
    writer = csv.writer(_Line())
    yield writer.writerow(names)
    for event in events.iterator():
        row = [
            f"{event.at:%Y-%m-%dT%H:%M:%SZ}",
            event.actor_name,
            event.action,
            event.target_name,
            event.address or "",
            event.agent,
        ]
        yield writer.writerow([harmless(cell) for cell in row])
