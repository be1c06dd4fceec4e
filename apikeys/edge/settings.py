"""What the machine door must be told, read from the environment once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from portal.lib.env import database_parts, env_str, trusted_proxies


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """database: libpq's keywords, a password among them. trusted_proxies: portal.lib.address."""

    database: Mapping[str, str] = field(repr=False)
    trusted_proxies: int = 0


def edge_settings() -> EdgeSettings:
    """From DATABASE_URL and TRUSTED_PROXIES; SettingError names what is missing or wrong."""
    return EdgeSettings(
        database=database_parts(env_str("DATABASE_URL")),
        trusted_proxies=trusted_proxies(),
    )
