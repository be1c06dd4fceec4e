"""How many processes the server was told to answer with, as far as one of them can tell."""

import os
import sys
from collections.abc import Mapping, Sequence

from portal.lib.env import SettingError

OPTIONS = ("--workers", "-w")  # of Granian, Uvicorn, Hypercorn and Gunicorn
VARIABLES = ("GRANIAN_WORKERS", "WEB_CONCURRENCY")


def told_workers(
    arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None
) -> int:
    """The server's own option or variable; 1 where nothing is said, or nothing readable.

    Its workers have the same command line as it has, whether they were forked or spawned.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    environment = os.environ if environment is None else environment
    for place, argument in enumerate(arguments):
        name, is_whole, value = argument.partition("=")
        if name in OPTIONS:
            following = arguments[place + 1 : place + 2]
            return _number(value if is_whole else "".join(following))
    return next((_number(environment[name]) for name in VARIABLES if environment.get(name)), 1)


def refuse_workers_apart(redis_url: str) -> None:
    """SettingError for several workers that could not count together: each would let in all."""
    workers = told_workers()
    if workers > 1 and not redis_url:
        raise SettingError(
            f"The server was told to start {workers} workers, and REDIS_URL is not set: each would "
            "count calls for itself, and a key could make so many times its limit. "
            "Set REDIS_URL, or start one worker."
        )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 1
