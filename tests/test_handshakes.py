"""WebSockets being opened at a guarded feed over a real server: who may, who may not, how many."""

import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db.models.functions import Now

from accounts.models import Tenant
from apikeys.models import ApiKey, Contract, DoorProcess
from tests.conftest import MakeKey
from tests.guarded import Server, serving

pytestmark = [pytest.mark.service, pytest.mark.usefixtures("door_beside")]

STREAM = "/cs2/v1/stream"
UNKNOWN = "vbk_" + "0" * 24


@pytest.fixture(scope="module")
def server(django_db_setup: None) -> Iterator[Server]:
    """One for all of them: what a test leaves behind is announced to it."""
    with serving() as server:
        yield server


@pytest.mark.parametrize(
    ("target", "headers", "expected"),
    [
        (STREAM, {}, (401, "key_missing")),
        (f"{STREAM}?api_key=", {}, (401, "key_missing")),
        (f"{STREAM}?api_key={UNKNOWN}&api_key={UNKNOWN}", {}, (401, "key_ambiguous")),
        (f"{STREAM}?api_key={UNKNOWN}", {"X-API-Key": UNKNOWN}, (401, "key_ambiguous")),
        (f"{STREAM}?api_key={UNKNOWN}", {}, (403, "key_invalid")),
        (STREAM, {"X-API-Key": "vbk_short"}, (403, "key_invalid")),
        ("/dota/v1/stream?api_key={}", {}, (403, "sport_not_allowed")),
        ("/cs2/v1/nothing?api_key={}", {}, (404, "not_found")),
        ("/cs2/v1/matches?api_key={}", {}, (404, "not_found")),
        ("/cs2/v1/%73tream?api_key={}", {}, (404, "not_found")),
    ],
)
def test_a_handshake_is_refused_with_a_status_and_a_body(
    acme: Tenant,
    make_key: MakeKey,
    server: Server,
    target: str,
    headers: dict[str, str],
    expected: tuple[int, str],
) -> None:
    """By the same table as a call."""
    _, secret = make_key(acme)
    refused = server.refused(target.replace("{}", secret), additional_headers=headers)
    assert (refused.status, refused.code) == expected
    assert refused.headers["Cache-Control"] == "no-store"
    assert (refused.headers.get("WWW-Authenticate") == "ApiKey") == (expected[0] == 401)


@pytest.mark.parametrize("accepted", ["application/xml", "text/html", "*/*;q=0"])
def test_a_stream_is_json_whatever_its_handshake_accepts(
    acme: Tenant, make_key: MakeKey, server: Server, accepted: str
) -> None:
    """It concerns a refusal's body alone, also when the stream is judged again while it is open."""
    _, secret = make_key(acme)
    with server.stream(secret, additional_headers={"Accept": accepted}) as watcher:
        assert watcher.frame()["type"] == "snapshot"
        assert watcher.until("market.updated")


def test_the_key_may_ride_in_the_header_too(
    acme: Tenant, make_key: MakeKey, server: Server
) -> None:
    """Of those who can set one. A parameter of another name is none of ours."""
    _, secret = make_key(acme)
    with server.open(f"{STREAM}?key=1", additional_headers={"X-API-Key": secret}) as watcher:
        assert watcher.frame()["type"] == "snapshot"


def test_the_allowlist_is_asked_on_a_websocket_as_on_rest(
    acme: Tenant, make_key: MakeKey, server: Server
) -> None:
    """Promise 39: IPv4, and IPv4 mapped into IPv6, by the caller's address."""
    _, inside = make_key(acme, allowlist=["127.0.0.0/8"])
    _, outside = make_key(acme, allowlist=["192.0.2.0/24", "2001:db8::/32"])
    with server.stream(inside) as watcher:
        assert watcher.frame()["type"] == "snapshot"
    refused = server.refused(f"{STREAM}?api_key={outside}")
    assert (refused.status, refused.code) == (403, "ip_not_allowed")
    assert server.get("/cs2/v1/matches", inside)[0] == 200
    assert server.get("/cs2/v1/matches", outside)[0] == 403


def test_a_stream_is_no_call_and_a_call_no_stream(
    acme: Tenant, make_key: MakeKey, server: Server
) -> None:
    """Handshakes cost no quota; a GET of the stream's path finds nothing."""
    _, secret = make_key(acme)
    Contract.objects.update(limit_rpm=2)
    for _ in range(3):
        with server.stream(secret) as watcher:
            assert watcher.frame()["type"] == "snapshot"
    assert server.get(STREAM, secret)[0] == 404
    assert [server.get("/cs2/v1/matches", secret)[0] for _ in range(3)] == [200, 200, 429]


def test_a_tenant_holds_as_many_as_its_contract_allows(
    acme: Tenant, globex: Tenant, make_key: MakeKey, server: Server
) -> None:
    """With whatever keys; another tenant has its own, and one that is closed makes room."""
    (_, first), (_, second), (_, strangers) = make_key(acme), make_key(acme), make_key(globex)
    Contract.objects.filter(tenant=acme).update(max_streams=2)
    with server.stream(first) as one:
        with server.stream(second) as two, server.stream(strangers) as other:
            for watcher in (one, two, other):
                watcher.frame()
            refused = server.refused(f"{STREAM}?api_key={first}")
            assert (refused.status, refused.code) == (429, "too_many_streams")
        two.closed()
        with server.stream(second) as again:
            again.frame()


def test_a_key_that_dies_before_the_feed_accepts_opens_nothing(
    acme: Tenant, make_key: MakeKey
) -> None:
    """The handshake is refused as any other, and at once."""
    key, secret = make_key(acme)
    with serving("tests.guarded:late") as server, ThreadPoolExecutor() as beside:
        asking = beside.submit(server.refused, f"{STREAM}?api_key={secret}")
        while not streams_open():
            time.sleep(0.05)
        ApiKey.objects.filter(pk=key.pk).update(revoked_at=Now())
        refused = asking.result()
    assert (refused.status, refused.code) == (403, "key_revoked")
    assert refused.headers["Cache-Control"] == "no-store"


def streams_open() -> bool:
    """Whether any process of the door says that it holds one."""
    return any(process.facts.get("streams") for process in DoorProcess.objects.all())


def test_whoever_leaves_before_the_refusal_writes_nothing_into_the_log(
    acme: Tenant, make_key: MakeKey, capfd: pytest.CaptureFixture[str]
) -> None:
    """It takes no key to do that, so it would be a way to fill a disk; be it ours or the feed's."""
    _, secret = make_key(acme)
    with serving() as server:
        for target in (STREAM, f"{STREAM}/none?api_key={secret}"):
            for _ in range(50):
                hang_up(server.port, target)
        assert server.refused(STREAM).code == "key_missing"
    assert capfd.readouterr() == ("", "")


def hang_up(port: int, target: str) -> None:
    """Send a handshake and cut the connection at once, without a farewell."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(
            f"GET {target} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n".encode()
        )


def test_the_sample_feed_stands_beside_pages_and_door_when_it_is_asked_for(
    acme: Tenant, make_key: MakeKey
) -> None:
    """As `bin/run` does it; else the place of the feed is empty."""
    _, secret = make_key(acme)
    with serving("portal.asgi:application", EXAMPLE_FEED="1") as whole:
        assert whole.get("/v1/whoami", secret)[0] == 200
        assert whole.get("/cs2/v1/matches", secret)[0] == 200
        assert whole.refused("/v1/whoami").status == 401
        with whole.stream(secret) as watcher:
            assert watcher.frame()["type"] == "snapshot"
    with serving("portal.asgi:application", EXAMPLE_FEED="0") as empty:
        assert empty.get("/cs2/v1/matches", secret)[0] == 404
        refused = empty.refused(f"{STREAM}?api_key={secret}")
        assert (refused.status, refused.code) == (404, "not_found")
