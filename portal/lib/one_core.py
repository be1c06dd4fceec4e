"""The threads of a server that take turns: on one core together, where the event loop runs.

A server with threads of its own beside Python's passes each call from one to the next, and Python
runs one at a time. Left to themselves they spread over the cores, and for each call wake each other
up there, wait for Python's lock, and find nothing in the core's memory: docs/decisions/0019.
"""

import asyncio
import ctypes
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

STAYS_SECONDS = 0.05
# Time enough for the system to put the loop elsewhere if its core has become a busy one.
FREE_SECONDS = 0.002
THREADS = Path("/proc/self/task")


async def keep_together() -> None:
    """For ever: let this process' other threads run on the event loop's core, and never cut in.

    The loop's own thread stays where it is for a spell, and is then free for a moment: the system
    still chooses its core, and several processes spread over them. To be awaited in that thread.
    Where the system knows no such thing, or does not allow it, all stays as it is.
    """
    if sys.platform != "linux" or not os.getppid():
        return
    core_of_this_thread = ctypes.CDLL(None).sched_getcpu
    if core_of_this_thread() < 0:
        return
    before = None
    while True:
        # The folder has a link for each thread; new ones come with the first call.
        now = core_of_this_thread(), THREADS.stat().st_nlink
        if now != before:
            _gather(now[0])
            before = now
        await _stay(now[0])
        await asyncio.sleep(FREE_SECONDS)


def _gather(core: int) -> None:
    mine = threading.get_native_id()
    for thread in [int(each.name) for each in THREADS.iterdir()]:
        with suppress(OSError):  # it has ended, or that is not allowed here
            if thread != mine:
                os.sched_setaffinity(thread, [core])
                if os.sched_getscheduler(thread) == os.SCHED_OTHER:
                    # One that wakes up waits until those that run have had their time.
                    os.sched_setscheduler(thread, os.SCHED_BATCH, os.sched_param(0))


async def _stay(core: int) -> None:
    """This thread, on its core for a spell; then again on all that its process may use."""
    with suppress(OSError):
        os.sched_setaffinity(0, [core])
    try:
        await asyncio.sleep(STAYS_SECONDS)
    finally:
        with suppress(OSError):
            # Those of the server's main process, which nobody moves here: so what `taskset` and a
            # container's limits say of that one holds, and also when a limit is lifted again.
            os.sched_setaffinity(0, os.sched_getaffinity(os.getppid()))
