"""`prune_audit`: forget audit events that are older than is kept, as the owner of the table."""

import datetime as dt
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connections, transaction

from accounts.models import Action
from portal.lib import clock

SIGN_IN_NOISE = [
    Action.LOGIN_SUCCEEDED,
    Action.LOGIN_REFUSED,
    Action.LOGOUT,
    Action.REAUTHENTICATED,
    Action.CONFIRMATION_REFUSED,
]


class Command(BaseCommand):
    """Sign-in noise after AUDIT_SIGN_IN_DAYS, everything after AUDIT_DAYS."""

    help = "Deletes audit events that are older than AUDIT_SIGN_IN_DAYS or AUDIT_DAYS."

    def handle(self, *args: Any, **options: Any) -> None:
        """The trigger lets the owner delete, in a transaction that says that it is retention."""
        now = clock.now()
        noise = now - dt.timedelta(days=settings.AUDIT_SIGN_IN_DAYS)
        everything = now - dt.timedelta(days=settings.AUDIT_DAYS)
        with transaction.atomic(using="owner"), connections["owner"].cursor() as cursor:
            cursor.execute("SET LOCAL portal.retention = 'on'")
            cursor.execute(
                "DELETE FROM accounts_auditevent WHERE at < %s OR (at < %s AND action = ANY(%s))",
                [everything, noise, [str(action) for action in SIGN_IN_NOISE]],
            )
            deleted = cursor.rowcount
        self.stdout.write(f"{deleted} audit events deleted.")
