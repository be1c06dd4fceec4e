"""A call as ASGI hands it over, read in one pass over its headers. Its body is never read."""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from apikeys.edge.formats import Format, negotiate
from apikeys.verdict import Call
from portal.lib.address import client_address

Scope = MutableMapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """The call that the verdict is about, and the format of its answer (None: none will do)."""

    call: Call
    chosen: Format | None


def read_call(scope: Scope, trusted_proxies: int) -> Reading:
    """Header names are compared whole: `X_API_KEY` is another header, whatever some make of it."""
    lines: Mapping[bytes, list[str]] = {b"x-api-key": [], b"accept": [], b"x-forwarded-for": []}
    for name, value in scope["headers"]:
        if (found := lines.get(name)) is not None:
            found.append(value.decode("latin-1").strip(" \t"))
    chosen = negotiate(lines[b"accept"])
    peer = scope.get("client")
    call = Call(
        keys=lines[b"x-api-key"],
        address=client_address(
            peer[0] if peer else None, lines[b"x-forwarded-for"], trusted_proxies
        ),
        method=scope["method"],
        path=scope["raw_path"],
        is_format_acceptable=chosen is not None,
    )
    return Reading(call, chosen)
