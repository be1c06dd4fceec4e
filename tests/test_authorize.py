"""Forward auth: questions as nginx, Traefik and Envoy put them, and answers they can pass on."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from accounts.models import Tenant
from apikeys import refusals
from apikeys.edge import authorize
from apikeys.edge.app import Door
from apikeys.edge.gate import Gate
from apikeys.edge.internal import Internal
from apikeys.refusals import Verdict
from apikeys.routes import ROUTES
from portal.lib.address import parse_address
from tests.conftest import MakeKey
from tests.door import Reply, call, code, lifespan_of, opened, rename_table, run
from tests.proxies import ASK, Ask, Line, answers, by_envoy, by_nginx, by_traefik, meant

pytestmark = pytest.mark.usefixtures("door_beside")

MATCHES = "/cs2/v1/matches"
UNKNOWN = "vbk_" + "0" * 24
IDENTITY = ["x-tenant-id", "x-tenant-slug", "x-key-id", "x-key-scopes", "x-key-sports"]


each_proxy = pytest.mark.parametrize("ask_by", [by_nginx, by_traefik, by_envoy])


@each_proxy
def test_of_an_allowed_call_the_feed_learns_whose_it_is(
    acme: Tenant, make_key: MakeKey, ask_by: Ask
) -> None:
    """Tenant, key, what the key may do, and by which switches; the quota that is left."""
    key, secret = make_key(acme)
    (reply,) = answers(ask_by(f"{MATCHES}?day=today", secret))
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["x-tenant-id"] == str(acme.pk)
    assert reply.headers["x-tenant-slug"] == "acme"
    assert reply.headers["x-key-id"] == str(key.pk)
    assert reply.headers["x-key-scopes"].split(",") == acme.contract.scopes
    assert reply.headers["x-key-sports"] == "cs2"
    assert reply.headers["x-markets-revision"] == "0"
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["ratelimit-policy"] == '"default";q=600;w=60'
    assert reply.headers["ratelimit"].startswith('"default";r=599;t=')


@each_proxy
def test_what_there_is_nothing_to_say_about_is_said_as_nothing(
    acme: Tenant, make_key: MakeKey, ask_by: Ask
) -> None:
    """Envoy leaves a header that the caller sent where it is not given another."""
    _, secret = make_key(acme)
    acme.contract.delete()
    forged = [(name, "forged") for name in [*IDENTITY, "x-markets-revision"]]
    (reply,) = answers(ask_by("/v1/whoami", secret, headers=forged))
    assert reply.status == 200
    assert (reply.headers["x-key-scopes"], reply.headers["x-key-sports"]) == ("", "")
    assert set(IDENTITY) < set(reply.headers)
    assert "forged" not in reply.headers.values()


@each_proxy
def test_a_refusal_is_the_one_that_the_machine_door_would_have_given(
    acme: Tenant, make_key: MakeKey, ask_by: Ask
) -> None:
    """Status, code, sentence and headers, all the way down the table."""
    _, secret = make_key(acme)
    _, narrow = make_key(acme, scopes=["cs2:matches:list"])
    calls: list[tuple[str, tuple[str, ...], dict[str, Any]]] = [
        (MATCHES, (), {}),
        (MATCHES, (secret, secret), {}),
        (MATCHES, (UNKNOWN,), {}),
        ("/dota2/v1/matches", (secret,), {}),
        ("/cs2/v1/nothing", (secret,), {}),
        ("/", (secret,), {}),
        ("/cs2/v1/settlements", (narrow,), {}),
        (MATCHES, (secret,), {"method": "DELETE"}),
        (MATCHES, (secret,), {"headers": [("accept", "image/png")]}),
        (MATCHES, (), {"headers": [("accept", "text/xml")]}),
    ]

    async def work() -> None:
        gate = Gate()
        async with opened(Internal(gate=gate)) as ask:  # type: ignore[arg-type]
            for path, keys, given in calls:
                asked = await ask(**ask_by(path, *keys, **given))
                direct = await call(Door(gate=gate), *keys, path=path, **given)
                assert asked.headers["content-type"] == direct.headers["content-type"]
                assert _without_id(asked.body) == _without_id(direct.body), path
                for name in ("allow", "www-authenticate", "ratelimit-policy", "cache-control"):
                    assert asked.headers.get(name) == direct.headers.get(name)
                if given.get("headers") != [("accept", "text/xml")]:
                    assert meant(asked) == code(direct)
                if ask_by is not by_nginx:
                    assert asked.status == direct.status
                    assert not [name for name in asked.headers if name.startswith("x-auth-")]

    run(work)


def _without_id(body: bytes) -> bytes:
    for before, after in [(b'"request_id":"', b'"'), (b"<request_id>", b"<")]:
        start, found, rest = body.partition(before)
        if found:
            return start + rest.partition(after)[2]
    raise AssertionError(body)


def test_nginx_is_told_by_headers_what_it_cannot_pass_on(acme: Tenant, make_key: MakeKey) -> None:
    """It knows 401 and 403, so the rest is 403 to it; the detail fits into JSON and XML."""
    _, secret = make_key(acme)
    (reply,) = answers(by_nginx("/cs2/v1/nothing", secret))
    assert reply.status == 403
    assert reply.headers["x-auth-status"] == "404"
    assert reply.headers["x-auth-code"] == "not_found"
    assert reply.headers["x-auth-detail"] == "There is nothing at this path."
    assert reply.headers["x-request-id"] == json.loads(reply.body)["request_id"]


def every_verdict() -> Iterator[Verdict]:
    """All that can be said of a call."""
    yield from (each for each in vars(refusals).values() if isinstance(each, Verdict))
    for text in ("203.0.113.7", "2001:db8::1"):
        address = parse_address(text)
        assert address
        yield refusals.address_not_allowed(address)
    yield from (refusals.sport_not_allowed(sport) for sport in ("dota2", "A_b-9"))
    for route in ROUTES:
        yield refusals.method_not_allowed(route)
        if route.scopes:
            yield refusals.scope_not_granted(route)
    yield from (refusals.rate_limited(600, seconds) for seconds in (1, 60))


def test_no_sentence_loses_a_character_on_its_way_through_a_header() -> None:
    """What is left out there must not be in any of them."""
    for verdict in every_verdict():
        assert authorize.safe_in_header(verdict.detail) == verdict.detail
    assert authorize.safe_in_header('a\r\nb: c "<é>" \\ &') == "ab: c   "


@each_proxy
def test_it_is_counted_like_a_call(acme: Tenant, make_key: MakeKey, ask_by: Ask) -> None:
    """Up to the limit; then 429 with a true waiting time."""
    _, secret = make_key(acme)
    acme.contract.limit_rpm = 2
    acme.contract.save()
    replies = answers(*[ask_by(MATCHES, secret)] * 3)
    assert [reply.status for reply in replies[:2]] == [200, 200]
    assert meant(replies[2]) == (429, "rate_limited")
    assert 1 <= int(replies[2].headers["retry-after"]) <= 60
    assert replies[2].headers["ratelimit"].startswith('"default";r=0;t=')


@each_proxy
def test_a_handshake_may_bring_its_key_in_the_query(
    acme: Tenant, make_key: MakeKey, ask_by: Ask
) -> None:
    """The proxies keep `Upgrade` to themselves; `Sec-WebSocket-Key` tells a handshake."""
    _, secret = make_key(acme)
    shakes = [("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="), ("accept", "image/png")]
    stream, query = "/cs2/v1/stream", f"?api_key={secret}"
    replies = answers(
        ask_by(stream + query, headers=shakes),
        ask_by(f"{stream}/match-1?lang=ru&api_key={secret}", headers=shakes),
        ask_by(stream, secret, headers=shakes),
        ask_by(stream + query, secret, headers=shakes),
        ask_by(stream, headers=shakes),
        ask_by(stream + query),
        ask_by(MATCHES + query, headers=shakes),
        ask_by(MATCHES + query),
        ask_by(stream + query, headers=shakes, method="POST"),
    )
    assert [reply.status for reply in replies[:3]] == [200] * 3
    assert all("ratelimit" not in reply.headers for reply in replies[:3])
    assert [meant(reply) for reply in replies[3:]] == [
        (401, "key_ambiguous"),
        (401, "key_missing"),
        (401, "key_missing"),
        (404, "not_found"),
        (401, "key_missing"),
        (401, "key_missing"),
    ]


@each_proxy
def test_a_path_is_judged_as_it_came(acme: Tenant, make_key: MakeKey, ask_by: Ask) -> None:
    """Never straightened, never decoded: whoever comes after us might do it otherwise."""
    _, secret = make_key(acme)
    paths = ["/cs2/v1/%6Datches", "//cs2/v1/matches", "/cs2/v1/./matches", "/cs2/v1/x/../matches"]
    replies = answers(*[ask_by(path, secret) for path in paths])
    assert {meant(reply) for reply in replies} == {(404, "not_found")}


@each_proxy
def test_the_allowlist_sees_the_address_that_the_proxy_saw(
    acme: Tenant, make_key: MakeKey, ask_by: Ask
) -> None:
    """Counted from the right, so what the caller wrote is never it."""
    _, secret = make_key(acme, allowlist=["203.0.113.7/32"])
    inside, outside = "203.0.113.7", "192.0.2.1"
    chains = [inside, f"{outside}, {inside}", outside, f"{inside}, {outside}", ""]
    one = answers(*[ask_by(MATCHES, secret, caller=chain) for chain in chains])
    assert [reply.status for reply in one] == [200, 200, 403, 403, 403]
    chains = [f"{inside}, 10.0.0.2", f"{outside}, 10.0.0.2", f"{inside}, {outside}, 10.0.0.2"]
    two = answers(*[ask_by(MATCHES, secret, caller=chain) for chain in chains], proxies=2)
    assert [reply.status for reply in two] == [200, 403, 403]


NGINX = [("x-original-uri", MATCHES), ("x-original-method", "GET")]
TRAEFIK = [("x-forwarded-uri", MATCHES), ("x-forwarded-method", "GET")]


@pytest.mark.parametrize(
    "told",
    [
        [],
        NGINX[:1],
        NGINX[1:],
        TRAEFIK[:1],
        [*NGINX, *TRAEFIK],
        [*NGINX, NGINX[0]],
        [*TRAEFIK, ("x-forwarded-uri", "/v1/whoami")],
        [*TRAEFIK, ("x-original-uri", "/v1/whoami")],
        [*NGINX, ("x-forwarded-method", "GET")],
        [NGINX[0], TRAEFIK[1]],
    ],
)
def test_a_question_that_can_be_read_in_two_ways_is_answered_by_nobody(
    acme: Tenant, make_key: MakeKey, told: list[Line], caplog: pytest.LogCaptureFixture
) -> None:
    """A caller may have sent half of it. 503, and one line in the log, not one a question."""
    _, secret = make_key(acme)
    question = {"path": ASK, "headers": [*told, ("x-api-key", secret)]}
    replies = answers(question, question)
    assert [code(reply) for reply in replies] == [(503, "unavailable")] * 2
    assert not set(IDENTITY) & set(replies[0].headers)
    lines = [record for record in caplog.records if record.name == authorize.__name__]
    assert len(lines) == 1
    assert lines[0].levelno == logging.ERROR


def test_what_a_caller_says_in_envoys_place_is_not_heard(acme: Tenant, make_key: MakeKey) -> None:
    """There the path is the question."""
    _, narrow = make_key(acme, scopes=["cs2:matches:list"])
    (reply,) = answers(by_envoy("/cs2/v1/settlements", narrow, headers=[*NGINX, *TRAEFIK]))
    assert code(reply) == (403, "scope_not_granted")


@each_proxy
def test_a_verdict_that_cannot_be_had_is_503(acme: Tenant, make_key: MakeKey, ask_by: Ask) -> None:
    """Whether it is the key that cannot be asked about, or the switches of its tenant."""
    _, secret = make_key(acme)
    for table in ("apikeys_contract", "markets_tenantmarkets"):
        rename_table(table, f"{table}_away")
        try:
            (reply,) = answers(ask_by(MATCHES, secret))
        finally:
            rename_table(f"{table}_away", table)
        assert meant(reply) == (503, "unavailable")
        assert reply.headers["retry-after"] == "1"
        assert not set(IDENTITY) & set(reply.headers)


def test_an_unexpected_failure_lets_nobody_in(
    acme: Tenant,
    make_key: MakeKey,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A real 503, of which nginx makes a 500, and the shipped configuration a 503 again."""
    _, secret = make_key(acme)
    monkeypatch.setattr(Gate, "decide", None)
    (reply,) = answers(by_nginx(MATCHES, secret))
    assert code(reply) == (503, "unavailable")
    assert reply.headers["x-request-id"] in caplog.text
    assert secret not in caplog.text


def test_the_listener_has_health_switches_and_nothing_else(acme: Tenant) -> None:
    """HEAD has no body; what is not there is 404."""
    health, ready, markets, head, nothing, calls = answers(
        {"path": "/healthz"},
        {"path": "/readyz"},
        {"path": f"/internal/tenants/{acme.pk}/markets"},
        {"path": f"/internal/tenants/{acme.pk}/markets", "method": "HEAD"},
        {"path": "/internal/authorizer"},
        {"path": "/v1/whoami"},
    )
    assert (health.status, ready.status) == (200, 200)
    assert json.loads(markets.body)["data"]["revision"] == 0
    assert (head.status, head.body) == (200, b"")
    assert {code(nothing), code(calls)} == {(404, "not_found")}


def test_on_the_public_port_there_is_no_such_thing(acme: Tenant, make_key: MakeKey) -> None:
    """The machine door alone; beside the pages it is tests/test_nginx.py that asks."""
    _, secret = make_key(acme)

    async def work() -> list[Reply]:
        async with opened(Door()) as ask:
            paths = [ASK, ASK + MATCHES, "/internal/tenants/x/markets", "/metrics", "/internal/"]
            return [await ask(secret, path=path, headers=NGINX) for path in paths]

    for reply in run(work):
        assert code(reply) == (404, "not_found")
        assert not set(IDENTITY) & set(reply.headers)


def test_a_listener_with_a_wrong_setting_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy at all would mean that nobody asks."""
    monkeypatch.setenv("EDGE_FORWARD_AUTH_PROXIES", "0")
    sent = lifespan_of(Internal())
    assert [message["type"] for message in sent] == ["lifespan.startup.failed"]
    assert "EDGE_FORWARD_AUTH_PROXIES is 0; it should be at least 1." in sent[0]["message"]
