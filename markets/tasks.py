"""What the worker does about markets."""

from collections import defaultdict

from django.conf import settings
from django.db import transaction
from procrastinate.contrib.django import app

from accounts.models import Membership, Tenant, User
from accounts.notices import notify
from accounts.tasks import RETRIES
from markets.models import MarketType, TenantMarkets
from markets.services.choices import MARKET_ROLES

MOST_NAMED = 20  # types in one mail; the page shows the others


@app.task(queue="mail", retry=RETRIES, name="markets.tasks.tell_of_new_types")
def tell_of_new_types(codes: list[str]) -> None:
    """Queue the mail to the owners and traders of every active tenant: to all, or to none."""
    columns = ("code", "name_en", "name_ru")
    types = list(MarketType.objects.filter(code__in=codes, retired_at=None).values(*columns))
    if not types:
        return
    members: dict[Tenant, list[User]] = defaultdict(list)
    memberships = Membership.objects.in_active_tenants()
    people = memberships.filter(role__in=MARKET_ROLES, user__is_active=True)
    for membership in people.select_related("tenant", "user"):
        members[membership.tenant].append(membership.user)
    rows = TenantMarkets.objects.filter(tenant__in=members)
    defaults = dict(rows.values_list("tenant_id", "default_on"))
    with transaction.atomic():
        for tenant, users in members.items():
            notify(
                "new_market_types",
                users=users,
                origin=None,
                who=settings.PROVIDER_NAME,
                tenant=tenant.name,
                count=len(types),
                types=types[:MOST_NAMED],
                more=max(len(types) - MOST_NAMED, 0),
                are_on=defaults.get(tenant.pk, True),
            )
