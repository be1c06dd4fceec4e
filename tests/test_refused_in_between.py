"""Between the verdict and the answer something fails: what is told then is also what is counted."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import Tenant
from apikeys.edge import app
from apikeys.edge.app import Door
from apikeys.edge.guard import Guard
from apikeys.edge.internal import Internal
from apikeys.edge.markets import Markets
from apikeys.edge.streams import Streams
from markets.disabled import DISABLED_CODES
from tests.conftest import MakeKey
from tests.door import call, run
from tests.proxies import by_nginx, by_traefik, meant
from tests.test_guard import Mirror
from tests.usage import calls_of, use_of

pytestmark = pytest.mark.usefixtures("door_beside")

MATCHES = "/cs2/v1/matches"
UNAVAILABLE = (503, "unavailable")


async def shake(guard: Guard, secret: str) -> tuple[int, str]:
    """What a handshake is refused with."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "raw_path": b"/cs2/v1/stream",
        "query_string": f"api_key={secret}".encode(),
        "headers": [],
        "extensions": {"websocket.http.response": {}},
    }
    await guard(scope, receive, send)
    start, body = sent
    return start["status"], json.loads(body["body"])["code"]


async def by_door(secret: str) -> tuple[int, str]:
    """whoami."""
    door = Door()
    reply = await call(door, secret)
    await door.close()
    return meant(reply)


async def by_guard(secret: str) -> tuple[int, str]:
    """A feed's path."""
    feed = Mirror()
    guard = Guard(feed)
    reply = await call(guard, secret, path=MATCHES)
    await guard._gate.close()
    assert feed.seen == []
    return meant(reply)


async def by_stream(secret: str) -> tuple[int, str]:
    """A handshake at a feed."""
    guard = Guard(Mirror())
    refused = await shake(guard, secret)
    await guard._gate.close()
    return refused


async def by_proxy(ask: Callable[..., Any], secret: str) -> tuple[int, str]:
    """Forward auth."""
    internal = Internal()
    reply = await call(internal, **ask(MATCHES, secret))
    await internal._gate.close()
    assert "x-tenant-id" not in reply.headers
    return meant(reply)


WAYS: dict[str, Callable[[str], Any]] = {
    "door": by_door,
    "guard": by_guard,
    "stream": by_stream,
    "nginx": lambda secret: by_proxy(by_nginx, secret),
    "traefik": lambda secret: by_proxy(by_traefik, secret),
}


@pytest.mark.parametrize(
    ("way", "broken", "name"),
    [
        ("door", app, "remember"),
        ("guard", Markets, "of"),
        ("stream", Markets, "of"),
        ("stream", Streams, "admit"),
        ("nginx", Markets, "of"),
        ("traefik", Markets, "of"),
    ],
)
def test_an_unexpected_failure_is_counted_as_the_refusal_that_it_is(
    acme: Tenant,
    make_key: MakeKey,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    way: str,
    broken: object,
    name: str,
) -> None:
    """503, and no use of the key; the log has it, without the key."""
    key, secret = make_key(acme)
    monkeypatch.setattr(broken, name, None)
    assert run(lambda: WAYS[way](secret)) == UNAVAILABLE
    assert calls_of(key) == {"unavailable": 1} and use_of(key) is None
    assert "failed on request" in caplog.text and secret not in caplog.text


@pytest.mark.parametrize("way", ["guard", "stream", "nginx", "traefik"])
def test_a_tenant_that_has_just_gone_has_no_keys(
    acme: Tenant, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Its key was read, its switches are not there any more."""
    key, secret = make_key(acme)
    nothing = f"{DISABLED_CODES} AND false"
    monkeypatch.setattr("apikeys.edge.markets.DISABLED_CODES", nothing)
    assert run(lambda: WAYS[way](secret)) == (403, "key_invalid")
    assert calls_of(key) == {"key_invalid": 1} and use_of(key) is None
