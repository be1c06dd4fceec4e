"""`reencrypt`: write every second factor's secret with the newest of FIELD_KEYS."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts.models import Authenticator


class Command(BaseCommand):
    """After a new key was put in front; when this is done, the old one may go."""

    help = "Encrypts the secrets of second factors anew, with the first of FIELD_KEYS."

    def handle(self, *args: Any, **options: Any) -> None:
        """One row at a time, each under its lock: it can be stopped, and run again."""
        done = 0
        for pk in list(Authenticator.objects.values_list("pk", flat=True)):
            with transaction.atomic():
                device = Authenticator.objects.select_for_update().filter(pk=pk).first()
                if device is None:
                    continue
                try:
                    device.set_secret(device.secret)
                except ValueError as error:
                    raise CommandError(f"Authenticator {pk}: {error}.") from None
                device.save(update_fields=["encrypted_secret"])
            done += 1
        self.stdout.write(f"{done} encrypted anew.")
