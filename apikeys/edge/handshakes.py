"""A WebSocket that is not opened: with a status and a body, as any call is refused."""

from contextlib import suppress

from apikeys.edge.answers import Answer
from apikeys.edge.calls import Scope
from apikeys.edge.sockets import Receive, Send


async def refuse_handshake(answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
    """The answer, where the server can send one; else a close, which servers make a 403.

    That a client has gone meanwhile is nobody's concern: it takes no key to do that, and a server
    would write a traceback each time. ASGI has OSError for it, Granian raises RuntimeError.
    """
    await receive()
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close"})
        return
    start = {"status": answer.status, "headers": answer.headers}
    with suppress(OSError, RuntimeError):
        await send({"type": "websocket.http.response.start", **start})
        await send({"type": "websocket.http.response.body", "body": answer.body})
