"""A key that is rotated keeps its bucket, where several processes count together in Redis."""

import asyncio
from dataclasses import replace

import pytest
from django.db import connections

from accounts.models import Tenant
from apikeys import services
from apikeys.edge import shared_limiter
from apikeys.edge.app import Door
from apikeys.edge.settings import edge_settings
from apikeys.models import ApiKey, Contract
from tests.conftest import MakeKey
from tests.door import Reply, code, opened, run
from tests.redis_server import RedisServer, redis_server
from tests.test_whoami import act

__all__ = ["redis_server"]  # a fixture

pytestmark = [pytest.mark.service, pytest.mark.usefixtures("door_beside")]

LIMIT = 5  # too small for claims: each call is asked about


def test_what_was_called_with_the_old_secret_is_counted_for_the_new_one_everywhere(
    acme: Tenant, make_key: MakeKey, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And another key of the tenant has its own."""
    monkeypatch.setattr(shared_limiter, "PATIENCE_SECONDS", 20)
    Contract.objects.update(limit_rpm=LIMIT)
    (key, secret), (_, other) = make_key(acme), make_key(acme)
    settings = replace(edge_settings(), redis_url=redis_server.url)

    def rotate() -> str:
        try:
            return services.rotate_key(**act(acme, key)).secret
        finally:
            connections.close_all()  # this thread's

    async def work() -> None:
        async with opened(Door(settings)) as ask, opened(Door(settings)) as ask_other:
            assert [left(await each(secret)) for each in (ask, ask, ask_other)] == ["4", "3", "2"]
            successor = await asyncio.to_thread(rotate)
            assert left(await ask(successor)) == "1"
            assert left(await ask_other(successor)) == "0"
            for each in (ask, ask_other):
                assert code(await each(successor)) == (429, "rate_limited")
            assert left(await ask_other(other)) == "4"

    run(work)
    assert ApiKey.objects.get(pk=key.pk).secrets.count() == 2


def left(reply: Reply) -> str:
    """How many calls there are left, says the answer to one that was let in."""
    assert reply.status == 200
    return reply.headers["ratelimit"].partition("r=")[2].partition(";")[0]
