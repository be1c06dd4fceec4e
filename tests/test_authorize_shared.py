"""The machine door and forward auth are two processes: what makes their limits one."""

import pytest

from accounts.models import Tenant
from apikeys.edge import reads, shared_limiter
from apikeys.edge.app import Door
from apikeys.edge.gate import Gate
from apikeys.edge.internal import Internal
from apikeys.edge.settings import EdgeSettings, edge_settings
from tests.conftest import MakeKey
from tests.door import opened, run
from tests.proxies import by_nginx
from tests.redis_server import RedisServer, redis_server

__all__ = ["redis_server"]  # a fixture

pytestmark = [pytest.mark.service, pytest.mark.usefixtures("django_db_setup")]

LIMIT = 60
CALLS = 50  # at each of the two


@pytest.fixture
def acme(committed_db: None, acme: Tenant) -> Tenant:
    """Acme, committed, with a small limit."""
    acme.contract.limit_rpm = LIMIT
    acme.contract.save()
    return acme


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy with other tests is no outage, neither Postgres's nor Redis's."""
    monkeypatch.setattr(reads, "PATIENCE_SECONDS", 20)
    monkeypatch.setattr(shared_limiter, "PATIENCE_SECONDS", 20)


def let_in(acme: Tenant, make_key: MakeKey, redis_url: str) -> int:
    """How many of so many calls, made at both in turn."""
    _, secret = make_key(acme)

    async def work() -> int:
        settings = EdgeSettings(edge_settings().database, redis_url=redis_url)
        internal = Internal(gate=Gate(settings))
        passed = 0
        async with opened(Door(settings)) as call, opened(internal) as ask:  # type: ignore[arg-type]
            for _ in range(CALLS):
                passed += (await call(secret)).status == 200
                passed += (await ask(**by_nginx("/cs2/v1/matches", secret))).status == 200
        return passed

    return run(work)


def test_with_a_redis_a_key_has_one_limit_for_both(
    acme: Tenant, make_key: MakeKey, redis_server: RedisServer
) -> None:
    """Never more; and less by no more than what lies claimed in the two."""
    assert 0.9 * LIMIT <= let_in(acme, make_key, redis_server.url) <= LIMIT


def test_without_one_it_has_its_limit_at_each(acme: Tenant, make_key: MakeKey) -> None:
    """As docs and deploy/README.md say."""
    assert let_in(acme, make_key, "") == 2 * CALLS
