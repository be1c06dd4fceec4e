"""`GET /v1/whoami` and all that can come of it, through the machine door and its database."""

import asyncio
import datetime as dt
import json
import re
import uuid
import xml.etree.ElementTree as ET  # noqa: S405 - it reads what we wrote ourselves
from typing import Any

import psycopg
import pytest
from django.db import connections

from accounts.models import Tenant
from accounts.origin import COMMAND_LINE
from apikeys import services
from apikeys.edge import app
from apikeys.edge.app import Door
from apikeys.edge.settings import EdgeSettings, edge_settings
from apikeys.models import ApiKey, KeyUse
from portal.lib import clock
from portal.lib.env import SettingError
from tests.conftest import MakeKey
from tests.door import Reply, call, opened, run

pytestmark = pytest.mark.usefixtures("django_db_setup")

UNKNOWN = "vbk_" + "0" * 24


@pytest.fixture
def acme(committed_db: None, acme: Tenant) -> Tenant:
    """Acme, committed: the door has connections of its own."""
    return acme


def ask(*keys: str, door: Door | None = None, **given: Any) -> Reply:
    """One call through a door that is opened for it."""

    async def work() -> Reply:
        async with opened(door or Door()) as ask:
            return await ask(*keys, **given)

    return run(work)


def ask_each(key: str, calls: list[dict[str, Any]]) -> list[Reply]:
    """Several calls with a key, one after the other."""

    async def work() -> list[Reply]:
        async with opened(Door()) as ask:
            return [await ask(key, **given) for given in calls]

    return run(work)


def code(reply: Reply) -> tuple[int, str]:
    """Status and code, of an error in JSON."""
    return reply.status, json.loads(reply.body)["code"]


def behind(proxies: int) -> Door:
    """A door behind so many proxies."""
    return Door(EdgeSettings(edge_settings().database, trusted_proxies=proxies))


def test_a_live_key_learns_what_it_may_do(acme: Tenant, make_key: MakeKey) -> None:
    """Exactly the documented shape."""
    _, secret = make_key(acme)
    reply = ask(secret)
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert json.loads(reply.body) == {
        "data": {
            "tenant_id": str(acme.pk),
            "name": "Acme Sportsbook",
            "scopes": acme.contract.scopes,
            "sport_allowlist": ["cs2"],
            "rate_limit_rpm": 600,
        }
    }


def test_it_is_the_same_in_xml(acme: Tenant, make_key: MakeKey) -> None:
    """Element for member, labelled as it was asked for."""
    _, secret = make_key(acme)
    reply = ask(secret, headers=[("accept", "text/xml")])
    assert reply.headers["content-type"] == "text/xml; charset=utf-8"
    root = ET.fromstring(reply.body)  # noqa: S314
    assert root.tag == "response"
    assert root.findtext("data/tenant_id") == str(acme.pk)
    assert [item.text for item in root.iterfind("data/scopes/item")] == acme.contract.scopes


def test_a_key_has_no_scope_or_sport_that_its_contract_lost(
    acme: Tenant, make_key: MakeKey
) -> None:
    """And what it has comes in the catalogue's order."""
    _, secret = make_key(acme)
    kept = sorted(acme.contract.scopes)[:2]
    acme.contract.scopes = list(reversed(kept))
    acme.contract.sports = ["dota2"]
    acme.contract.limit_rpm = 60
    acme.contract.save()
    data = json.loads(ask(secret).body)["data"]
    assert set(data["scopes"]) == set(kept)
    assert data["sport_allowlist"] == []
    assert data["rate_limit_rpm"] == 60


def test_a_key_without_a_contract_may_do_nothing(acme: Tenant, make_key: MakeKey) -> None:
    """But it is known, and says so."""
    _, secret = make_key(acme)
    acme.contract.delete()
    data = json.loads(ask(secret).body)["data"]
    assert (data["scopes"], data["sport_allowlist"], data["rate_limit_rpm"]) == ([], [], 0)


def test_head_has_the_headers_and_no_body(acme: Tenant, make_key: MakeKey) -> None:
    """Refused or not."""
    _, secret = make_key(acme)
    whole = ask(secret)
    for reply in (ask(secret, method="HEAD"), ask(method="HEAD")):
        assert reply.body == b""
    assert ask(secret, method="HEAD").headers["content-length"] == str(len(whole.body))


def test_every_answer_has_an_id_of_ours_and_is_stored_by_nobody(
    acme: Tenant, make_key: MakeKey
) -> None:
    """A client's own id is not taken over; the body's id is the header's."""
    _, secret = make_key(acme)
    ids = set()
    for key, path in [(secret, "/v1/whoami"), (secret, "/v1/x"), (UNKNOWN, "/v1/whoami")]:
        reply = ask(key, path=path, headers=[("x-request-id", "mine")])
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["vary"] == "Accept"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["content-length"] == str(len(reply.body))
        assert re.fullmatch("[0-9a-f]{32}", reply.headers["x-request-id"])
        ids.add(reply.headers["x-request-id"])
        if reply.status != 200:
            assert json.loads(reply.body)["request_id"] == reply.headers["x-request-id"]
    assert len(ids) == 3


def test_an_error_has_the_documented_shape_in_json_and_in_xml() -> None:
    """`detail`, `code`, `request_id`."""
    assert list(json.loads(ask().body)) == ["detail", "code", "request_id"]
    reply = ask(headers=[("accept", "application/xml")])
    root = ET.fromstring(reply.body)  # noqa: S314
    assert reply.headers["content-type"] == "application/xml; charset=utf-8"
    assert [root.tag, *[child.tag for child in root]] == ["error", "detail", "code", "request_id"]


def test_a_call_without_a_key_is_told_how_to_send_one() -> None:
    """401 names the scheme."""
    reply = ask()
    assert code(reply) == (401, "key_missing")
    assert reply.headers["www-authenticate"] == "ApiKey"


def test_a_key_in_the_query_string_is_no_key(acme: Tenant, make_key: MakeKey) -> None:
    """It would end up in somebody's logs."""
    _, secret = make_key(acme)
    assert code(ask(query=f"api_key={secret}")) == (401, "key_missing")


def test_a_header_spelt_with_underscores_is_another_header(acme: Tenant, make_key: MakeKey) -> None:
    """Whatever else takes the two for one."""
    _, secret = make_key(acme)
    assert code(ask(headers=[("x_api_key", secret)])) == (401, "key_missing")
    assert ask(secret, headers=[("x_api_key", UNKNOWN)]).status == 200


def test_two_keys_are_ambiguous_even_if_they_are_equal(acme: Tenant, make_key: MakeKey) -> None:
    """Nobody can tell which one the next program on the way would take."""
    _, secret = make_key(acme)
    assert code(ask(secret, secret)) == (401, "key_ambiguous")


@pytest.mark.parametrize("key", [UNKNOWN, "rubbish", "vbk_" + "é" * 24])
def test_a_key_that_is_not_ours_is_invalid(key: str) -> None:
    """Whether it looks like one or not."""
    assert code(ask(key)) == (403, "key_invalid")


def test_blanks_around_a_key_are_not_part_of_it(acme: Tenant, make_key: MakeKey) -> None:
    """RFC 9110 §5.5."""
    _, secret = make_key(acme)
    assert ask(f" {secret}\t").status == 200


def test_a_rotated_key_is_dead_and_its_successor_lives(acme: Tenant, make_key: MakeKey) -> None:
    """From the next call on."""
    key, old = make_key(acme)
    issued = services.rotate_key(**act(acme, key))
    assert code(ask(old)) == (403, "key_revoked")
    assert ask(issued.secret).status == 200


def test_a_revoked_key_is_dead(acme: Tenant, make_key: MakeKey) -> None:
    """For good."""
    key, secret = make_key(acme)
    services.revoke_key(**act(acme, key))
    assert code(ask(secret)) == (403, "key_revoked")


def act(tenant: Tenant, key: ApiKey) -> dict[str, Any]:
    """What the services want to know: which key, as it is now, and who does it."""
    return {
        "tenant": tenant,
        "key_id": key.pk,
        "version": key.version,
        "actor": tenant.memberships.get().user,
        "origin": COMMAND_LINE,
    }


def test_a_suspended_tenants_keys_are_refused_until_it_is_back(
    acme: Tenant, make_key: MakeKey
) -> None:
    """All of them."""
    _, secret = make_key(acme)
    acme.suspended_at = clock.now()
    acme.save()
    assert code(ask(secret)) == (403, "tenant_suspended")
    acme.suspended_at = None
    acme.save()
    assert ask(secret).status == 200


def test_the_allowlist_decides_by_the_callers_address(acme: Tenant, make_key: MakeKey) -> None:
    """IPv4, IPv6, and the one written as the other; the detail names the address seen."""
    key, secret = make_key(acme)
    key.allowlist = ["203.0.113.0/24", "2001:db8::/32", "::ffff:198.51.100.0/120"]
    key.save()
    inside = ["203.0.113.7", "::ffff:203.0.113.7", "198.51.100.9", "2001:db8::1"]
    outside = ["192.0.2.1", "2001:db9::1", "rubbish", None]
    replies = ask_each(secret, [{"peer": peer} for peer in [*inside, *outside]])
    assert {reply.status for reply in replies[: len(inside)]} == {200}
    for peer, reply in zip(outside, replies[len(inside) :], strict=True):
        assert code(reply) == (403, "ip_not_allowed")
        seen = "could not be read" if peer in ("rubbish", None) else peer
        assert seen in json.loads(reply.body)["detail"]


def test_a_forged_forwarded_for_changes_nothing(acme: Tenant, make_key: MakeKey) -> None:
    """Without proxies it is ignored; with one, only what that one appended counts."""
    _, secret = make_key(acme, allowlist=["203.0.113.7/32"])
    forged = [("x-forwarded-for", "203.0.113.7")]
    assert code(ask(secret, peer="192.0.2.1", headers=forged)) == (403, "ip_not_allowed")
    through = [*forged, ("x-forwarded-for", "192.0.2.1")]
    assert code(ask(secret, door=behind(1), headers=through)) == (403, "ip_not_allowed")
    assert ask(secret, door=behind(1), peer="10.0.0.1", headers=forged).status == 200
    underscored = [("x_forwarded_for", "203.0.113.7")]
    assert code(ask(secret, door=behind(1), peer="10.0.0.1", headers=underscored)) == (
        403,
        "ip_not_allowed",
    )


def test_a_path_that_is_no_route_is_not_found_but_only_for_keys(
    acme: Tenant, make_key: MakeKey
) -> None:
    """Strangers learn nothing about what there is."""
    _, secret = make_key(acme)
    paths = [
        {"path": path}
        for path in ("/v1/", "/v1/whoami/", "//v1/whoami", "/v1/who%61mi", "/cs2/v1", "/client/")
    ]
    assert {code(reply) for reply in ask_each(secret, paths)} == {(404, "not_found")}
    assert code(ask(path="/v1/nothing")) == (401, "key_missing")


def test_another_method_is_not_allowed_and_its_body_is_not_read(
    acme: Tenant, make_key: MakeKey
) -> None:
    """The client of these tests would say so if it were."""
    _, secret = make_key(acme)
    reply = ask(secret, method="POST", headers=[("content-length", "1000000000")])
    assert code(reply) == (405, "method_not_allowed")
    assert reply.headers["allow"] == "GET, HEAD"


def test_a_format_that_we_do_not_have_is_not_acceptable(acme: Tenant, make_key: MakeKey) -> None:
    """And that is said in JSON."""
    _, secret = make_key(acme)
    reply = ask(secret, headers=[("accept", "text/html")])
    assert code(reply) == (406, "not_acceptable")
    assert reply.headers["content-type"] == "application/json"


def test_the_first_fault_in_the_table_is_the_one_told(acme: Tenant, make_key: MakeKey) -> None:
    """A dead key learns nothing about paths, methods or formats."""
    key, secret = make_key(acme)
    services.revoke_key(**act(acme, key))
    everything_wrong = {"path": "/v1/x", "method": "PUT", "headers": [("accept", "image/png")]}
    assert code(ask(secret, **everything_wrong)) == (403, "key_revoked")


def test_many_calls_at_once_are_all_answered(acme: Tenant, make_key: MakeKey) -> None:
    """Over a handful of connections: each 200, or 503 where its turn came too late."""
    _, secret = make_key(acme)

    async def work() -> list[Reply]:
        async with opened(Door()) as ask:
            return await asyncio.gather(*[ask(secret) for _ in range(200)])

    statuses = {reply.status for reply in run(work)}
    assert 200 in statuses and statuses <= {200, 503}


def used(key: ApiKey) -> tuple[dt.datetime, str] | None:
    """When and from where the database says that the key was last let in."""
    use = KeyUse.objects.filter(key=key).first()
    return (use.last_used_at, use.last_address) if use else None


def test_the_last_use_of_a_key_is_written_at_the_latest_when_the_door_closes(
    acme: Tenant, make_key: MakeKey
) -> None:
    """With its time and address."""
    key, secret = make_key(acme)
    ask(secret)
    found = used(key)
    assert found and found[1] == "203.0.113.7"
    assert abs(clock.now() - found[0]) < dt.timedelta(minutes=1)


def test_only_calls_that_were_let_in_are_uses(acme: Tenant, make_key: MakeKey) -> None:
    """A refusal is none, whatever it was for."""
    key, secret = make_key(acme, allowlist=["192.0.2.0/24"])
    ask(secret)
    ask(secret, peer="192.0.2.1", path="/v1/nothing")
    assert used(key) is None


def test_the_last_use_never_moves_backwards(acme: Tenant, make_key: MakeKey) -> None:
    """Another process may have written a later one."""
    key, secret = make_key(acme)
    later = clock.now() + dt.timedelta(minutes=5)
    KeyUse.objects.create(key=key, last_used_at=later, last_address="192.0.2.99")
    ask(secret)
    assert used(key) == (later, "192.0.2.99")
    clock.move(dt.timedelta(minutes=10))
    ask(secret, peer="2001:db8::1")
    found = used(key)
    assert found and found[0] > later and found[1] == "2001:db8::1"


def test_a_key_deleted_meanwhile_does_not_keep_the_others_from_being_written(
    acme: Tenant, globex: Tenant, make_key: MakeKey
) -> None:
    """It is left out."""
    key, secret = make_key(acme)
    gone = uuid.uuid4()

    async def work() -> None:
        door = Door()
        async with opened(door) as ask:
            assert door._parts
            door._parts.last_use.note(gone, None)
            await ask(secret, peer="::ffff:203.0.113.7")

    run(work)
    found = used(key)
    assert found and found[1] == "203.0.113.7"
    assert KeyUse.objects.count() == 1


def test_an_unexpected_failure_lets_nobody_in(
    acme: Tenant,
    make_key: MakeKey,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """503, and the log says why, without the key."""
    _, secret = make_key(acme)
    monkeypatch.setattr(app, "HANDLERS", {})
    reply = ask(secret)
    assert code(reply) == (503, "unavailable")
    assert reply.headers["retry-after"] == "1"
    assert reply.headers["x-request-id"] in caplog.text
    assert secret not in caplog.text


def test_a_database_that_refuses_the_question_is_a_503(
    acme: Tenant, make_key: MakeKey, caplog: pytest.LogCaptureFixture
) -> None:
    """Here: a table that is not there, as before a migration. Afterwards the door recovers."""
    _, secret = make_key(acme)

    async def work() -> list[Reply]:
        async with opened(Door()) as ask:
            rename("apikeys_contract", "apikeys_contract_away")
            try:
                refused = await ask(secret)
            finally:
                rename("apikeys_contract_away", "apikeys_contract")
            return [refused, await ask(secret), await ask(secret)]

    refused, *_, last = run(work)
    assert code(refused) == (503, "unavailable")
    assert "UndefinedTable" in caplog.text
    assert last.status == 200


def rename(old: str, new: str) -> None:
    """As the owner of the tables."""
    with psycopg.connect(**owner()) as connection:
        connection.execute(f"ALTER TABLE {old} RENAME TO {new}")


def owner() -> dict[str, Any]:
    """libpq's keywords for the owner's connection."""
    parameters = connections["owner"].get_connection_params()
    return {name: parameters[name] for name in ("host", "user", "password", "dbname")}


@pytest.mark.parametrize(("path", "body"), [("/healthz", b"ok"), ("/readyz", b"ok")])
def test_alone_the_door_tells_a_load_balancer_how_it_is(path: str, body: bytes) -> None:
    """Beside the pages, they do."""
    reply = ask(path=path)
    assert (reply.status, reply.body) == (200, body)
    assert reply.headers["cache-control"] == "no-store"


def test_a_websocket_is_refused_with_a_body_where_the_server_can_send_one() -> None:
    """Else by closing it."""
    assert [message["type"] for message in refused_websocket({})] == ["websocket.close"]
    start, body = refused_websocket({"websocket.http.response": {}})
    assert start["status"] == 404
    assert json.loads(body["body"])["code"] == "not_found"
    assert dict(start["headers"])[b"cache-control"] == b"no-store"


def refused_websocket(extensions: dict[str, Any]) -> list[Any]:
    """What the door sends to somebody who wants to open one."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "raw_path": b"/cs2/v1/stream", "extensions": extensions}
    run(lambda: Door()(scope, receive, send))
    return sent


def test_a_door_whose_settings_are_missing_does_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is told which one."""
    monkeypatch.delenv("DATABASE_URL")
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    run(lambda: Door()({"type": "lifespan"}, receive, send))
    assert sent == [{"type": "lifespan.startup.failed", "message": "DATABASE_URL is not set."}]
    with pytest.raises(SettingError, match="DATABASE_URL"):
        edge_settings()


def test_a_server_without_a_lifespan_opens_the_door_by_its_first_call(
    acme: Tenant, make_key: MakeKey
) -> None:
    """Such servers exist."""
    _, secret = make_key(acme)

    async def work() -> Reply:
        door = Door()
        reply = await call(door, secret)
        await door._close()
        return reply

    assert run(work).status == 200


def test_settings_do_not_show_the_password() -> None:
    """They end up in tracebacks."""
    assert "password" not in repr(EdgeSettings({"password": "hush"}))
