"""The canary is flown by the worker, every minute, and what came of it is kept."""

import datetime as dt
from itertools import pairwise

import pytest
from procrastinate.contrib.django import app

from apikeys import upkeep
from apikeys.edge.gate import Gate
from apikeys.models import DoorProcess, PropagationRun
from apikeys.tasks import fly_canary
from portal.lib import clock
from tests.door import run
from tests.effect import PATIENCE, a_process, aside, with_doors
from tests.test_metrics import scrape

pytestmark = pytest.mark.usefixtures("door_beside")


def test_the_worker_flies_it_every_minute() -> None:
    """So that a metric of it is never older than that, and a flight is over before the next."""
    runs = app.periodic_registry.periodic_tasks["apikeys.tasks.fly_canary", ""].croniter
    times = [runs.get_next(start_time=0), *(runs.get_next() for _ in range(5))]
    assert {after - before for before, after in pairwise(times)} == {60}
    assert upkeep.CANARY_SECONDS < 60


def test_no_long_job_keeps_it_waiting() -> None:
    """Its queue is its own, so a worker can be started that does nothing slow."""
    found = [name for name, task in app.tasks.items() if task.queue == "canary"]
    assert found == ["apikeys.tasks.fly_canary"]


def test_a_flight_is_kept_with_the_seconds_that_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the last process had heard."""
    monkeypatch.setattr(upkeep, "CANARY_SECONDS", PATIENCE)

    async def work() -> None:
        await aside(lambda: fly_canary(0))

    with_doors(2, work)
    flight = PropagationRun.objects.get()
    assert (flight.processes, flight.reached) == (2, 2)
    assert flight.seconds is not None and 0 < flight.seconds < PATIENCE


def test_a_flight_that_nobody_hears_of_is_kept_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether nobody is there that remembers keys, or one is and says nothing."""
    monkeypatch.setattr(upkeep, "CANARY_SECONDS", 0.05)
    a_process()
    DoorProcess.objects.update(is_remembering=False)
    fly_canary(0)
    a_process()
    fly_canary(0)
    flights = PropagationRun.objects.order_by("at")
    assert list(flights.values_list("processes", "reached", "seconds")) == [
        (0, 0, None),
        (1, 0, None),
    ]


def test_a_canary_that_nobody_remembers_has_no_seconds() -> None:
    """Those of an earlier one say nothing any more."""
    long_ago = clock.now() - dt.timedelta(hours=1)
    PropagationRun.objects.create(at=long_ago, processes=2, reached=2, seconds=0.1)

    async def work() -> None:
        gate = Gate()
        await aside(upkeep.measure_propagation)
        found = await scrape(gate)
        nothing = frozenset[tuple[str, str]]()
        assert found["portal_canary_processes", nothing] == 0
        assert ("portal_canary_seconds", nothing) not in found
        assert 0 <= found["portal_canary_age_seconds", nothing] < 600
        await gate.close()

    run(work)
