"""Reading what the machine door has written about the use of keys, and counting without a door."""

import datetime as dt
import ipaddress
from collections import Counter
from collections.abc import Awaitable, Callable
from time import monotonic

from apikeys.charts import SPANS
from apikeys.edge.database import Database
from apikeys.edge.held import Held
from apikeys.edge.merging import Merging
from apikeys.edge.settings import edge_settings
from apikeys.edge.usage import Usage
from apikeys.models import ApiKey, KeyCalls, KeyUse
from apikeys.refusals import ALLOWED, Verdict
from apikeys.trial import record_of
from apikeys.usage import chart_of
from apikeys.verdict import Call
from portal.lib.address import Address
from tests.door import run

OFFICE = ipaddress.ip_address("203.0.113.7")
HOME = ipaddress.ip_address("2001:db8::1")
OVER = dt.timedelta(seconds=150)  # after it, all that was counted before is to be merged


def use_of(key: ApiKey) -> tuple[dt.datetime, str] | None:
    """When and from where the key's row says that it was last let in."""
    use = KeyUse.objects.filter(key=key).first()
    return (use.last_used_at, use.last_address) if use else None


def calls_of(key: ApiKey) -> dict[str, int]:
    """How many calls of the key its rows have, by outcome, all minutes together."""
    found: Counter[str] = Counter()
    for row in KeyCalls.objects.filter(key=key, period="minute"):
        found[row.outcome] += row.calls
    return dict(found)


def shown(key: ApiKey) -> dict[str, int]:
    """The calls of the last hour as the key's page has them, by outcome."""
    return dict(chart_of(key, SPANS["hour"]).outcomes)


def record(key: ApiKey) -> Held:
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


def count(*noted: tuple[Held, Address | None], verdict: Verdict = ALLOWED, times: int = 1) -> None:
    """Counts these calls so many times, and has them written."""

    async def work(usage: Usage) -> None:
        for _ in range(times):
            for of_key, address in noted:
                usage.note(call_from(address), of_key, verdict)

    counting(work)


def merge(pauses: int = 16) -> None:
    """What a process merges of what waits, in so many pauses: by then all that is over."""

    async def work() -> None:
        database = Database(edge_settings().database)
        database.open()
        merging = Merging(database)
        for _ in range(pauses):
            await merging.run(monotonic() + 20)
        await database.close()

    run(work)
