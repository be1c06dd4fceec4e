"""A machine door that is alone in its process keeps the server's threads on one core."""

import os
import sys
import time
from collections.abc import Callable

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


@pytest.mark.parametrize(
    ("target", "setting", "is_so"),
    [(DOOR, "1", are_together), (DOOR, "0", are_free), (WHOLE, "1", are_free)],
)
def test_threads_that_take_turns_are_on_one_core_unless_others_are_at_work_beside_them(
    target: str, setting: str, is_so: Callable[[Threads], bool]
) -> None:
    """The event loop's own goes where the system puts it: several doors do not choose one core."""
    with serving(target, EDGE_ONE_CORE=setting) as server:
        until = time.monotonic() + PATIENCE_SECONDS
        while not is_so(threads(server)[0]):
            assert time.monotonic() < until, threads(server)
            server.get("/v1/whoami", "")  # with a call come threads, and they are gathered as well
        assert threads(server)[1] == (os.sched_getaffinity(0), os.SCHED_OTHER)


def test_a_setting_that_is_neither_yes_nor_no_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    """As others are."""
    ended = pytest.raises(AssertionError, match="ended while it was starting")
    with ended, serving(DOOR, EDGE_ONE_CORE="maybe"):
        pass
    assert "EDGE_ONE_CORE is 'maybe'; it should be 1 or 0." in "".join(capfd.readouterr())
