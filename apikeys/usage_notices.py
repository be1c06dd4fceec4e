"""Mails about how keys are used: near their limit, at it, not used. Found by the worker.

A row of `KeyNotice` says when people were last told; who sets it tells them, in one transaction.
So two workers tell nobody twice, and a mail that could not be queued was not told.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from accounts.models import Tenant
from accounts.notices import notify, people_of
from apikeys.attention import UNUSED_DAYS, is_unused
from apikeys.charts import ALLOWED, NEAR_PERCENT
from apikeys.models import ApiKey, KeyCalls, KeyNotice, Period, Threshold
from apikeys.services import KEY_ROLES
from portal.lib import clock

LOOKS_BACK = dt.timedelta(hours=1)  # so long may the worker be away, and nothing is missed
A_DAY = dt.timedelta(days=1)

_CLAIM = """
INSERT INTO apikeys_keynotice AS known (key_id, threshold, told_at) VALUES (%s, %s, %s)
ON CONFLICT (key_id, threshold) DO UPDATE SET told_at = excluded.told_at
WHERE known.told_at <= %s
"""


def tell_of_limits() -> None:
    """Keys that were above 80 % of their limit in a minute, or at it: once a day for each."""
    found: dict[Tenant, list[ApiKey]] = defaultdict(list)
    for key in _near_their_limit():
        found[key.tenant].append(key)
    for tenant, keys in found.items():
        _tell_of_limits(tenant, keys)


def tell_of_unused_keys() -> None:
    """Keys that nobody has used for 90 days, or ever since they were made then: once for each."""
    found: dict[Tenant, list[ApiKey]] = defaultdict(list)
    since = Coalesce("use__last_used_at", "created_at")
    told = KeyNotice.objects.filter(
        key=OuterRef("pk"), threshold=Threshold.UNUSED, told_at__gt=OuterRef("quiet_since")
    )
    keys = _of_active_tenants().annotate(quiet_since=since).filter(is_unused(), ~Exists(told))
    for key in keys.order_by("pk"):
        found[key.tenant].append(key)
    for tenant, unused in found.items():
        _tell_of_unused(tenant, unused)


@transaction.atomic
def _tell_of_limits(tenant: Tenant, keys: list[ApiKey]) -> None:
    """Who is told of the limit itself is not told of 80 % of it as well."""
    since = clock.now() - A_DAY
    lines = []
    for key in keys:
        limit, peak, refused = key.limit, key.peak or 0, key.refused or 0  # type: ignore[attr-defined]
        is_at = bool(refused) or peak >= limit
        is_new = _claim(key, Threshold.NEAR_LIMIT, since)
        if is_at:
            is_new = _claim(key, Threshold.AT_LIMIT, since)
        if is_new:
            line = {"label": key.label, "peak": peak, "limit": limit, "refused": refused}
            lines.append(line | {"is_at": is_at})
    if lines:
        has_met_it = any(line["is_at"] for line in lines)
        lines.sort(key=lambda line: str(line["label"]))
        _send("key_limit", tenant, keys=lines, percent=NEAR_PERCENT, is_at=has_met_it)


@transaction.atomic
def _tell_of_unused(tenant: Tenant, keys: list[ApiKey]) -> None:
    unused = [
        key.label
        for key in keys
        if _claim(key, Threshold.UNUSED, key.quiet_since)  # type: ignore[attr-defined]
    ]
    if unused:
        _send("key_unused", tenant, keys=sorted(unused), days=UNUSED_DAYS)


def _near_their_limit() -> Iterable[ApiKey]:
    """With limit, peak (calls let in, in the busiest minute) and refused (too many).

    Without a contract there is no limit to tell of.
    """
    lately = KeyCalls.objects.filter(
        period=Period.MINUTE,
        start__gte=clock.now() - LOOKS_BACK,
        key__tenant__contract__isnull=False,
    )
    busy = (
        lately.values("key_id")
        .annotate(
            limit=F("key__tenant__contract__limit_rpm"),
            peak=Max("calls", filter=Q(outcome=ALLOWED)),
            refused=Sum("calls", filter=Q(outcome="rate_limited")),
        )
        .alias(load=F("peak") * 100, bound=F("limit") * NEAR_PERCENT)
        .filter(Q(load__gt=F("bound")) | Q(refused__gt=0))
    )
    use = {row["key_id"]: row for row in busy}
    keys = _of_active_tenants().filter(pk__in=use).order_by("pk")
    for key in keys:
        vars(key).update({name: use[key.pk][name] for name in ("limit", "peak", "refused")})
    return keys


def _of_active_tenants() -> QuerySet[ApiKey]:
    return ApiKey.objects.live().filter(tenant__suspended_at=None).select_related("tenant")


def _claim(key: ApiKey, threshold: Threshold, since: dt.datetime) -> bool:
    """Whether it is for us to tell: nobody has been told after `since`. Then it counts as told."""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [key.pk, threshold, clock.now(), since])
        return bool(cursor.rowcount)


def _send(name: str, tenant: Tenant, **context: Any) -> None:
    notify(
        name,
        users=people_of(tenant, *KEY_ROLES),
        origin=None,
        tenant=tenant.name,
        **context,
    )
