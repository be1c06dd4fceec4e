"""What the Overview says of a tenant's keys: plain values, for pure templates."""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db.models import (
    BooleanField,
    Exists,
    ExpressionWrapper,
    F,
    Q,
    QuerySet,
    Value,
)
from django.db.models.functions import Greatest

from accounts.models import Authenticator, Tenant, User
from apikeys.attention import Attention, KeySight, attention_of, is_unused, unused_since
from apikeys.charts import SPANS, Chart
from apikeys.models import ApiKey
from apikeys.models.waiting import WaitingUsedAt
from apikeys.usage import Counted, calls_of, counted_of, retired_since, with_retired_use
from portal.lib.compiled import Question, compiled

SPAN = SPANS["day"]


@dataclass(frozen=True)
class KeyOverview:
    """Keys, the one that was used last first, and their calls of the last 24 hours.

    Two are equal where they read the same; what follows from them is worked out when it is shown.
    """

    keys: tuple[KeySight, ...]
    counted: Counted | None

    @cached_property
    def attention(self) -> Attention | None:
        """What is to be looked at, if there are keys."""
        return attention_of(self.keys, self.counted.report) if self.counted else None

    @property
    def chart(self) -> Chart | None:
        """The calls, if there are keys."""
        return self.counted.report.chart if self.counted else None


def key_questions(tenant: Tenant, reader: User, now: dt.datetime) -> list[Question[Any]]:
    """What `key_overview` takes the answers of."""
    keys = _keys.of(
        tenant_id=tenant.pk,
        reader_id=reader.pk,
        retired_since=retired_since(),
        unused_since=unused_since(),
    )
    return [keys, calls_of(tenant, SPAN, now)]


def key_overview(keys: list[KeySight], calls: list[Any], now: dt.datetime) -> KeyOverview:
    """As it was when it was asked."""
    counted = counted_of(calls, keys, SPAN, now, keys[0].limit_rpm) if keys else None
    return KeyOverview(tuple(keys), counted)


@compiled(KeySight._make)
def _keys(
    tenant_id: Value, reader_id: Value, retired_since: Value, unused_since: Value
) -> QuerySet[Any, Any]:
    device = Authenticator.objects.filter(user=reader_id, confirmed=True)
    return (
        with_retired_use(ApiKey.objects.filter(tenant=tenant_id), retired_since)
        .annotate(
            works=_asked(Q(revoked_at=None)),
            is_open=_asked(Q(allowlist__len=0)),
            is_unused=_asked(is_unused(unused_since)),
            has_second_factor=Exists(device),
            last_used_at=Greatest("use__last_used_at", WaitingUsedAt("pk")),
        )
        .order_by(F("last_used_at").desc(nulls_last=True))
        .values_list(
            "pk",
            "label",
            "created_at",
            "revoked_at",
            "works",
            "is_open",
            "is_unused",
            "last_used_at",
            "retired_seen_at",
            "retired_from",
            "retired_on",
            "tenant__contract__limit_rpm",
            "has_second_factor",
        )
    )


def _asked(question: Q) -> "ExpressionWrapper[Q]":
    return ExpressionWrapper(question, output_field=BooleanField())
