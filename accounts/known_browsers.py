"""The cookie by which a browser that has signed in before is known. It opens nothing by itself."""

from django.core import signing

LIFETIME_SECONDS = 365 * 24 * 60 * 60
_SALT = "known browser"


def read_known(cookie: str) -> dict[str, str]:
    """The browser's name for each user who has signed in with it; empty unless we signed it."""
    try:
        known: dict[str, str] = signing.loads(cookie, salt=_SALT, max_age=LIFETIME_SECONDS)
    except signing.BadSignature:
        return {}
    return known


def write_known(known: dict[str, str]) -> str:
    """The cookie that says so."""
    return signing.dumps(known, salt=_SALT)
