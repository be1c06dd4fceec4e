"""Real servers count for themselves: what they counted adds up, and survives their end."""

import asyncio
import os

import pytest

from accounts.models import Tenant
from apikeys.models import DoorProcess
from tests.conftest import MakeKey
from tests.propagation import door_processes
from tests.usage import calls_of, use_of

pytestmark = [pytest.mark.service, pytest.mark.usefixtures("committed_db")]

CALLS = 40
START_SECONDS = 60  # a bound, not an expectation


def test_two_servers_add_up_and_write_what_they_counted_when_they_are_stopped(
    acme: Tenant, make_key: MakeKey
) -> None:
    key, secret = make_key(acme)
    url = {"DATABASE_URL": os.environ["DATABASE_URL"]}

    with door_processes(2, url) as doors:

        async def work() -> None:
            async with asyncio.timeout(START_SECONDS):
                for door in doors:
                    while not await door.is_up():
                        await asyncio.sleep(0.05)
            for number in range(CALLS):
                assert (await doors[number % 2].call(secret)).seen[0] == 200
            for door in doors:
                await door.close()

        asyncio.run(work())

    assert calls_of(key) == {"allowed": CALLS}
    found = use_of(key)
    assert found and found[1] == "127.0.0.1"
    assert not DoorProcess.objects.exists(), "they have taken their leave"
