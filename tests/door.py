"""A client for the machine door that speaks ASGI to it in process, without a socket between."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from django.conf import settings

from apikeys.edge.app import Door
from tests.conftest import DATABASE, with_database

T = TypeVar("T")


@dataclass(frozen=True)
class Reply:
    """What came back: the status, the headers by name, the body."""

    status: int
    headers: dict[str, str]
    body: bytes


Ask = Callable[..., Awaitable[Reply]]


@asynccontextmanager
async def opened(door: Door) -> AsyncIterator[Ask]:
    """Runs the door's lifespan around a block, which is given a way to call it."""
    to_door: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    from_door: asyncio.Queue[Any] = asyncio.Queue()
    living = asyncio.create_task(door({"type": "lifespan"}, to_door.get, from_door.put))
    await to_door.put({"type": "lifespan.startup"})
    assert await from_door.get() == {"type": "lifespan.startup.complete"}

    async def ask(*args: Any, **given: Any) -> Reply:
        return await call(door, *args, **given)

    try:
        yield ask
    finally:
        await to_door.put({"type": "lifespan.shutdown"})
        assert await from_door.get() == {"type": "lifespan.shutdown.complete"}
        await living


async def call(
    door: Callable[..., Awaitable[None]],
    *keys: str,
    path: str = "/v1/whoami",
    method: str = "GET",
    headers: Sequence[tuple[str, str]] = (),
    peer: str | None = "203.0.113.7",
    query: str = "",
) -> Reply:
    """One call with so many `X-API-Key` lines. The body, if there were one, must not be read."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        raise AssertionError("nobody should read the body")

    async def send(message: Any) -> None:
        sent.append(message)

    lines = [*[("x-api-key", key) for key in keys], *headers]
    await door(
        {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in lines],
            "client": (peer, 4711) if peer else None,
        },
        receive,
        send,
    )
    start, body = sent
    names = [name.decode() for name, _ in start["headers"]]
    assert len(names) == len(set(names)), "each header is sent once"
    return Reply(
        start["status"],
        {name.decode(): value.decode() for name, value in start["headers"]},
        body["body"],
    )


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """In an event loop of its own; nothing that was begun may be left running at its end."""

    async def watched() -> T:
        result = await work()
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"left running: {left}"
        return result

    return asyncio.run(watched())


def ask(*keys: str, door: Door | None = None, **given: Any) -> Reply:
    """One call through a door that is opened for it."""

    async def work() -> Reply:
        async with opened(door or Door()) as ask:
            return await ask(*keys, **given)

    return run(work)


def lifespan_of(app: Callable[..., Coroutine[Any, Any, None]]) -> list[Any]:
    """What the server is told when it starts an application, and ends it."""
    sent: list[Any] = []
    events = iter(("startup", "shutdown"))

    async def receive() -> dict[str, Any]:
        return {"type": f"lifespan.{next(events)}"}

    async def send(message: Any) -> None:
        sent.append(message)

    run(lambda: app({"type": "lifespan"}, receive, send))
    return sent


def code(reply: Reply) -> tuple[int, str]:
    """Status and code, of an error in JSON."""
    return reply.status, json.loads(reply.body)["code"]


def rename_table(old: str, new: str) -> None:
    """As the owner of the tables, for what happens when one is not there."""
    with psycopg.connect(with_database(settings.DATABASE_OWNER_URL, DATABASE)) as connection:
        connection.execute(f"ALTER TABLE {old} RENAME TO {new}")
