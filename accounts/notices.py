"""Security mails: written into the queue in the act's own transaction, sent by the worker.

They cannot be switched off. They hold no secrets: the queue lies in the database.
"""

from collections.abc import Iterable
from typing import Any

from procrastinate.contrib.django import app as queue

from accounts.models import Membership, Role, Tenant, User
from accounts.origin import Origin
from portal.lib import clock


def notify(name: str, *, users: Iterable[User], origin: Origin | None, **context: Any) -> None:
    """Queue the mail `name` for each user, once, with where the act came from."""
    about = {"at": clock.now().isoformat(), **context}
    if origin is not None:
        about |= {"address": origin.address or "", "browser": origin.browser}
    send = queue.configure_task("accounts.tasks.send_notice", queue="mail")
    for user in {user.pk: user for user in users}.values():
        send.defer(name=name, user_id=str(user.pk), context=about)


def people_of(tenant: Tenant, *roles: Role) -> list[User]:
    """The active members with one of the roles."""
    memberships = Membership.objects.filter(tenant=tenant, role__in=roles, user__is_active=True)
    return [membership.user for membership in memberships.select_related("user")]
