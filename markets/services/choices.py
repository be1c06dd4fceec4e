"""What traders and owners do. Each act is one revision, however many types it switches.

Whoever acts names the revision they looked at. If it is not the present one, nothing is done:
OutOfDate carries the state that is, so that what was chosen can be held against it.
"""

import datetime as dt
from collections.abc import Mapping

from django.db import transaction

from accounts.access import require_role
from accounts.audit import record
from accounts.models import Action, Role, Tenant, User
from accounts.notices import notify, people_of
from accounts.origin import Origin
from markets.effective import Choice, Choices, consequence
from markets.models import Act, SeenTypes, TenantMarkets
from markets.state import State, choices_at, state_of
from portal.lib import clock

MARKET_ROLES = frozenset({Role.OWNER, Role.TRADER})

_ACTIONS = {
    Act.CHANGED: Action.MARKETS_CHANGED,
    Act.DEFAULT: Action.MARKETS_DEFAULT_CHANGED,
    Act.RESTORED: Action.MARKETS_RESTORED,
}


class OutOfDate(Exception):
    """Somebody else was first. `state` is what they left."""

    def __init__(self, state: State) -> None:
        super().__init__("the choices have changed")
        self.state = state


@transaction.atomic
def apply_choices(
    *, tenant: Tenant, revision: int, choices: Mapping[str, Choice], actor: User, origin: Origin
) -> State:
    """Switch these types, code → choice. Choosing what is chosen already changes nothing.

    Raises OutOfDate, and KeyError for a code that was never in the catalogue.
    """
    state = _begin(tenant, revision, actor)
    for code in choices:
        state.catalogue.by_code[code]
    after = state.choices.with_choices(choices)
    return _write(tenant, state, after, Act.CHANGED, actor, origin)


@transaction.atomic
def set_default(
    *,
    tenant: Tenant,
    revision: int,
    default_on: bool,
    keep_overrides: bool,
    actor: User,
    origin: Origin,
) -> State:
    """Turn the default on or off, for every type without an override and for new ones."""
    state = _begin(tenant, revision, actor)
    after = state.choices.with_default(default_on, keep_overrides=keep_overrides)
    return _write(tenant, state, after, Act.DEFAULT, actor, origin)


@transaction.atomic
def restore_revision(
    *, tenant: Tenant, revision: int, number: int, actor: User, origin: Origin
) -> State:
    """Choose again what was chosen at revision `number`; 0 is the beginning, all on.

    Undo is restoring the one before. Raises OutOfDate, and Revision.DoesNotExist.
    """
    state = _begin(tenant, revision, actor)
    after = choices_at(tenant, number)
    return _write(tenant, state, after, Act.RESTORED, actor, origin, restored=number)


@transaction.atomic
def mark_seen(*, tenant: Tenant, through: dt.datetime, actor: User) -> None:
    """Types announced until then are no longer news. It never goes back.

    Nothing is switched by it, so it is no revision, and leaves no record.
    """
    require_role(actor, tenant, MARKET_ROLES)
    _, is_first = SeenTypes.objects.get_or_create(tenant=tenant, defaults={"through": through})
    if not is_first:
        SeenTypes.objects.filter(tenant=tenant, through__lt=through).update(through=through)


def _begin(tenant: Tenant, revision: int, actor: User) -> State:
    require_role(actor, tenant, MARKET_ROLES)
    state = state_of(tenant)
    if state.revision != revision:
        raise OutOfDate(state)
    return state


def _write(
    tenant: Tenant,
    state: State,
    after: Choices,
    act: Act,
    actor: User,
    origin: Origin,
    restored: int | None = None,
) -> State:
    """The new revision, its record and, when the default is another, the mail."""
    if after == state.choices:
        return state
    columns = {
        "default_on": after.default_on,
        "overrides": dict(after.overrides),
        "changed_at": clock.now(),
        "changed_by_id": actor.pk,
        "changed_by_name": actor.username,
        "act": act,
        "restored": restored,
    }
    if not _replace(tenant, state.revision, columns):
        raise OutOfDate(state_of(tenant))
    written = state_of(tenant)
    _record(tenant, state, written, act, actor, origin, restored)
    if after.default_on != state.choices.default_on:
        _tell_of_default(tenant, state, written, actor, origin)
    return written


def _replace(tenant: Tenant, revision: int, columns: Mapping[str, object]) -> bool:
    """Whether this revision was still the present one: Postgres lets one of two go first."""
    if revision == 0:
        _, is_first = TenantMarkets.objects.get_or_create(tenant=tenant, defaults=columns)
        return is_first
    mine = TenantMarkets.objects.filter(tenant=tenant, version=revision)
    return mine.update(**columns) == 1


def _record(
    tenant: Tenant,
    before: State,
    after: State,
    act: Act,
    actor: User,
    origin: Origin,
    restored: int | None,
) -> None:
    done = consequence(before.choices, after.choices, after.catalogue.live)
    detail: dict[str, object] = {
        "revision": after.revision,
        "on": [each.code for each in done.goes_on],
        "off": [each.code for each in done.goes_off],
    }
    if before.choices.default_on != after.choices.default_on:
        detail["default_on"] = [before.choices.default_on, after.choices.default_on]
    if restored is not None:
        detail["restored"] = restored
    record(
        _ACTIONS[act],
        actor=actor,
        origin=origin,
        tenant=tenant,
        target=TenantMarkets(tenant=tenant),
        **detail,
    )


def _tell_of_default(
    tenant: Tenant, before: State, after: State, actor: User, origin: Origin
) -> None:
    live = after.catalogue.live
    notify(
        "market_default",
        users=people_of(tenant, *MARKET_ROLES),
        origin=origin,
        tenant=tenant.name,
        by=actor.username,
        default_on=after.choices.default_on,
        on=sum(after.choices.is_on(each) for each in live),
        total=len(live),
    )
