"""Where a tenant stands: its choices and their revision, the catalogue, and what is news to it."""

import datetime as dt
import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from accounts.models import Tenant
from markets.catalogue import Contents, TypeFacts, contents
from markets.effective import BEGINNING, Choices
from markets.models import Revision
from portal.lib.compiled import Question, ask

# One statement, so that a page shows one moment.
_STATE = """
SELECT coalesce(chosen.version, 0), coalesce(chosen.default_on, true),
       coalesce(chosen.overrides, '{}')::text, chosen.changed_at,
       coalesce(chosen.changed_by_name, ''), coalesce(seen.through, tenant.created_at),
       coalesce((SELECT version FROM markets_catalogue), 0)
FROM accounts_tenant AS tenant
LEFT JOIN markets_tenantmarkets AS chosen ON chosen.tenant_id = tenant.id
LEFT JOIN markets_seentypes AS seen ON seen.tenant_id = tenant.id
WHERE tenant.id = %s
"""

_TENANTS_WITH = """
SELECT count(*) FILTER (WHERE markets_is_on(chosen.default_on, chosen.overrides, %s, NULL)),
       count(*)
FROM accounts_tenant AS tenant
LEFT JOIN markets_tenantmarkets AS chosen ON chosen.tenant_id = tenant.id
WHERE tenant.suspended_at IS NULL
"""


@dataclass(frozen=True)
class State:
    """A tenant's markets at one moment. changed_at is None at revision 0.

    Equal where tenant, revision and catalogue are: what was chosen follows from them.
    """

    tenant_id: uuid.UUID
    revision: int
    choices: Choices = field(compare=False)
    changed_at: dt.datetime | None
    changed_by: str
    seen_through: dt.datetime
    catalogue: Contents

    def is_new(self, each: TypeFacts) -> bool:
        """Announced after the tenant came, and nobody of it has looked since."""
        return each.announced_at is not None and each.announced_at > self.seen_through

    @property
    def own(self) -> list[TypeFacts]:
        """Those with a choice of their own. What was chosen of retired ones comes to nothing."""
        return [each for each in self.catalogue.live if each.code in self.choices.overrides]

    @property
    def new_types(self) -> list[TypeFacts]:
        """Those that wait to be looked at."""
        newest = self.catalogue.newest
        if newest is None or newest <= self.seen_through:
            return []
        return [each for each in self.catalogue.live if self.is_new(each)]


def state_of(tenant: Tenant) -> State:
    """The present state, in one statement, and two more after each change of the catalogue."""
    found: list[State] = ask(state_question(tenant))[0]
    return found[0]


def state_question(tenant: Tenant) -> Question[State]:
    """The same for a page that has more to ask."""
    return Question(_STATE, [tenant.pk], lambda lines: [_state(tenant, line) for line in lines])


def choices_at(tenant: Tenant, revision: int) -> Choices:
    """What was chosen at a revision; Revision.DoesNotExist for one that never was."""
    if revision == 0:
        return BEGINNING
    kept = Revision.objects.for_tenant(tenant).get(number=revision)
    return Choices(kept.default_on, kept.overrides)


def tenants_with(code: str) -> tuple[int, int]:
    """For how many active tenants a type that is in the catalogue is on, and how many there are."""
    with connection.cursor() as cursor:
        cursor.execute(_TENANTS_WITH, [code])
        on, tenants = cursor.fetchone()
    return on, tenants


def _state(tenant: Tenant, line: tuple[Any, ...]) -> State:
    revision, default_on, overrides, changed_at, changed_by, seen_through, version = line
    choices = Choices(default_on, json.loads(overrides))
    return State(
        tenant.pk, revision, choices, changed_at, changed_by, seen_through, contents(version)
    )
