"""The machine door's verdicts in front of a feed service written in Python.

    from apikeys.edge.guard import Guard
    application = Guard(feed)

The feed is an ASGI application of any kind. It meets nobody whom the table of answers refuses, and
sees no key; `scope["tenant"]` tells it who calls (`apikeys.edge.tenant`), and so does
`scope["state"]["tenant"]`, which is a framework's `request.state.tenant`.
"""

import logging
from dataclasses import dataclass
from time import monotonic

from apikeys.edge.answers import new_request_id, refusal
from apikeys.edge.calls import Scope, read_call
from apikeys.edge.disguise import carrying, disguised
from apikeys.edge.feed_life import live
from apikeys.edge.formats import Format
from apikeys.edge.gate import Decision, Gate
from apikeys.edge.handshakes import refuse_handshake
from apikeys.edge.held import Held
from apikeys.edge.judging import judge
from apikeys.edge.markets import Switched
from apikeys.edge.sockets import Application, Receive, Send, serve
from apikeys.edge.streams import End
from apikeys.edge.tenant import Tenant
from apikeys.refusals import TOO_MANY_STREAMS, UNAVAILABLE
from apikeys.verdict import Call

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Once:
    """How the caller stands in the moment of its call."""

    record: Held
    switched: Switched


@dataclass(frozen=True, slots=True)
class _Visit:
    """What somebody asked for, and what the gate said. standing: of those who may go on."""

    request_id: str
    decision: Decision
    chosen: Format = Format.JSON
    call: Call | None = None
    standing: _Once | None = None


class Guard:
    """An ASGI application that lets calls through to another, and closes what may not go on."""

    def __init__(self, feed: Application, *, gate: Gate | None = None) -> None:
        """gate: the process's own, if it has one already (`Door.gate`); else one is made."""
        self._feed = feed
        self._gate = gate or Gate()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        if scope["type"] == "lifespan":
            await live(self._gate, self._feed, scope, receive, send)
            return
        request_id = new_request_id()
        try:
            visit = await self._judge(scope, request_id)
        except Exception:  # whatever it is, nobody gets in by it
            _log.exception("The guard failed on request %s", request_id)
            visit = _Visit(request_id, Decision(UNAVAILABLE, None))
        if scope["type"] == "websocket":
            await self._open(visit, scope, receive, send)
        else:
            await self._pass_on(visit, scope, receive, send)

    async def _judge(self, scope: Scope, request_id: str) -> _Visit:
        latency = self._gate.latency
        began_at = monotonic() if scope["type"] == "http" and latency.is_due() else 0.0
        reading = read_call(scope, self._gate.trusted_proxies)
        decision, switched = await judge(self._gate, reading.call, request_id)
        if began_at:
            latency.calls.add(monotonic() - began_at)
        chosen = reading.chosen or Format.JSON
        if decision.record is None or switched is None:
            return _Visit(request_id, decision, chosen)
        standing = _Once(decision.record, switched)
        return _Visit(request_id, decision, chosen, reading.call, standing)

    async def _pass_on(self, visit: _Visit, scope: Scope, receive: Receive, send: Send) -> None:
        headers = visit.decision.headers
        if visit.standing is None:
            answer = refusal(visit.decision.verdict, visit.chosen, visit.request_id, headers)
            body = b"" if scope["method"] == "HEAD" else answer.body
            start = {"status": answer.status, "headers": answer.headers}
            await send({"type": "http.response.start", **start})
            await send({"type": "http.response.body", "body": body})
            return
        seen = disguised(scope, Tenant(visit.standing), visit.chosen, visit.request_id)
        await self._feed(seen, receive, carrying(send, visit.request_id, headers))

    async def _open(self, visit: _Visit, scope: Scope, receive: Receive, send: Send) -> None:
        refused, stream = visit.decision.verdict, None
        streams = self._gate.streams  # also when it is closed meanwhile
        if visit.call is not None and visit.standing is not None:
            record, switched = visit.standing.record, visit.standing.switched
            refused = TOO_MANY_STREAMS
            try:
                stream = await streams.admit(visit.call, record, switched)
            except Exception:  # likewise
                _log.exception("The guard failed on request %s", visit.request_id)
                refused = UNAVAILABLE
            if stream is None:
                self._gate.refuse_after_all(visit.call, visit.decision, refused)
        if stream is None:
            answer = refusal(refused, visit.chosen, visit.request_id)
            await refuse_handshake(answer, scope, receive, send)
            return
        call, decision = stream.call, visit.decision

        async def refuse(end: End, receive: Receive) -> None:
            self._gate.refuse_after_all(call, decision, end.verdict)
            answer = refusal(end.verdict, visit.chosen, visit.request_id)
            await refuse_handshake(answer, scope, receive, send)

        seen = disguised(scope, Tenant(stream), visit.chosen, visit.request_id)
        told = carrying(send, visit.request_id)
        try:
            await serve(self._feed, seen, receive, told, stream, refuse)
        finally:
            await streams.leave(stream)
