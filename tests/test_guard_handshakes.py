"""Handshakes that a guard has let in, and that the feed has not accepted yet."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import Tenant
from apikeys.edge.gate import Gate
from apikeys.edge.guard import Guard
from apikeys.edge.streams import UNSURE, Stream
from apikeys.refusals import KEY_REVOKED
from tests.conftest import MakeKey
from tests.door import opened, run
from tests.usage import calls_of

pytestmark = pytest.mark.usefixtures("door_beside")


@pytest.mark.parametrize(
    ("end", "expected", "outcome"),
    [
        (lambda stream: stream.end_by(KEY_REVOKED), (403, "key_revoked"), "key_revoked"),
        (lambda stream: stream.end(UNSURE, "unavailable"), (503, "unavailable"), "unavailable"),
    ],
    ids=["revoked", "in doubt"],
)
@pytest.mark.parametrize("has_heard", [True, False])
def test_a_handshake_whose_key_dies_before_the_feed_accepts_is_refused_as_any_other(
    acme: Tenant,
    make_key: MakeKey,
    end: Callable[[Stream], None],
    expected: tuple[int, str],
    outcome: str,
    has_heard: bool,
) -> None:
    """And counted as that. The feed finds the WebSocket closed."""
    key, secret = make_key(acme)
    gate = Gate()
    sent: list[Any] = []
    found: list[Any] = []

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            if has_heard:
                assert (await receive())["type"] == "websocket.connect"
            for stream in gate.streams._open:
                end(stream)
            while not has_heard and not sent:  # it looks for nobody until that has happened
                await asyncio.sleep(0.001)
            found.append((await receive())["type"])
            with pytest.raises(OSError, match="closed"):
                await send({"type": "websocket.accept"})

    async def work() -> None:
        async with opened(Guard(slow, gate=gate)):
            await handshake(Guard(slow, gate=gate), secret, sent)

    run(work)
    assert [message["type"].rpartition(".")[2] for message in sent] == ["start", "body"]
    assert (sent[0]["status"], json.loads(sent[1]["body"])["code"]) == expected
    assert found == ["websocket.disconnect"]
    assert calls_of(key) == {outcome: 1}


def test_a_handshake_that_is_under_way_when_the_process_ends_is_refused_too(
    acme: Tenant, make_key: MakeKey
) -> None:
    """503: somebody else may open it. And nothing is opened anew by that."""
    _, secret = make_key(acme)
    gate = Gate()
    sent: list[Any] = []

    async def never(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "websocket.disconnect":
            pass

    async def work() -> None:
        await gate.warm_up()
        opening = asyncio.ensure_future(handshake(Guard(never, gate=gate), secret, sent))
        while not len(gate.streams):
            await asyncio.sleep(0.001)
        await gate.close()
        await opening

    run(work)
    assert sent[0]["status"] == 503 and gate._parts is None


async def handshake(guard: Guard, secret: str, sent: list[Any]) -> None:
    """Of a client that stays. sent: what the server is given."""
    events = iter([{"type": "websocket.connect"}])

    async def receive() -> Any:
        for event in events:
            return event
        return await asyncio.Future()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "raw_path": b"/cs2/v1/stream",
        "path": "/cs2/v1/stream",
        "query_string": f"api_key={secret}".encode(),
        "headers": [],
        "client": ("203.0.113.7", 1),
        "extensions": {"websocket.http.response": {}},
    }
    await guard(scope, receive, send)
