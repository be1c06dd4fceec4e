"""The settings with everything that logs at its loudest: what a log could hold at the worst."""

from typing import Any

from portal import settings as _portal
from portal.settings import *  # noqa: F403

_names = ["django.db.backends", "psycopg", "psycopg.pool", "asyncio"]
_logging = _portal.LOGGING
LOGGING: dict[str, Any] = {
    **_logging,
    "root": {"handlers": ["stderr"], "level": "DEBUG"},
    "loggers": {
        **{name: {"level": "DEBUG"} for name in [*_logging["loggers"], *_names]},
        # The one logger that the settings hold down on purpose.
        "django.template": _logging["loggers"]["django.template"],
    },
}
