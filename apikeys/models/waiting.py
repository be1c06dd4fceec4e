"""What of a key's use waits to be merged, as a part of queries about keys."""

from typing import Any

from django.db import models

from apikeys.waiting import PLACE, WAITING

_KEY = "%(expressions)s"
_USED_AT = f"waiting.used_at[{PLACE.format(key=_KEY)}]"
_ADDRESS = f"host(waiting.addresses[{PLACE.format(key=_KEY)}])"
_FOUND = f"FROM {WAITING.format(key=_KEY)} AND {_USED_AT} > 0"


class WaitingUsedAt(models.Func):
    """When the key was last used, of what waits. It is given the key's id."""

    template = f"(SELECT to_timestamp(max({_USED_AT}) / 1000.0) {_FOUND})"
    output_field: Any = models.DateTimeField()


class WaitingLastUse(models.Func):
    """The same with the address: [milliseconds since 1970, address or None]; None if there is none.

    It is given the key's id.
    """

    template = (
        f"(SELECT jsonb_build_array({_USED_AT}, {_ADDRESS}) {_FOUND} "
        f"ORDER BY {_USED_AT} DESC LIMIT 1)"
    )
    output_field: Any = models.JSONField()
