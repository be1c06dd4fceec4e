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

from apikeys.edge.workers import refuse_workers_apart
from portal.lib.crypto import FieldCipher
from portal.lib.env import SettingError, env_bool, env_int


@register()
def settings_are_safe(
    app_configs: Sequence[AppConfig] | None = None, **_: Any
) -> list[CheckMessage]:
    """Errors E001 … for what must not run; warnings W001 … for what one should know."""
    found: list[CheckMessage] = [*_field_keys(), *_broker(), *_machine_door()]
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


def _broker() -> list[CheckMessage]:
    """The broker's address is written in full: a guess would be tried with every click of staff."""
    parts = urlsplit(settings.RABBITMQ_MANAGEMENT_URL)
    try:
        has_place = bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is no number
        has_place = False
    is_whole = parts.scheme in {"http", "https"} and has_place and parts.username
    if settings.RABBITMQ_MANAGEMENT_URL and not is_whole:
        return [
            Error(
                "RABBITMQ_MANAGEMENT_URL should be https://user:password@host:15671 "
                "(or http://), the two percent-encoded.",
                id="portal.E009",
            )
        ]
    return []


def _machine_door() -> list[CheckMessage]:
    """What the door refuses by itself, or what does nothing, told before it is started."""
    found: list[CheckMessage] = []
    scheme = urlsplit(settings.REDIS_URL).scheme
    if settings.REDIS_URL and scheme not in {"redis", "rediss", "unix"}:
        message = "REDIS_URL should begin with redis://, rediss:// or unix://."
        found.append(Error(message, id="portal.E012"))
    try:
        refuse_workers_apart(settings.REDIS_URL)
    except SettingError as error:
        hint = "The pages may have as many workers as they like; the machine door will not start."
        found.append(Warning(str(error), hint=hint, id="portal.W002"))
    if env_int("EDGE_OUTAGE_GRACE_SECONDS", 0) and not env_int("EDGE_DIRECTORY_KEYS", 1):
        message = (
            "EDGE_OUTAGE_GRACE_SECONDS does nothing with EDGE_DIRECTORY_KEYS=0: nothing is "
            "remembered that could be believed in an outage."
        )
        found.append(Warning(message, id="portal.W003"))
    return found


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
        (
            env_bool("EXAMPLE_FEED", default=False),
            "EXAMPLE_FEED=1 would sell odds that are made up.",
            "portal.E011",
        ),
    ]
    return [Error(message, id=code) for is_broken, message, code in rules if is_broken]
