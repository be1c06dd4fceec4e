"""Reading what the machine door has written about the use of keys, and counting without a door."""

import datetime as dt
import ipaddress
from collections import Counter
from collections.abc import Awaitable, Callable

from apikeys.edge.database import Database
from apikeys.edge.settings import edge_settings
from apikeys.edge.usage import Usage
from apikeys.models import ApiKey, KeyCalls, KeyUse
from apikeys.refusals import ALLOWED, Verdict
from apikeys.trial import record_of
from apikeys.verdict import Call, KeyRecord
from portal.lib.address import Address
from tests.door import run

OFFICE = ipaddress.ip_address("203.0.113.7")
HOME = ipaddress.ip_address("2001:db8::1")


def use_of(key: ApiKey) -> tuple[dt.datetime, str] | None:
    """When and from where the database says that the key was last let in."""
    use = KeyUse.objects.filter(key=key).first()
    return (use.last_used_at, use.last_address) if use else None


def calls_of(key: ApiKey) -> dict[str, int]:
    """How many calls of the key the database has, by outcome, all minutes together."""
    found: Counter[str] = Counter()
    for row in KeyCalls.objects.filter(key=key, period="minute"):
        found[row.outcome] += row.calls
    return dict(found)


def record(key: ApiKey) -> KeyRecord:
    """What a call with the key is decided by."""
    found = record_of(key)
    assert found
    return found


def call_from(address: Address | None = OFFICE, path: bytes = b"/v1/whoami") -> Call:
    """A call, as far as it matters here."""
    return Call(keys=["vbk_"], address=address, method="GET", path=path)


def counting(work: Callable[[Usage], Awaitable[None]]) -> None:
    """Runs the work with counts that are written at its end."""

    async def around() -> None:
        database = Database(edge_settings().database)
        database.open()
        usage = Usage(database)
        await work(usage)
        await usage.close()
        await database.close()

    run(around)


def count(
    *noted: tuple[KeyRecord, Address | None], verdict: Verdict = ALLOWED, times: int = 1
) -> None:
    """Counts these calls so many times, and has them written."""

    async def work(usage: Usage) -> None:
        for _ in range(times):
            for of_key, address in noted:
                usage.note(call_from(address), of_key, verdict)

    counting(work)
