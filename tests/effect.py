"""Doors that acknowledge changes, beside work that makes them."""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, TypeVar
from uuid import uuid4

from django.db import connections

from apikeys.edge.app import Door
from apikeys.models import ApiKey, DoorProcess
from portal.lib import clock
from tests.door import opened, run

PATIENCE = 20  # seconds; a bound, not an expectation
T = TypeVar("T")


async def aside(work: Callable[[], T]) -> T:
    """In a thread with connections of its own."""

    def closing() -> T:
        try:
            return work()
        finally:
            connections.close_all()

    return await asyncio.to_thread(closing)


def with_doors(number: int, work: Callable[[], Awaitable[None]]) -> None:
    """Runs the work while so many doors are open and have said so."""

    async def around() -> None:
        async with AsyncExitStack() as stack:
            for _ in range(number):
                await stack.enter_async_context(opened(Door()))
            async with asyncio.timeout(PATIENCE):
                while await aside(remembering) < number:
                    await asyncio.sleep(0.02)
            await work()

    run(around)


def remembering() -> int:
    """How many processes say that they remember keys."""
    return DoorProcess.objects.filter(is_remembering=True).count()


def edited(key: ApiKey) -> int:
    """The key's version after a change by hand."""
    ApiKey.objects.filter(pk=key.pk).update(allowlist=["192.0.2.0/24"])
    key.refresh_from_db()
    return key.version


@contextmanager
def nobody_can_ask() -> Iterator[None]:
    """What the processes have heard is out of reach, and all else is there."""
    with connections["owner"].cursor() as cursor:
        cursor.execute("ALTER TABLE apikeys_acknowledgement RENAME TO away")
        try:
            yield
        finally:
            cursor.execute("ALTER TABLE away RENAME TO apikeys_acknowledgement")


def a_process(**columns: Any) -> DoorProcess:
    """One that says it is there, and nothing else."""
    now = clock.now()
    given = {"started_at": now, "seen_at": now, "counted_until": now + dt.timedelta(minutes=1)}
    facts = {"calls": {}}
    return DoorProcess.objects.create(
        id=uuid4(), is_remembering=True, facts=facts, **(given | columns)
    )
