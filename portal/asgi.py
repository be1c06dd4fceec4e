"""Both doors behind one port: `granian --interface asgi portal.asgi:application`.

The machine door is ASGI, without Django in the path of its requests; the pages are Django's WSGI
behind a bridge of threads, which is twice as fast as Django's own ASGI (docs/decisions/).
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from a2wsgi import WSGIMiddleware

from apikeys.edge.app import application as machine_door
from apikeys.edge.routes import belongs_to_door
from portal.lib.env import env_int
from portal.wsgi import application as pages_wsgi

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

pages: Any = WSGIMiddleware(pages_wsgi, workers=env_int("PAGE_THREADS", 8, least=1))


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Calls to the feed, WebSockets and the life of the process go to the machine door."""
    if scope["type"] != "http" or belongs_to_door(scope.get("raw_path") or b""):
        await machine_door(scope, receive, send)
        return
    await pages(_without_underscores(scope), receive, send)


def _without_underscores(scope: Scope) -> Scope:
    """WSGI cannot tell `X_Forwarded_For` from `X-Forwarded-For`: only the real one passes."""
    headers = [(name, value) for name, value in scope["headers"] if b"_" not in name]
    return {**scope, "headers": headers}
