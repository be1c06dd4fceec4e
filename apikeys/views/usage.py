"""Usage: how many calls each key made, what became of them, and how near its limit it came."""

import csv
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from django.http import Http404, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from accounts.access import PortalRequest
from apikeys.charts import SPANS, Span
from apikeys.models import ApiKey, Contract
from apikeys.rollup import KEPT
from apikeys.services import KEY_ROLES
from apikeys.usage import Sums, Table, report_of, table_of
from portal.lib import clock
from portal.lib.http import answers
from portal.lib.spreadsheets import harmless

DEFAULT_SPAN = "day"


@dataclass(frozen=True)
class Asked:
    """The filter of the address. keys: of the tenant, the live ones first; chosen: one or all."""

    keys: list[ApiKey]
    key: ApiKey | None
    span: Span

    @property
    def chosen(self) -> list[ApiKey]:
        """Those that are shown."""
        return [self.key] if self.key else self.keys

    @property
    def query(self) -> str:
        """The address's query."""
        key = {"key": str(self.key.pk)} if self.key else {}
        return urlencode({"span": self.span.name} | key)


@answers("GET")
def show(request: PortalRequest) -> HttpResponse:
    """**Usage**. Everybody may look; what is chosen is in the address."""
    asked = _asked(request)
    contract = get_object_or_404(Contract, tenant=request.tenant)
    report = report_of(asked.chosen, asked.span, contract.limit_rpm)
    shown = [key for key in asked.chosen if key.is_live or asked.key or report.of(key).total]
    context = {
        "asked": asked,
        "spans": SPANS.values(),
        "chart": report.chart,
        "limit": report.limit,
        "rows": [
            (
                key,
                report.of(key) if report.chart.is_known else None,
                report.percent(key),
                report.is_near_limit(key),
                report.has_met_limit(key),
            )
            for key in shown
        ],
        "kept_days": {period.value: kept.days for period, kept in KEPT.items()},
        "may_make_keys": request.membership.role in KEY_ROLES,
    }
    return render(request, "apikeys/usage.html", context)


@answers("GET")
def download(request: PortalRequest) -> HttpResponseBase:
    """**Download CSV**: the same for a spreadsheet, a line for each bar and key."""
    asked = _asked(request)
    contract = get_object_or_404(Contract, tenant=request.tenant)
    table = table_of(asked.chosen, asked.span)
    # Said now: when the lines are sent, the request's language is no longer set.
    names = [
        _("From (UTC)"),
        _("Key"),
        _("Key ID"),
        _("Allowed"),
        _("Too many"),
        _("Refused"),
        _("Busiest minute"),
        _("Limit a minute"),
    ]
    lines = _lines(names, asked, table, contract.limit_rpm)
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    name = f"{request.tenant.slug}-usage-{asked.span.name}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _asked(request: PortalRequest) -> Asked:
    """What cannot be read as a span is the day; a key that is not the tenant's is unknown."""
    tenants = ApiKey.objects.for_tenant(request.tenant).order_by("-created_at")
    keys = sorted(tenants, key=lambda key: not key.is_live)
    span = SPANS.get(request.GET.get("span", ""), SPANS[DEFAULT_SPAN])
    wanted = request.GET.get("key", "")
    if not wanted:
        return Asked(keys, None, span)
    try:
        key_id = uuid.UUID(wanted)
    except ValueError:
        raise Http404 from None
    found = next((key for key in keys if key.pk == key_id), None)
    if found is None:
        raise Http404
    return Asked(keys, found, span)


class _Line:
    """What csv.writer writes into: it hands each line back."""

    def write(self, line: str) -> str:
        return line


def _lines(names: list[str], asked: Asked, table: Table, limit: int) -> Iterator[str]:
    """Empty cells are no zeros: nobody counted then, or there was no key yet."""
    writer = csv.writer(_Line())
    yield writer.writerow(names)
    begins_at, ends_at = asked.span.begins_and_ends_at(clock.now())
    used = {key_id for _at, key_id in table.cells}
    keys = [key for key in asked.chosen if key.is_live or asked.key or key.pk in used]
    labels = {key: harmless(key.label) for key in keys}
    at = begins_at
    while at < ends_at:
        when = f"{at:%Y-%m-%dT%H:%M:%SZ}"
        for key in keys:
            row = [when, labels[key], key.pk, *_numbers(table.of(key, at)), limit]
            yield writer.writerow(row)
        at += asked.span.bar


def _numbers(sums: Sums | None) -> list[int | str]:
    if sums is None:
        return ["", "", "", ""]
    return [sums.allowed, sums.limited, sums.refused, sums.peak]
