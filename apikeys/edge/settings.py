"""What the machine door must be told, read from the environment once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from apikeys.edge.workers import refuse_workers_apart
from portal.lib.env import database_parts, env_int, env_str, trusted_proxies


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """database: libpq's keywords, a password among them. trusted_proxies: portal.lib.address.

    directory_keys: how many keys are remembered, each in 250 to 450 bytes, fewer where many have
    long allowlists; with 0 every call asks Postgres. outage_grace_seconds: for how long of an
    outage what is remembered is believed when Postgres cannot be asked; what that risks is in
    docs/operations.md. redis_url: where several processes count together how often each key
    calls; without it each counts for itself.
    """

    database: Mapping[str, str] = field(repr=False)
    trusted_proxies: int = 0
    directory_keys: int = 0
    outage_grace_seconds: int = 0
    redis_url: str = field(default="", repr=False)


def edge_settings() -> EdgeSettings:
    """From the environment; SettingError names what is missing or wrong, or cannot go together."""
    redis_url = env_str("REDIS_URL", "")
    refuse_workers_apart(redis_url)
    return EdgeSettings(
        database=database_parts(env_str("DATABASE_URL")),
        trusted_proxies=trusted_proxies(),
        directory_keys=env_int("EDGE_DIRECTORY_KEYS", 1_000_000),
        outage_grace_seconds=env_int("EDGE_OUTAGE_GRACE_SECONDS", 0),
        redis_url=redis_url,
    )
