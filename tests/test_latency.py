"""How long calls take: few are measured, all that wait are."""

import asyncio
import json
from contextlib import suppress
from typing import Any

from apikeys.edge.latency import CALL_BOUNDS, MEASURED, WAIT_BOUNDS, Latency


def test_one_call_in_so_many_is_measured_and_never_the_first() -> None:
    latency = Latency()
    due = [latency.is_due() for _ in range(3 * MEASURED)]
    assert [place for place, is_due in enumerate(due, 1) if is_due] == [
        MEASURED,
        2 * MEASURED,
        3 * MEASURED,
    ]


def test_every_wait_is_measured_and_those_for_a_key_are_counted() -> None:
    latency = Latency()
    for is_remembered in (True, False, False):
        with latency.waiting(is_remembered=is_remembered):
            pass
    facts: Any = json.loads(json.dumps(latency.facts()))
    assert facts["misses"] == 2
    assert sum(facts["waits"]["counts"]) == 3 and sum(facts["calls_took"]["counts"]) == 0


def test_a_call_that_was_given_up_counts_nowhere() -> None:
    """It was not decided: else those that did not wait would seem to be fewer than they were."""
    latency = Latency()

    async def work() -> None:
        async def wait() -> None:
            with latency.waiting(is_remembered=False):
                await asyncio.Event().wait()

        call = asyncio.create_task(wait())
        await asyncio.sleep(0)
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call

    asyncio.run(work())
    assert latency.misses == 0 and sum(_counts(latency, "waits")) == 0


def test_the_bounds_tell_a_call_from_memory_from_one_that_waited() -> None:
    latency = Latency()
    for seconds in (0.000015, 0.00004, 0.2, 3.0):
        latency.calls.add(seconds)
    counts = _counts(latency, "calls_took")
    assert counts[0] == counts[1] == counts[-2] == counts[-1] == 1 and sum(counts) == 4
    for bounds in (CALL_BOUNDS, WAIT_BOUNDS):
        assert list(bounds) == sorted(bounds)


def _counts(latency: Latency, fact: str) -> list[int]:
    facts: Any = latency.facts()
    counts: list[int] = facts[fact]["counts"]
    return counts
