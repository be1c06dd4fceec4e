"""The machine door as an application: failures, health, WebSockets, opening and closing."""

import asyncio
import json
from typing import Any

import pytest

from accounts.models import Tenant
from apikeys.edge import app
from apikeys.edge.app import Door
from apikeys.edge.settings import EdgeSettings, edge_settings
from portal.lib.env import SettingError
from tests.conftest import MakeKey
from tests.door import Reply, ask, call, code, lifespan_of, opened, rename_table, run

pytestmark = pytest.mark.usefixtures("door_beside")


def test_many_calls_at_once_are_all_answered(acme: Tenant, make_key: MakeKey) -> None:
    """Over a handful of connections."""
    _, secret = make_key(acme)

    async def work() -> list[Reply]:
        async with opened(Door()) as ask:
            return await asyncio.gather(*[ask(secret) for _ in range(200)])

    assert {reply.status for reply in run(work)} == {200}


def test_an_unexpected_failure_lets_nobody_in(
    acme: Tenant,
    make_key: MakeKey,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """503, and the log says why, without the key."""
    _, secret = make_key(acme)
    monkeypatch.setattr(app, "HANDLERS", {b"/v1/whoami": lambda *_: 1 / 0})
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
            rename_table("apikeys_contract", "apikeys_contract_away")
            try:
                refused = await ask(secret)
            finally:
                rename_table("apikeys_contract_away", "apikeys_contract")
            return [refused, await ask(secret), await ask(secret)]

    refused, *_, last = run(work)
    assert code(refused) == (503, "unavailable")
    assert "UndefinedTable" in caplog.text
    assert last.status == 200


@pytest.mark.parametrize(("path", "body"), [("/healthz", b"ok"), ("/readyz", b"ok")])
def test_alone_the_door_tells_a_load_balancer_how_it_is(path: str, body: bytes) -> None:
    """Beside the pages, they do."""
    reply = ask(path=path)
    assert (reply.status, reply.body) == (200, body)
    assert reply.headers["cache-control"] == "no-store"


def test_a_websocket_is_refused_with_a_body_where_the_server_can_send_one() -> None:
    """Else by closing it. By the same table as a call; behind this door there are none."""
    assert [message["type"] for message in refused_websocket({})] == ["websocket.close"]
    start, body = refused_websocket({"websocket.http.response": {}})
    assert start["status"] == 401
    assert json.loads(body["body"])["code"] == "key_missing"
    assert dict(start["headers"])[b"cache-control"] == b"no-store"


def refused_websocket(extensions: dict[str, Any]) -> list[Any]:
    """What the door sends to somebody who wants to open one."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "raw_path": b"/cs2/v1/stream",
        "query_string": b"",
        "headers": [],
        "extensions": extensions,
    }

    async def work() -> None:
        door = Door()
        await door(scope, receive, send)
        await door.close()

    run(work)
    return sent


def test_a_door_whose_settings_are_missing_does_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is told which one."""
    monkeypatch.delenv("DATABASE_URL")
    failed = {"type": "lifespan.startup.failed", "message": "DATABASE_URL is not set."}
    assert lifespan_of(Door()) == [failed]
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
        await door.close()
        return reply

    assert run(work).status == 200


def test_settings_do_not_show_the_password() -> None:
    """They end up in tracebacks."""
    assert "password" not in repr(EdgeSettings({"password": "hush"}))
