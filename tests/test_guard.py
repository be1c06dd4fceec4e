"""The guard before a feed of any kind: what the feed sees, what its answers carry, its life."""

import asyncio
import json
from time import monotonic
from typing import Any
from uuid import UUID

import pytest

from accounts.models import Tenant
from apikeys.edge import reads
from apikeys.edge.app import Door
from apikeys.edge.gate import Gate
from apikeys.edge.guard import Guard
from apikeys.edge.latency import MEASURED
from apikeys.edge.markets import Markets, Switched
from apikeys.edge.settings import EdgeSettings
from tests.conftest import MakeKey
from tests.door import Reply, call, code, lifespan_of, opened, run

pytestmark = pytest.mark.usefixtures("door_beside")

UNKNOWN = "vbk_" + "0" * 24
PATH = "/cs2/v1/matches"


class Mirror:
    """A feed that notes what it was given, and answers with headers of its own."""

    def __init__(self, *headers: tuple[bytes, bytes]) -> None:
        self.headers = headers
        self.seen: list[Any] = []
        self.life: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI 3."""
        if scope["type"] == "lifespan":
            while self.life[-1:] != ["lifespan.shutdown"]:
                self.life.append((await receive())["type"])
                await send({"type": f"{self.life[-1]}.complete"})
            return
        self.seen.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": self.headers})
        await send({"type": "http.response.body", "body": b"mirrored"})


def through(feed: Any, *keys: str, **given: Any) -> Reply:
    """One call of that feed."""

    async def work() -> Reply:
        async with opened(Guard(feed)) as ask:
            return await ask(*keys, **{"path": PATH, **given})

    return run(work)


def test_a_feed_sees_who_calls_and_no_key(acme: Tenant, make_key: MakeKey) -> None:
    """Neither in a header nor, however it is written, in the query."""
    key, secret = make_key(acme)
    feed = Mirror()
    query = f"a=1&api_key={secret}&api%5Fkey={secret}&b=&API_KEY={secret}"
    reply = through(feed, secret, query=query, headers=[("x-other", "kept")])
    assert (reply.status, reply.body) == (200, b"mirrored")
    (scope,) = feed.seen
    assert secret not in repr(scope)
    assert scope["query_string"] == b"a=1&b="
    assert (b"x-other", b"kept") in scope["headers"]
    tenant = scope["tenant"]
    assert tenant is scope["state"]["tenant"]
    assert (tenant.id, tenant.slug, tenant.name) == (acme.pk, "acme", "Acme Sportsbook")
    assert (tenant.key_id, list(tenant.scopes), tenant.sports) == (key.pk, key.scopes, ("cs2",))
    assert tenant.markets_revision == 0 and tenant.market_enabled("awp_kill")
    assert scope["state"]["request_id"] == reply.headers["x-request-id"]


@pytest.mark.parametrize(
    ("keys", "given", "expected"),
    [
        ([], {}, (401, "key_missing")),
        ([UNKNOWN, UNKNOWN], {}, (401, "key_ambiguous")),
        ([UNKNOWN], {}, (403, "key_invalid")),
        ([], {"query": f"api_key={UNKNOWN}"}, (401, "key_missing")),
        (None, {"path": "/cs2/v1/maps"}, (403, "scope_not_granted")),
        (None, {"path": "/dota/v1/matches"}, (403, "sport_not_allowed")),
        (None, {"path": "/cs2/v1/secrets"}, (404, "not_found")),
        (None, {"path": "/cs2/v1/../v1/matches"}, (404, "not_found")),
        (None, {"method": "DELETE"}, (405, "method_not_allowed")),
        (None, {"headers": [("accept", "image/png")]}, (406, "not_acceptable")),
    ],
)
def test_a_feed_meets_nobody_whom_the_table_refuses(
    acme: Tenant,
    make_key: MakeKey,
    keys: list[str] | None,
    given: dict[str, Any],
    expected: tuple[int, str],
) -> None:
    """None: with a good key."""
    _, secret = make_key(acme)
    feed = Mirror()
    reply = through(feed, *([secret] if keys is None else keys), **given)
    assert code(reply) == expected
    assert feed.seen == []


def test_a_feeds_answer_carries_what_every_answer_of_the_door_carries(
    acme: Tenant, make_key: MakeKey
) -> None:
    """In place of what the feed says about the same, which might hand it to another tenant."""
    _, secret = make_key(acme)
    feed = Mirror(
        (b"Cache-Control", b"public, max-age=60"),
        (b"x-request-id", b"forged"),
        (b"vary", b"Accept, Accept-Language"),
        (b"RateLimit", b"none"),
        (b"content-type", b"text/plain"),
    )
    headers = through(feed, secret).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-request-id"] != "forged"
    assert headers["vary"] == "Accept, Accept-Language"
    assert headers["ratelimit-policy"] == '"default";q=600;w=60'
    assert headers["ratelimit"] == '"default";r=599;t=60'
    assert headers["content-type"] == "text/plain"
    assert headers["x-content-type-options"] == "nosniff"


def test_a_feed_lives_inside_of_the_gate(acme: Tenant) -> None:
    """Its lifespan is passed on, and what it keeps in the state is there for its calls."""
    feed = Mirror()
    through(feed, UNKNOWN)
    assert feed.life == ["lifespan.startup", "lifespan.shutdown"]


@pytest.mark.parametrize("raises", [True, False])
def test_a_feed_without_a_lifespan_is_none_the_worse_for_it(acme: Tenant, raises: bool) -> None:
    """It raises or returns, as many do."""

    async def feed(scope: Any, receive: Any, send: Any) -> None:
        if raises:
            raise RuntimeError("only HTTP here")

    assert code(through(feed, UNKNOWN)) == (403, "key_invalid")


def test_a_feed_that_cannot_start_stops_the_server(acme: Tenant) -> None:
    """With its own reason."""
    failed = {"type": "lifespan.startup.failed", "message": "no odds today"}

    async def feed(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(failed)

    assert lifespan_of(Guard(feed)) == [failed]


def test_a_guard_whose_settings_are_missing_does_not_start_the_feed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server is told which one."""
    monkeypatch.delenv("DATABASE_URL")
    feed = Mirror()
    failed = {"type": "lifespan.startup.failed", "message": "DATABASE_URL is not set."}
    assert lifespan_of(Guard(feed)) == [failed]
    assert feed.life == []


def test_what_cannot_be_decided_is_503_and_the_feed_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether the database is away or something is broken."""
    monkeypatch.setattr(reads, "PATIENCE_SECONDS", 0.15)
    feed = Mirror()
    secret = "vbk_" + "a1B2" * 6

    async def work() -> list[Reply]:
        nowhere = Gate(EdgeSettings({"host": "/nowhere"}))
        away = Guard(feed, gate=nowhere)
        replies = [await call(away, secret, path=PATH)]
        monkeypatch.setattr(Gate, "decide", None)
        replies.append(await call(away, secret, path=PATH))
        await nowhere.close()
        return replies

    for reply in run(work):
        assert code(reply) == (503, "unavailable")
        assert reply.headers["retry-after"] == "1"
    assert feed.seen == []
    assert secret not in caplog.text


def test_what_has_to_be_read_twice_is_given_up_little_later_than_what_is_read_once(
    acme: Tenant, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has waited for the key does not wait as long for the switches."""
    _, secret = make_key(acme)
    given: list[float] = []
    switches_of = Markets.of

    async def switches(markets: Markets, tenant_id: UUID, until: float = 0) -> Switched:
        given.append(until)
        return await switches_of(markets, tenant_id, until)

    monkeypatch.setattr(Markets, "of", switches)
    began_at = monotonic()
    assert through(Mirror(), secret).status == 200
    assert began_at + 4 / 3 * 20 <= given[0] <= monotonic() + 4 / 3 * 20
    assert reads.until(monotonic() - 3600) == pytest.approx(monotonic() + 20 / 5, abs=1)


def test_of_the_calls_to_a_feed_one_in_so_many_is_measured(acme: Tenant, make_key: MakeKey) -> None:
    """Until it is handed to the feed, which takes the time that it takes."""
    _, secret = make_key(acme)
    gate = Gate()

    async def work() -> Any:
        async with opened(Guard(Mirror(), gate=gate)) as ask:
            for _ in range(2 * MEASURED):
                await ask(secret, path=PATH)
        return gate.latency.calls.facts()["counts"]

    assert sum(run(work)) == 2


def test_door_and_guard_share_one_gate(acme: Tenant, make_key: MakeKey) -> None:
    """And so one bucket: what is called there counts here."""
    _, secret = make_key(acme)

    async def work() -> list[str]:
        door = Door()
        guard = Guard(Mirror(), gate=door.gate)
        async with opened(guard) as ask:
            replies = [await call(door, secret), await ask(secret, path=PATH)]
        return [reply.headers["ratelimit"].split(";")[1] for reply in replies]

    assert run(work) == ["r=599", "r=598"]


def test_a_body_that_was_sent_reaches_the_feed(acme: Tenant, make_key: MakeKey) -> None:
    """Unread by the guard, which has no use for it."""
    _, secret = make_key(acme)
    read: list[Any] = []

    async def feed(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            read.append(await receive())
            await Mirror()(scope, receive, send)

    async def work() -> None:
        guard = Guard(feed)
        body = {"type": "http.request", "body": json.dumps({"after": 1}).encode()}
        sent: asyncio.Queue[Any] = asyncio.Queue()

        async def receive() -> Any:
            return body

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/cs2/v1/recovery",
            "raw_path": b"/cs2/v1/recovery",
            "query_string": b"",
            "headers": [(b"x-api-key", secret.encode())],
            "client": ("203.0.113.7", 1),
        }
        await guard(scope, receive, sent.put)
        assert (await sent.get())["status"] == 200
        assert read == [body]
        await guard._gate.close()

    run(work)
