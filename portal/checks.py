"""Settings that are unsafe or contradict each other, by name.

System checks for `bin/manage check`; the servers ask the same function before they start, since no
server runs Django's checks by itself.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured

from portal.lib.crypto import FieldCipher
from portal.lib.env import env_bool, env_int


@register()
def settings_are_safe(
    app_configs: Sequence[AppConfig] | None = None, **_: Any
) -> list[CheckMessage]:
    """Errors E001 … for what must not run; warnings W001 … for what one should know."""
    found: list[CheckMessage] = list(_field_keys())
    if not settings.DEVELOPMENT:
        found += _unsafe_in_production()
    if settings.DATABASE_URL and settings.DATABASE_OWNER_URL == settings.DATABASE_URL:
        found.append(
            Warning(
                "DATABASE_OWNER_URL is not set: one database role owns the tables and runs the "
                "application, so only triggers keep the audit trail append-only.",
                hint="See docs/operations.md, “Two database roles”.",
                id="portal.W001",
            )
        )
    return found


def refuse_unsafe_settings() -> None:
    """ImproperlyConfigured naming every unsafe setting: what the servers ask before they start."""
    errors = [message for message in settings_are_safe() if message.level >= 40]
    if errors:
        raise ImproperlyConfigured("; ".join(f"{error.id}: {error.msg}" for error in errors))


def _field_keys() -> list[CheckMessage]:
    try:
        FieldCipher(settings.FIELD_KEYS)
    except ValueError:
        return [
            Error(
                "FIELD_KEYS should be one or more Fernet keys, newest first, comma-separated.",
                id="portal.E001",
            )
        ]
    return []


def _unsafe_in_production() -> list[CheckMessage]:
    base = urlsplit(settings.PORTAL_BASE_URL)
    rules = [
        (
            len(settings.SECRET_KEY) < 50 or len(set(settings.SECRET_KEY)) < 10,
            "SECRET_KEY should be at least 50 random characters.",
            "portal.E002",
        ),
        (
            base.scheme != "https" or not base.hostname,
            "PORTAL_BASE_URL should begin with https://.",
            "portal.E003",
        ),
        (
            not settings.EMAIL_URL,
            "EMAIL_URL is not set: invitations would be written to files and read by nobody.",
            "portal.E004",
        ),
        (
            not env_bool("RATELIMIT_ENABLE", default=True),
            "RATELIMIT_ENABLE=0 is for load tests in development.",
            "portal.E005",
        ),
        ("*" in settings.ALLOWED_HOSTS, "ALLOWED_HOSTS should not be *.", "portal.E006"),
        (
            env_int("PORTAL_CLOCK_OFFSET", 0) != 0,
            "PORTAL_CLOCK_OFFSET is for trials in development.",
            "portal.E008",
        ),
        (bool(settings.DEBUG), "DEBUG should be off.", "portal.E007"),
    ]
    return [Error(message, id=code) for is_broken, message, code in rules if is_broken]
