"""A machine door that is alone in its process keeps the server's threads on one core."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice

import psutil
import pytest

from tests.guarded import Server, serving

pytestmark = [
    pytest.mark.service,
    pytest.mark.usefixtures("django_db_setup"),
    pytest.mark.skipif(sys.platform != "linux", reason="Linux alone says where a thread may run"),
]

DOOR, WHOLE = "apikeys.edge.app:application", "portal.asgi:application"
PATIENCE_SECONDS = 20

Threads = dict[int, tuple[set[int], int]]  # the cores that each may run on, and its policy


def threads(server: Server) -> tuple[Threads, tuple[set[int], int]]:
    """Those of its worker but the event loop's, and that one."""
    (worker,) = psutil.Process(server.process.pid).children()
    found = {
        each.id: (os.sched_getaffinity(each.id), os.sched_getscheduler(each.id))
        for each in worker.threads()
    }
    return found, found.pop(worker.pid)


def are_together(others: Threads) -> bool:
    """On one core, all of them, and none cuts in."""
    cores = [cores for cores, _ in others.values()]
    return all(each == cores[0] and len(each) == 1 for each in cores) and all(
        policy == os.SCHED_BATCH for _, policy in others.values()
    )


def are_free(others: Threads) -> bool:
    """As the system has them."""
    anywhere = os.sched_getaffinity(0)
    return all(each == (anywhere, os.SCHED_OTHER) for each in others.values())


def wait_until(server: Server, is_so: Callable[[Threads], bool]) -> None:
    """Calls come in meanwhile: with the first come threads, and they are gathered as well."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not is_so(threads(server)[0]):
        assert time.monotonic() < until, threads(server)
        server.get("/v1/whoami", "")


def cores_of_the_loop(server: Server) -> Iterator[set[int]]:
    """On which it may run, again and again; it may always cut in."""
    (worker,) = psutil.Process(server.process.pid).children()
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        assert os.sched_getscheduler(worker.pid) == os.SCHED_OTHER
        yield os.sched_getaffinity(worker.pid)


def test_threads_that_take_turns_are_on_one_core_together() -> None:
    """The loop is set free now and then, for the system to choose another: doors spread out."""
    with serving(DOOR) as server:
        wait_until(server, are_together)
        seen: list[set[int]] = []
        for cores in cores_of_the_loop(server):
            if cores not in seen:
                seen.append(cores)
            if os.sched_getaffinity(0) in seen and any(len(each) == 1 for each in seen):
                break
        assert os.sched_getaffinity(0) in seen
        assert any(len(each) == 1 for each in seen)


@pytest.mark.parametrize(("target", "setting"), [(DOOR, "0"), (WHOLE, "1")])
def test_they_are_free_where_that_is_asked_for_or_others_are_at_work_beside_them(
    target: str, setting: str
) -> None:
    """A process with pages hashes passwords in parallel."""
    with serving(target, EDGE_ONE_CORE=setting) as server:
        wait_until(server, are_free)
        seen = islice(cores_of_the_loop(server), 1000)
        assert all(cores == os.sched_getaffinity(0) for cores in seen)


def test_a_door_that_may_use_one_core_is_content_with_it() -> None:
    """What `taskset` or a container's limits say of the main process holds, as long as they do."""
    anywhere, one = os.sched_getaffinity(0), {min(os.sched_getaffinity(0))}
    os.sched_setaffinity(0, one)
    try:
        with serving(DOOR) as server:
            os.sched_setaffinity(0, anywhere)
            wait_until(server, are_together)
            assert all(cores == one for cores in islice(cores_of_the_loop(server), 1000))
            os.sched_setaffinity(server.process.pid, anywhere)
            assert anywhere in cores_of_the_loop(server)
    finally:
        os.sched_setaffinity(0, anywhere)


def test_a_setting_that_is_neither_yes_nor_no_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    """As others are."""
    ended = pytest.raises(AssertionError, match="ended while it was starting")
    with ended, serving(DOOR, EDGE_ONE_CORE="maybe"):
        pass
    assert "EDGE_ONE_CORE is 'maybe'; it should be 1 or 0." in "".join(capfd.readouterr())
