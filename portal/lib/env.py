"""Settings from the environment, read in one way, failing loudly and by name.

Nothing here knows Django: the machine door reads its settings with the same functions.
"""

import os
from urllib.parse import parse_qsl, unquote, urlsplit


class SettingError(ValueError):
    """A setting is missing or cannot be read. The message names it and says what it should be."""


def env_str(name: str, default: str | None = None) -> str:
    """The variable's text; without a default, a missing or empty one is an error."""
    value = os.environ.get(name, "")
    if value:
        return value
    if default is None:
        raise SettingError(f"{name} is not set.")
    return default


def env_bool(name: str, *, default: bool) -> bool:
    """1, true, yes, on and 0, false, no, off; anything else is an error, never a guess."""
    value = os.environ.get(name, "").strip().lower()
    if not value:
        return default
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise SettingError(f"{name} is {value!r}; it should be 1 or 0.")


def env_int(name: str, default: int, *, least: int = 0) -> int:
    """A whole number of at least `least`."""
    value = os.environ.get(name, "").strip()
    if not value:
        return default
    try:
        number = int(value)
    except ValueError:
        raise SettingError(f"{name} is {value!r}; it should be a whole number.") from None
    if number < least:
        raise SettingError(f"{name} is {number}; it should be at least {least}.")
    return number


def env_list(name: str, default: str = "") -> list[str]:
    """Comma-separated entries, blanks dropped."""
    return [entry.strip() for entry in os.environ.get(name, default).split(",") if entry.strip()]


def is_development() -> bool:
    """`bin/run` says PORTAL_ENV=development; anything else is production, and strict."""
    return os.environ.get("PORTAL_ENV", "") == "development"


def trusted_proxies() -> int:
    """How many proxies of ours stand before this process (see `portal.lib.address`)."""
    return env_int("TRUSTED_PROXIES", 0)


def database_parts(url: str) -> dict[str, str]:
    """libpq's keywords out of a `postgresql://` address.

    Sockets are written as libpq writes them: `postgresql://user:secret@/name?host=%2Fsome%2Ffolder`.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise SettingError("DATABASE_URL should begin with postgresql://.")
    try:
        port = str(parts.port or "")
    except ValueError:
        raise SettingError("DATABASE_URL has a port that is no number.") from None
    found = {
        "host": unquote(parts.hostname or ""),
        "port": port,
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "dbname": unquote(parts.path.lstrip("/")),
        **dict(parse_qsl(parts.query)),
    }
    return {keyword: value for keyword, value in found.items() if value}
