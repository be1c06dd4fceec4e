"""Real nginx with the shipped configuration: what it passes on, to whom, and what it writes."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from accounts.models import Tenant
from apikeys.models import ApiKey
from tests.conftest import MakeKey
from tests.door import rename_table
from tests.nginx.replies import assert_unavailable, find_nginx, once, received
from tests.nginx.stage import Reply, Stage, staged

pytestmark = [pytest.mark.service, pytest.mark.usefixtures("committed_db")]

MATCHES = "/cs2/v1/matches"
STREAM = "/cs2/v1/stream"
IDENTITY = ["x-tenant-id", "x-tenant-slug", "x-key-id", "x-key-scopes", "x-key-sports"]
FORGED = [(name.title(), "forged") for name in [*IDENTITY, "x-markets-revision", "x-request-id"]]


@pytest.fixture(scope="module")
def running(django_db_setup: None) -> Iterator[Stage]:
    """Processes on this worker's database, for all tests here."""
    program = find_nginx()
    with (
        TemporaryDirectory(prefix="portal-nginx-") as folder,
        staged(Path(folder), program) as stage,
    ):
        yield stage


@pytest.fixture
def stage(running: Stage, committed_db: None) -> Stage:
    """All of it, before a database that is empty but for what the test makes."""
    return running


@pytest.fixture
def key(stage: Stage, acme: Tenant, make_key: MakeKey) -> tuple[ApiKey, str]:
    """One with all scopes of the contract: (key, secret)."""
    return make_key(acme)


def test_each_door_and_the_feed_stand_where_they_should(
    stage: Stage, key: tuple[ApiKey, str]
) -> None:
    """Pages, machine door, feed; and a sport without a feed is the machine door's."""
    assert stage.call("/client/login").status == 200
    assert stage.call("/v1/whoami", key[1]).told["data"]["name"] == "Acme Sportsbook"
    assert stage.call(f"{MATCHES}?day=today", key[1]).told["path"] == MATCHES
    assert stage.call("/dota2/v1/matches", key[1]).code == (403, "sport_not_allowed")
    assert stage.call("/client/v1/matches", key[1]).headers["content-type"].startswith("text/html")


def test_a_path_that_ends_too_early_is_the_machine_doors_and_leads_nowhere(
    stage: Stage, key: tuple[ApiKey, str]
) -> None:
    """nginx by itself would lead it on to the one with a slash, key in the query and all."""
    for path in ("/v1", "/cs2/v1"):
        reply = stage.call(path, key[1])
        assert reply.code == (404, "not_found"), path
        assert reply.told["request_id"] == reply.headers["x-request-id"]
        assert stage.call(f"{path}?api_key={key[1]}").code == (401, "key_missing"), path


def test_the_feed_is_told_whose_call_it_is_and_never_by_the_caller(
    stage: Stage, acme: Tenant, key: tuple[ApiKey, str]
) -> None:
    """What the caller says under these names does not arrive, nor do key and cookies."""
    underscored = [(name.replace("-", "_"), value) for name, value in FORGED]
    forged = [*FORGED, *FORGED, *underscored, ("Cookie", "__Host-session=forged")]
    headers = received(stage.call(MATCHES, key[1], headers=forged))
    assert headers["x-tenant-id"] == str(acme.pk)
    assert headers["x-tenant-slug"] == "acme"
    assert headers["x-key-id"] == str(key[0].pk)
    assert headers["x-key-scopes"].split(",") == acme.contract.scopes
    assert headers["x-key-sports"] == "cs2"
    assert headers["x-markets-revision"].isdigit()
    assert "forged" not in headers.values()
    assert not {"x-api-key", "cookie"} & headers.keys()


def test_an_allowed_call_arrives_whole_and_its_answer_comes_back(
    stage: Stage, key: tuple[ApiKey, str]
) -> None:
    """Method, path, query and body; and the feed's own status, even one that we would use."""
    reply = stage.call("/cs2/v1/recovery?since=5", key[1], method="POST", body=b"x" * 5000)
    told = reply.told
    assert (told["method"], told["path"], told["query"], told["body"]) == (
        "POST",
        "/cs2/v1/recovery",
        "since=5",
        5000,
    )
    for status in (401, 403, 404, 429, 500, 502, 503):
        reply = stage.call(f"{MATCHES}?status={status}", key[1])
        assert (reply.status, reply.told["path"]) == (status, MATCHES)
    assert stage.call(MATCHES, key[1], method="HEAD").body == b""


def test_nothing_is_cached_whatever_the_feed_says(stage: Stage, key: tuple[ApiKey, str]) -> None:
    """The feed calls its answers cacheable for everybody; the verdict is asked for each time."""
    replies = [stage.call(MATCHES, key[1]) for _ in range(3)]
    assert len({reply.told["number"] for reply in replies}) == 3
    assert len({reply.headers["x-request-id"] for reply in replies}) == 3
    left = [reply.headers["ratelimit"].split(";")[1] for reply in replies]
    assert len(set(left)) == 3
    for reply in replies:
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["ratelimit-policy"] == '"default";q=600;w=60'
        assert received(reply)["x-request-id"] == reply.headers["x-request-id"]


def refused(stage: Stage, secret: str) -> dict[str, Reply]:
    """A call for each refusal that needs no change of the key, by its code."""
    two = [("X-API-Key", secret)]
    return {
        "key_missing": stage.call(MATCHES),
        "key_ambiguous": stage.call(MATCHES, secret, headers=two),
        "key_invalid": stage.call(MATCHES, "vbk_" + "0" * 24),
        "not_found": stage.call("/cs2/v1/nothing", secret),
        "method_not_allowed": stage.call(MATCHES, secret, method="DELETE"),
        "not_acceptable": stage.call(MATCHES, secret, headers=[("Accept", "image/png")]),
    }


STATUS = {
    "key_missing": 401,
    "key_ambiguous": 401,
    "key_invalid": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
}


def test_a_refusal_is_the_one_that_the_machine_door_would_have_given(
    stage: Stage, key: tuple[ApiKey, str]
) -> None:
    """Status, body and headers: held against the machine door, which answers for other sports."""
    for code, reply in refused(stage, key[1]).items():
        assert reply.code == (STATUS[code], code)
        assert list(reply.told) == ["detail", "code", "request_id"]
        assert reply.told["request_id"] == reply.headers["x-request-id"]
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["vary"] == "Accept"
        assert ("ratelimit" in reply.headers) == (code == "not_acceptable")
        assert reply.headers.get("allow") == ("GET, HEAD" if STATUS[code] == 405 else None)
        expected = "ApiKey" if STATUS[code] == 401 else None
        assert reply.headers.get("www-authenticate") == expected
    assert stage.call(MATCHES, method="HEAD").body == b""
    direct = stage.call("/v1/whoami", "vbk_" + "0" * 24)
    through = stage.call(MATCHES, "vbk_" + "0" * 24)
    assert through.told["detail"] == direct.told["detail"]
    assert set(direct.headers) <= set(through.headers) | {"connection"}


@pytest.mark.parametrize("accepted", ["application/xml", "text/xml"])
def test_who_asks_for_xml_is_refused_in_xml(
    stage: Stage, acme: Tenant, make_key: MakeKey, accepted: str
) -> None:
    """Well-formed, with the detail's own words, labelled as it was asked for."""
    _, secret = make_key(acme, scopes=["cs2:matches:list"])
    reply = stage.call("/cs2/v1/settlements", secret, headers=[("Accept", accepted)])
    assert reply.status == 403
    assert reply.headers["content-type"] == f"{accepted}; charset=utf-8"
    root = ET.fromstring(reply.body)  # noqa: S314
    assert [root.tag, *[child.tag for child in root]] == ["error", "detail", "code", "request_id"]
    assert "'cs2:markets:settlements' is not granted" in (root.findtext("detail") or "")
    assert root.findtext("code") == "scope_not_granted"
    assert root.findtext("request_id") == reply.headers["x-request-id"]


def test_a_path_that_nginx_would_straighten_is_judged_as_it_came(
    stage: Stage, key: tuple[ApiKey, str]
) -> None:
    """And so are methods: what is judged is what arrives."""
    for path in (
        "/cs2/v1/%6Datches",
        "/cs2//v1/matches",
        "/cs2/v1/./matches",
        "/cs2/v1/teams/../matches",
        "/client/../cs2/v1/matches",
        "/cs2/v1/matches/%2e%2e",
        "/cs2/v1/matches%2Fmatch-1",
    ):
        assert stage.call(path, key[1]).code == (404, "not_found"), path


def test_too_many_is_429_with_a_true_waiting_time(
    stage: Stage, acme: Tenant, key: tuple[ApiKey, str]
) -> None:
    """As many as the contract allows pass; nothing of the rest reaches the feed."""
    acme.contract.limit_rpm = 5
    acme.contract.save()
    replies = [stage.call(MATCHES, key[1]) for _ in range(7)]
    assert [reply.status for reply in replies] == [200] * 5 + [429] * 2
    for reply in replies[5:]:
        assert reply.code == (429, "rate_limited")
        assert 1 <= int(reply.headers["retry-after"]) <= 60
        assert f"in {reply.headers['retry-after']} seconds" in reply.told["detail"]
        assert reply.headers["ratelimit"].startswith('"default";r=0;t=')
        assert reply.headers["ratelimit-policy"] == '"default";q=5;w=60'


def test_a_handshake_carries_its_key_in_the_query_and_the_feed_does_not_see_it(
    stage: Stage, acme: Tenant, key: tuple[ApiKey, str]
) -> None:
    """Wherever it stands among the parameters; by header too; but once."""
    _, secret = key
    for query, rest in [
        (f"api_key={secret}", ""),
        (f"lang=ru&api_key={secret}", "lang=ru"),
        (f"api_key={secret}&lang=ru", "lang=ru"),
        (f"a=1&api_key={secret}&b=2&c=3", "a=1&b=2&c=3"),
        (f"api%5fkey={secret}", ""),  # a name is a name, however its letters are written
        (f"a=1&%61p%69_%6Bey={secret}&b=2", ""),
    ]:
        told = stage.open_stream(f"{STREAM}?{query}", X_Tenant_Id="forged")
        assert (told["path"], told["query"]) == (STREAM, rest)
        headers = once(told["headers"])
        assert headers["x-tenant-id"] == str(acme.pk)
        assert secret not in json.dumps(told)
    assert stage.open_stream(f"{STREAM}/match-1?lang=ru", secret)["query"] == "lang=ru"
    assert stage.open_stream(f"{STREAM}?api_key={secret}", secret).code == (401, "key_ambiguous")
    assert stage.open_stream(STREAM).code == (401, "key_missing")
    dead = stage.open_stream(f"{STREAM}?api_key=vbk_{'0' * 24}")
    assert dead.code == (403, "key_invalid")


def test_a_key_in_the_query_of_a_call_is_no_key(stage: Stage, key: tuple[ApiKey, str]) -> None:
    """Whatever else is sent with it; and a stream's path is nothing to other requests."""
    query = f"api_key={key[1]}"
    upgrade = [("Upgrade", "websocket"), ("Connection", "Upgrade")]
    assert stage.call(f"{MATCHES}?{query}").code == (401, "key_missing")
    assert stage.call(f"{MATCHES}?{query}", headers=upgrade).code == (401, "key_missing")
    lie = [("Sec-WebSocket-Key", "x")]
    assert stage.call(f"{MATCHES}?{query}", headers=lie).code == (404, "not_found")
    assert stage.call(STREAM, key[1]).code == (404, "not_found")


def test_the_allowlist_sees_the_address_that_nginx_saw(
    stage: Stage, acme: Tenant, make_key: MakeKey
) -> None:
    """Not the one that the caller wrote."""
    _, inside = make_key(acme, allowlist=["127.0.0.0/8"])
    _, outside = make_key(acme, allowlist=["203.0.113.0/24"])
    forged = [("X-Forwarded-For", "203.0.113.7"), ("X-Real-IP", "203.0.113.7")]
    assert stage.call(MATCHES, inside, headers=forged).status == 200
    reply = stage.call(MATCHES, outside, headers=forged)
    assert reply.code == (403, "ip_not_allowed")
    assert "127.0.0.1" in reply.told["detail"]


def test_nobody_outside_reaches_what_is_internal(stage: Stage, key: tuple[ApiKey, str]) -> None:
    """By no spelling, with or without what only nginx should say."""
    said = [("X-Original-URI", MATCHES), ("X-Original-Method", "GET")]
    for path in (
        "/internal/authorize",
        "/internal/authorize/cs2/v1/matches",
        "/internal/",
        "/internal/tenants/x/markets",
        "/internal//authorize",
        "/%69nternal/authorize",
        "/client/../internal/authorize",
        "/metrics",
    ):
        for port in ("https", "portal"):  # by way of nginx, and straight to the public port
            reply = stage.call(path, key[1], headers=said, port=port)
            assert reply.status == 404, (path, port)
            assert not set(IDENTITY) & set(reply.headers)
    reply = stage.call(f"{MATCHES}x", key[1], headers=[*said, ("X-Forwarded-Uri", MATCHES)])
    assert reply.code == (404, "not_found")


def test_over_http_pages_lead_to_https_and_calls_are_refused(stage: Stage) -> None:
    """A client that sends its key in the clear should find out."""
    reply = stage.call("/client/login?next=x", port="http")
    assert (reply.status, reply.headers["location"]) == (
        301,
        "https://portal.example/client/login?next=x",
    )
    for path in ("/v1/whoami", MATCHES):
        assert stage.call(path, "vbk_" + "0" * 24, port="http").status == 403


def test_a_verdict_that_cannot_be_had_is_503_and_never_a_200(
    stage: Stage, key: tuple[ApiKey, str], make_key: MakeKey, acme: Tenant
) -> None:
    """A table that is locked away; then what stands behind nginx is down, or frozen."""
    rename_table("apikeys_contract", "apikeys_contract_away")
    try:
        reply = stage.call(MATCHES, key[1], headers=[("Accept", "application/xml")])
    finally:
        rename_table("apikeys_contract_away", "apikeys_contract")
    assert reply.status == 503
    assert reply.headers["retry-after"] == "1"
    assert ET.fromstring(reply.body).findtext("code") == "unavailable"  # noqa: S314
    for name, path in [("internal", MATCHES), ("feed", MATCHES), ("portal", "/v1/whoami")]:
        with stage.without(name):
            reply = stage.call(path, key[1])
        assert_unavailable(reply)
    for name, path in [("internal", MATCHES), ("portal", "/v1/whoami")]:
        with stage.frozen(name):
            assert_unavailable(stage.call(path, key[1]))


def test_no_key_is_in_any_log_whatever_goes_wrong(stage: Stage, key: tuple[ApiKey, str]) -> None:
    """In the access log the call is there, without its secrets; a feed that is away included."""
    _, secret = key
    spelt = f"%76bk_{secret[4:]}"
    paths = [
        f"{MATCHES}?api_key={secret}&page=2",
        f"{MATCHES}?API_KEY={secret}",
        f"{MATCHES}?x={secret}",
        f"{MATCHES}?x={spelt}",
        f"{MATCHES}/{secret}",
        f"/v1/{spelt}",
        f"/v1/whoami?%61pi_key={secret}",
        f"/client/invite/{secret}",
    ]

    def ask_everything() -> None:
        for path in paths:
            stage.call(path, secret)
            stage.call(path, port="http")
        stage.open_stream(f"{STREAM}?api_key={secret}")
        stage.open_stream(f"{STREAM}?api_key={secret}\x01")

    ask_everything()
    for name in ("feed", "internal", "portal"):
        with stage.without(name):
            ask_everything()
    stage.call(f"{MATCHES}?day=today&page=2", secret)
    stage.call(MATCHES, "no key")
    stage.await_log(f'"GET {MATCHES}?day=today&page=2 HTTP/1.1" 200')
    stage.await_log('verdict="allowed"')
    stage.await_log('verdict="403 key_invalid"')
    stage.await_log(f'"GET {STREAM}?[redacted] HTTP/1.1" 101')
    logged = stage.logs()
    assert '"GET /client/invite/[redacted] HTTP/1.1"' in logged
    assert secret[4:] not in logged
