"""A call as ASGI hands it over, read in one pass over its headers. Its body is never read."""

import re
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from apikeys.edge.formats import Format, negotiate
from apikeys.verdict import Call
from portal.lib.address import Address, client_address

Scope = MutableMapping[str, Any]


class Reading(NamedTuple):
    """The call that the verdict is about, and the format of its answer (None: none will do)."""

    call: Call
    chosen: Format | None


def read_call(scope: Scope, trusted_proxies: int) -> Reading:
    """Header names are compared whole: `X_API_KEY` is another header, whatever some make of it."""
    keys: list[str] = []
    accepted: list[str] = []
    forwarded_for: list[str] = []
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            keys.append(value.decode("latin-1").strip(" \t"))
        elif name == b"accept":
            accepted.append(value.decode("latin-1").strip(" \t"))
        elif name == b"x-forwarded-for":
            forwarded_for.append(value.decode("latin-1").strip(" \t"))
    chosen = negotiate(accepted) if accepted else Format.JSON
    wants_stream = scope["type"] == "websocket"
    if wants_stream:
        keys.extend(query_keys(scope["query_string"]))
    client = scope.get("client")
    peer = client[0] if client else None
    address = (
        client_address(peer, forwarded_for, trusted_proxies)
        if trusted_proxies
        else _address_of(peer)
    )
    method = "GET" if wants_stream else scope["method"]
    call = Call(keys, address, method, scope["raw_path"], chosen is not None, wants_stream)
    return Reading(call, chosen)


@lru_cache(maxsize=4096)
def _address_of(peer: str | None) -> Address | None:
    """Of a connection that is no proxy's: the same for all calls that come by it."""
    return client_address(peer, (), 0)


def query_keys(query: bytes) -> list[str]:
    """The values of `api_key` in a query as it came, decoded; where a WebSocket's key may be.

    Found without taking the whole query apart: it may be long, and its sender nobody.
    """
    values = [value.replace(b"+", b" ") for value in _KEY.findall(query)]
    return [unquote_to_bytes(value).decode("latin-1") for value in values]


def _either_way(letter: str) -> str:
    """Itself, or percent-encoded."""
    return f"(?:{letter}|(?i:%{ord(letter):02x}))"


_KEY = re.compile(
    f"(?:\\A|&){''.join(map(_either_way, 'api_key'))}(?:=([^&]*))?(?=&|\\Z)".encode("ascii")
)
