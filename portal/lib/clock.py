"""What time it is, from one place, so that a test can move it.

Every decision that depends on the time asks here; none asks the database or the system itself.
"""

import datetime as dt
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_offset = dt.timedelta()


def now() -> dt.datetime:
    """The present moment, aware, in UTC."""
    return dt.datetime.now(dt.UTC) + _offset


def move(by: dt.timedelta) -> None:
    """Shift this process's clock: for tests alone. Nothing in the product calls it."""
    global _offset  # noqa: PLW0603 - one clock a process is the point
    _offset += by


def reset() -> None:
    """Back to the system's time."""
    global _offset  # noqa: PLW0603
    _offset = dt.timedelta()


def zone(name: str) -> ZoneInfo:
    """The IANA zone of that name; UTC where the name is not known."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")
