"""Both doors behind one port: `granian --interface asgi portal.asgi:application`.

The machine door is ASGI, without Django in the path of its requests; the pages are Django's WSGI
behind a bridge of threads, which is twice as fast as Django's own ASGI (docs/decisions/).
"""

import asyncio
import string
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast
from urllib.parse import quote

from a2wsgi import WSGIMiddleware
from django.conf import settings
from django.http import parse_cookie
from django.urls import get_resolver

from accounts.known_browsers import read_known
from apikeys.edge.app import Door
from apikeys.edge.guard import Guard
from apikeys.edge.routes import belongs_to_door
from examples.feed.feed import Feed
from portal.lib.env import env_bool, env_int
from portal.lib.garbage import settle
from portal.lib.http import CAME_TOO_SLOWLY
from portal.lib.turnstile import CAME_TOO_OFTEN, Turnstile
from portal.wsgi import application as pages_wsgi

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# How long a page's thread may go on while the machine door waits for its turn: Python's own 5 ms,
# several times a call, would be most of what a call takes.
sys.setswitchinterval(0.0005)
_LOADED = get_resolver().url_patterns
settle()

PAGE_THREADS = env_int("PAGE_THREADS", 8, least=1)
pages: Any = WSGIMiddleware(cast(Any, pages_wsgi), workers=PAGE_THREADS)

# Whoever signs in takes a fifth of a second of a core, and may be anybody. So strangers have an
# eighth of the pages' threads between them, browsers that have signed in before a quarter, and the
# rest is left for those who are in, however many knock. With two threads for strangers a flood of
# wrong passwords more than doubled the slowest calls at the machine door (benchmarks/login_flood).
ENTRANCE = ("/client/login", "/client/invite/")
ENTRANCE_SECONDS = 3
strangers = Turnstile(max(1, PAGE_THREADS // 8), ENTRANCE_SECONDS)
known_browsers = Turnstile(max(1, PAGE_THREADS // 4), ENTRANCE_SECONDS)

# Of which a known browser's is one; ours are a few hundred. Servers take 400 kB, and to read those
# here would hold up the machine door for a tenth of a second.
COOKIE_BYTES = 16 * 1024

BODY_BYTES = 1024 * 1024  # the largest form; the pages answer 413 above it
BODY_SECONDS = 15


machine_door = Door()

# The sample feed, in the place where the real one stands; both ask one gate.
guarded_feed = (
    Guard(Feed(), gate=machine_door.gate) if env_bool("EXAMPLE_FEED", default=False) else None
)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Calls to the feed, WebSockets and the life of the process go to the machine door."""
    if scope["type"] != "http" or belongs_to_door(scope.get("raw_path") or b""):
        await _call_machines(scope, receive, send)
        return
    try:
        body = await _read_body(receive)
    except TimeoutError:
        scope, body = {**scope, CAME_TOO_SLOWLY: True}, b""
    if body is None:
        return
    scope = _for_wsgi(scope, len(body))
    if scope["method"] != "POST" or not scope["path"].startswith(ENTRANCE):
        await pages(scope, _replay(body), send)
        return
    async with _turnstile(scope).turn() as is_ours:
        await pages({**scope, CAME_TOO_OFTEN: not is_ours}, _replay(body), send)


async def _call_machines(scope: Scope, receive: Receive, send: Send) -> None:
    is_common = (scope.get("raw_path") or b"").startswith(b"/v1/")
    if guarded_feed is None or is_common:
        await machine_door(scope, receive, send)
    else:
        await guarded_feed(scope, receive, send)


def _turnstile(scope: Scope) -> Turnstile:
    cookies = b"; ".join(value for name, value in scope["headers"] if name == b"cookie")
    if len(cookies) > COOKIE_BYTES:
        return strangers
    named = parse_cookie(cookies.decode("latin-1")).get(settings.KNOWN_BROWSER_COOKIE_NAME, "")
    return known_browsers if named and read_known(named) else strangers


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body, or a little more than BODY_BYTES of it; None if its sender has gone.

    TimeoutError if it has not come after BODY_SECONDS.
    Read here and not in a page's thread: a slow sender would hold one of the few there are.
    """
    body = bytearray()
    async with asyncio.timeout(BODY_SECONDS):
        while len(body) <= BODY_BYTES:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
    return bytes(body)


def _replay(body: bytes) -> Receive:
    """A `receive` that hands out a body that was read already."""

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _for_wsgi(scope: Scope, length: int) -> Scope:
    """Only what WSGI can tell apart, and the body's true length, sent in chunks or not.

    `X_Forwarded_For` would be read as `X-Forwarded-For`; a query with raw bytes is no query.
    """
    headers = [
        (name, value)
        for name, value in scope["headers"]
        if b"_" not in name and name != b"content-length"
    ]
    headers.append((b"content-length", str(length).encode()))
    query = quote(scope["query_string"], safe=string.punctuation).encode("ascii")
    return {**scope, "headers": headers, "query_string": query}
