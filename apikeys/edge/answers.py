"""Answers as they go out: status, headers, body; nothing of a caller's is among them unescaped."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from apikeys.edge.formats import Format, Value, render
from apikeys.verdict import Verdict

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent; on HEAD without the body, but with its length."""

    status: int
    headers: Headers
    body: bytes


def content(value: Mapping[str, Value], chosen: Format | None, request_id: str) -> Answer:
    """200 with the value."""
    chosen = chosen or Format.JSON
    return _answer(200, render(value, chosen), chosen.content_type, request_id)


def refusal(verdict: Verdict, chosen: Format | None, request_id: str) -> Answer:
    """A refused verdict, in the format the client prefers; JSON where it accepts none of ours."""
    chosen = chosen or Format.JSON
    body = render(
        {"detail": verdict.detail, "code": verdict.code, "request_id": request_id},
        chosen,
        root="error",
    )
    return _answer(verdict.status, body, chosen.content_type, request_id, verdict.headers)


def plain(status: int, word: str, request_id: str) -> Answer:
    """A word for a load balancer."""
    return _answer(status, word.encode("ascii"), b"text/plain; charset=utf-8", request_id)


def new_request_id() -> str:
    """128 random bits in hex. A client's own id is not taken over: it could be anything."""
    return os.urandom(16).hex()


def _answer(
    status: int,
    body: bytes,
    content_type: bytes,
    request_id: str,
    more: tuple[tuple[bytes, bytes], ...] = (),
) -> Answer:
    headers = [
        (b"content-type", content_type),
        (b"content-length", str(len(body)).encode("ascii")),
        (b"cache-control", b"no-store"),
        (b"vary", b"Accept"),
        (b"x-content-type-options", b"nosniff"),
        (b"x-request-id", request_id.encode("ascii")),
        *more,
    ]
    return Answer(status, headers, body)
