"""Who comes with a session's cookie: the session, its user and their memberships, in one query.

Every page asks this, so it is asked once and not three times.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model, QuerySet, Value

from accounts.models import Membership, Session, Tenant, User
from portal.lib.compiled import compiled

Made = TypeVar("Made", bound=Model)


@dataclass(frozen=True)
class Arrival:
    """A session's row, live or not. Without a user it is somebody's who has not signed in yet.

    memberships: those in tenants that are not suspended, oldest first, with the tenant at hand.
    """

    data: str
    expires_at: dt.datetime
    last_seen_at: dt.datetime
    user: User | None
    memberships: list[Membership]


def arrival_of(key_hash: bytes) -> Arrival | None:
    """None where there is no such session."""
    lines = _lines(key_hash=key_hash)
    if not lines:
        return None
    data, expires_at, last_seen_at = lines[0][:_USER_AT]
    user = _made(User, lines[0][_USER_AT:_MEMBERSHIP_AT])
    found = [_membership(line, user) for line in lines] if user else []
    memberships = [each for each in found if each and each.tenant.is_active]
    return Arrival(data, expires_at, last_seen_at, user, memberships)


def _membership(line: Sequence[Any], user: User) -> Membership | None:
    membership = _made(Membership, line[_MEMBERSHIP_AT:_TENANT_AT])
    tenant = _made(Tenant, line[_TENANT_AT:])
    if membership is None or tenant is None:
        return None
    membership.user, membership.tenant = user, tenant
    return membership


def _made(model: type[Made], values: Sequence[Any]) -> Made | None:
    """The row that these are the columns of, if the outer join found one."""
    names = _columns(model)
    is_there = values[names.index(model._meta.pk.attname)] is not None
    return model.from_db(DEFAULT_DB_ALIAS, names, values) if is_there else None


def _columns(model: type[Model]) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields]


_SESSION = ["data", "expires_at", "last_seen_at"]
_USER_AT = len(_SESSION)
_MEMBERSHIP_AT = _USER_AT + len(_columns(User))
_TENANT_AT = _MEMBERSHIP_AT + len(_columns(Membership))


@compiled(tuple)
def _lines(key_hash: Value) -> QuerySet[Any, Any]:
    """A line for each membership, and one for somebody who has none."""
    theirs = "user__memberships"
    return (
        Session.objects.filter(key_hash=key_hash)
        .order_by(f"{theirs}__created_at", f"{theirs}__pk")
        .values_list(
            *_SESSION,
            *(f"user__{name}" for name in _columns(User)),
            *(f"{theirs}__{name}" for name in _columns(Membership)),
            *(f"{theirs}__tenant__{name}" for name in _columns(Tenant)),
        )
    )
