"""The canary is flown by the worker, every minute, and what came of it is kept."""

from itertools import pairwise

import pytest
from procrastinate.contrib.django import app

from apikeys import upkeep
from apikeys.models import PropagationRun
from apikeys.tasks import fly_canary
from tests.effect import PATIENCE, a_process, aside, with_doors

pytestmark = pytest.mark.usefixtures("door_beside")


def test_the_worker_flies_it_every_minute() -> None:
    """So that a metric of it is never older than that, and a flight is over before the next."""
    runs = app.periodic_registry.periodic_tasks["apikeys.tasks.fly_canary", ""].croniter
    times = [runs.get_next(start_time=0), *(runs.get_next() for _ in range(5))]
    assert {after - before for before, after in pairwise(times)} == {60}
    assert upkeep.CANARY_SECONDS < 60


def test_a_flight_is_kept_with_the_seconds_that_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the last process had heard."""
    monkeypatch.setattr(upkeep, "CANARY_SECONDS", PATIENCE)

    async def work() -> None:
        await aside(lambda: fly_canary(0))

    with_doors(2, work)
    flight = PropagationRun.objects.get()
    assert (flight.processes, flight.reached) == (2, 2)
    assert flight.seconds is not None and 0 < flight.seconds < PATIENCE


def test_a_flight_that_nobody_hears_of_is_kept_as_such_and_without_processes_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upkeep, "CANARY_SECONDS", 0.05)
    fly_canary(0)
    assert not PropagationRun.objects.exists()
    a_process()
    fly_canary(0)
    flight = PropagationRun.objects.get()
    assert (flight.processes, flight.reached, flight.seconds) == (1, 0, None)
