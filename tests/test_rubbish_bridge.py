"""Rubbish through the bridge from ASGI to the pages: bodies, bytes and headers of any kind.

Security promises 9 and 45. What reaches the pages themselves: tests/test_rubbish.py.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connections

from accounts.models import AuditEvent
from portal.asgi import application

pytestmark = pytest.mark.usefixtures("committed_db")

FORM = (b"content-type", b"application/x-www-form-urlencoded")
Header = tuple[bytes, bytes]
SERVER = {
    "http_version": "1.1",
    "client": ("203.0.113.7", 4711),
    "server": ("localhost", 8000),
    "scheme": "http",
}


def send(*asked: dict[str, Any]) -> list[tuple[int, bytes]]:
    """Status and body of each answer, from one loop, as one server has it."""

    async def work() -> list[tuple[int, bytes]]:
        return [await _call(**each) for each in asked]

    return asyncio.run(work())


async def _call(
    path: str = "/client/login",
    *,
    method: str = "POST",
    headers: Sequence[Header] = (),
    chunks: Sequence[bytes] = (b"",),
    query: bytes = b"",
    peer: str = "203.0.113.7",
) -> tuple[int, bytes]:
    waiting = list(chunks)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        if not waiting:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    async def collect(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode("utf-8"),
        "query_string": query,
        "headers": [(b"host", b"localhost"), *headers],
        **SERVER,
        "client": (peer, 4711),
    }
    await application(scope, receive, collect)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    assert b"Traceback" not in body
    return sent[0]["status"], body


def statuses(*asked: dict[str, Any]) -> list[int]:
    """The statuses alone."""
    return [status for status, _ in send(*asked)]


def test_ten_megabytes_are_refused_whatever_their_length_is_said_to_be() -> None:
    """Said rightly, wrongly, or not at all because they come in chunks."""
    chunks = [b"username=" + b"a" * 65_536] * 160
    lengths: list[list[Header]] = [
        [(b"content-length", str(sum(map(len, chunks))).encode())],
        [(b"content-length", b"10")],
        [(b"content-length", b"-1"), (b"content-length", b"rubbish")],
        [(b"transfer-encoding", b"chunked")],
    ]
    asked = [{"chunks": chunks, "headers": [FORM, *length]} for length in lengths]
    assert statuses(*asked) == [413] * len(asked)


def test_a_form_in_chunks_is_read_whole() -> None:
    """And one that is said to be longer than it is, is not waited for."""
    chunks = [b"username=nobo", b"dy&pass", b"word=x"]
    taken = {"chunks": chunks, "headers": [FORM, (b"content-length", b"999")]}
    # No CSRF token: refused by the check that reads the body.
    assert statuses(taken) == [403]


def test_a_body_that_stops_coming_is_a_408(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sent the beginning is still there, and is told."""
    monkeypatch.setattr("portal.asgi.BODY_SECONDS", 0.1)

    async def stalled() -> list[Any]:
        sent: list[Any] = []
        begun = [{"type": "http.request", "body": b"username=", "more_body": True}]

        async def receive() -> dict[str, Any]:
            return begun.pop() if begun else await asyncio.Event().wait() or {}

        async def collect(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/client/login", "query_string": b""}
        headers = [(b"host", b"localhost"), FORM, (b"content-length", b"300")]
        await application(scope | {"headers": headers, **SERVER}, receive, collect)
        return sent

    (start, *_) = asyncio.run(stalled())
    assert start["status"] == 408
    assert b"content-security-policy" in {name.lower() for name, _ in start["headers"]}


def test_a_body_whose_sender_has_gone_is_answered_by_nobody() -> None:

    async def gone() -> list[Any]:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        async def collect(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/client/login", "headers": []}
        await application(scope | {"query_string": b""}, receive, collect)
        return sent

    assert asyncio.run(gone()) == []


def test_bytes_that_mean_nothing_are_refused_or_harmless() -> None:
    """Queries, paths, headers and methods that no browser sends."""
    cookie = (b"cookie", b"portal_session=\xff\xfe; portal_csrf=\x80; a=b=c; ;=")
    asked: list[dict[str, Any]] = [
        {"method": "GET", "query": bytes(range(1, 256))},
        {"method": "GET", "query": b"\xff\xfe=%zz&next=%00&" + b"a" * 9_000},
        {"method": "GET", "path": "/client/\x00"},
        {"method": "GET", "path": "/client/\ufffd\ufffd/../%00"},
        {"method": "GET", "path": "/" + "я" * 3_000},
        {"method": "GET", "path": "//client//login"},
        {"method": "GET", "path": "client"},
        {"method": "GET", "headers": [cookie, cookie]},
        {"method": "GET", "headers": [(b"host", b"evil.example")]},
        {"method": "GET", "headers": [(b"accept-language", bytes(range(128, 256)))] * 50},
        {"method": "GET", "headers": [(b"x" * 9_000, b"y" * 9_000)]},
        {"method": "GET", "headers": [(b"content-type", b"\xff"), FORM, FORM]},
        {"headers": [FORM, (b"content-type", b"text/plain; charset=utf-16"), cookie]},
        {"headers": [(b"content-type", FORM[1] + b"; charset=utf-7"), cookie], "chunks": [b"+A"]},
        {"headers": [FORM, cookie], "chunks": [bytes(range(256)) * 8]},
        {"method": "TRACE"},
        {"method": "get"},
        {"method": "ПОСТ"},
        {"method": "CONNECT", "path": "example.com:443"},
    ]
    found = statuses(*asked)
    assert set(found) <= {200, 302, 400, 403, 404, 405, 415}, found


def test_an_underscore_makes_no_forwarded_address(settings: LazySettings) -> None:
    """Behind a proxy, too, the audit trail has the address that the proxy wrote."""
    settings.TRUSTED_PROXIES = 1
    token = b"a" * 32
    cookie = (b"cookie", b"portal_csrf=" + token)
    body = b"username=nobody&password=x&csrfmiddlewaretoken=" + token
    forged = (b"X_Forwarded_For", b"198.51.100.66")
    right = (b"x-forwarded-for", b"198.51.100.66, 192.0.2.1")
    for headers in ([forged, right], [right, forged], [forged]):
        assert statuses({"headers": [FORM, cookie, *headers], "chunks": [body]}) == [200]
    addresses = AuditEvent.objects.order_by("pk").values_list("address", flat=True)
    assert list(addresses) == ["192.0.2.1", "192.0.2.1", "203.0.113.7"]
    connections.close_all()
