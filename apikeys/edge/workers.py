"""How many processes the server was told to answer with, as far as one of them can tell."""

import os
import re
import sys
from collections.abc import Mapping, Sequence

from portal.lib.env import SettingError

# Of Granian, Uvicorn, Hypercorn and Gunicorn; what follows may be the next word.
_OPTION = re.compile(r"--workers(?:=(?P<long>.*))?|-w=?(?P<short>.*)", re.DOTALL)
VARIABLES = ("GRANIAN_WORKERS", "WEB_CONCURRENCY")


def told_workers(
    arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None
) -> int:
    """The server's own option or variable; 1 where nothing is said, or nothing readable.

    Of an option that is given again the last counts. Its workers have the same command line as it
    has, whether they were forked or spawned.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    environment = os.environ if environment is None else environment
    told = [environment[name] for name in reversed(VARIABLES) if environment.get(name)]
    for argument, following in zip(arguments, [*arguments, ""][1:], strict=True):
        if option := _OPTION.fullmatch(argument):
            told.append(option["long"] or option["short"] or following)
    return _number(told[-1]) if told else 1


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
    """As the servers read it, blanks and all."""
    try:
        return int(text)
    except ValueError:
        return 1
