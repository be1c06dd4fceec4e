"""After a lost listener: what did not change is believed again before anybody calls."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from accounts.models import Tenant
from apikeys.edge import reads, recheck
from apikeys.edge.database import Database
from apikeys.edge.directory import MISSING, Directory
from apikeys.edge.recheck import Recheck
from apikeys.edge.settings import edge_settings
from apikeys.edge.store import Store
from apikeys.models import ApiKey, ApiKeySecret, Contract
from portal.lib import clock
from portal.lib.crypto import digest
from tests.conftest import MakeKey
from tests.door import run
from tests.effect import aside

pytestmark = pytest.mark.usefixtures("door_beside")

Change = Callable[[ApiKey], object]


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy with other tests is no outage."""
    monkeypatch.setattr(reads, "READ_SECONDS", 20)
    monkeypatch.setattr(recheck, "SECONDS", 20)


def believed_after(secrets: Sequence[str], meanwhile: Callable[[], object]) -> list[bool]:
    """Of keys in use, when the listener was lost, something happened, and it was back."""

    async def work() -> list[bool]:
        database, directory = Database(edge_settings().database), Directory(100)
        database.open()
        checked = Recheck(database, directory)
        try:
            keys = Store(database, directory)
            directory.prove(asyncio.get_running_loop().time())
            for secret in secrets:
                await keys.key_record(secret)
            hashes = [digest(secret) for secret in secrets]
            records = [directory.find(sha) for sha in hashes]
            await aside(meanwhile)
            directory.begin_epoch()
            assert all(directory.find(sha) is MISSING for sha in hashes)
            checked.begin_epoch()
            assert checked._asking
            await checked._asking
            found = [directory.find(sha) for sha in hashes]
            # The very same record: with all that is kept about its key.
            assert all(new in (MISSING, old) for new, old in zip(found, records, strict=True))
            return [record is not MISSING for record in found]
        finally:
            await checked.close()
            await database.close()

    return run(work)


def test_what_did_not_change_is_believed_again(
    acme: Tenant, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are: they are asked about a few at a time."""
    monkeypatch.setattr(recheck, "AT_ONCE", 2)
    monkeypatch.setattr(recheck, "CONFIRMED_AT_ONCE", 1)
    secrets = [make_key(acme, label=f"Key {number}")[1] for number in range(5)]
    assert believed_after(secrets, lambda: None) == [True] * 5


@pytest.mark.parametrize(
    "change",
    [
        lambda key: ApiKey.objects.filter(pk=key.pk).update(revoked_at=clock.now()),
        lambda key: ApiKey.objects.filter(pk=key.pk).update(allowlist=["192.0.2.0/24"]),
        lambda key: ApiKey.objects.filter(pk=key.pk).update(scopes=["cs2:teams:list"]),
        lambda key: ApiKeySecret.objects.filter(key=key).update(retired_at=clock.now()),
        lambda key: ApiKeySecret.objects.filter(key=key).delete(),
        lambda key: Tenant.objects.filter(pk=key.tenant_id).update(name="Renamed"),
        lambda key: Contract.objects.filter(pk=key.tenant_id).update(limit_rpm=7),
        lambda key: Contract.objects.filter(pk=key.tenant_id).delete(),
    ],
)
def test_what_changed_meanwhile_is_not(
    acme: Tenant, globex: Tenant, make_key: MakeKey, change: Change
) -> None:
    """And the key of another tenant is."""
    key, secret = make_key(acme)
    _, other = make_key(globex)
    assert believed_after([secret, other], lambda: change(key)) == [False, True]
