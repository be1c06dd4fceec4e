"""Answers as they go out: status, headers, body; nothing of a caller's is among them unescaped."""

import os
from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from struct import Struct
from typing import NamedTuple

from apikeys.edge.formats import Format, Value, render
from apikeys.refusals import Verdict

Header = tuple[bytes, bytes]
Headers = Sequence[Header]

_ALWAYS = (
    (b"cache-control", b"no-store"),
    (b"vary", b"Accept"),
    (b"x-content-type-options", b"nosniff"),
)

IDS_DRAWN = 256  # at once: one question to the system for all of them
_ID = Struct("32s")
_identities: list[Header] = []
os.register_at_fork(after_in_child=_identities.clear)


class Answer(NamedTuple):
    """What is sent; on HEAD without the body, but with its length."""

    status: int
    headers: Headers
    body: bytes


def content(
    value: Mapping[str, Value], chosen: Format | None, request_id: str, more: Headers = ()
) -> Answer:
    """200 with the value. more: headers besides those that every answer has."""
    chosen = chosen or Format.JSON
    return rendered(render(value, chosen), chosen, request_id, more)


def lasting_headers(length: int, content_type: bytes) -> Headers:
    """Those that all answers of a length and a type have."""
    return (
        (b"content-type", content_type),
        (b"content-length", b"%d" % length),
        *_ALWAYS,
    )


def rendered(body: bytes, chosen: Format, request_id: str, more: Headers = ()) -> Answer:
    """200 with a value that is in that format already."""
    return _answer(200, body, chosen.content_type, request_id, more)


def refusal(verdict: Verdict, chosen: Format | None, request_id: str, more: Headers = ()) -> Answer:
    """A refused verdict, in the format the client prefers; JSON where it accepts none of ours.

    more: headers besides the verdict's own and those that every answer has.
    """
    chosen = chosen or Format.JSON
    body = render(
        {"detail": verdict.detail, "code": verdict.code, "request_id": request_id},
        chosen,
        root="error",
    )
    return _answer(verdict.status, body, chosen.content_type, request_id, (*verdict.headers, *more))


def plain(status: int, word: str, request_id: str) -> Answer:
    """A word for a load balancer."""
    return _answer(status, word.encode("ascii"), b"text/plain; charset=utf-8", request_id)


def new_request_id() -> str:
    """128 random bits in hex. A client's own id is not taken over: it could be anything."""
    return identity()[1].decode("ascii")


def identity() -> Header:
    """The header with a new one."""
    while True:
        try:
            return _identities.pop()
        except IndexError:
            drawn = os.urandom(16 * IDS_DRAWN).hex().encode("ascii")
            ids = chain.from_iterable(_ID.iter_unpack(drawn))
            _identities.extend(zip(repeat(b"x-request-id"), ids))


def _answer(
    status: int,
    body: bytes,
    content_type: bytes,
    request_id: str,
    more: Headers = (),
) -> Answer:
    named = (b"x-request-id", request_id.encode("ascii"))
    return Answer(status, [*lasting_headers(len(body), content_type), named, *more], body)
