"""Which processor cores a benchmark's processes run on.

A server with one worker takes one core at most: its threads take turns. Left to themselves they
wander between cores, onto those of the load generator and of Postgres, and how often they do
is chance. So it is measured both ways.
"""

import os
from collections.abc import Collection, Iterable

import psutil


def all_cores() -> list[int]:
    """Those that this process may use; [] where the system does not say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def keep_to(cores: Collection[int], processes: Iterable[psutil.Process]) -> None:
    """Every thread of these processes and of their children, and whatever they start later."""
    for process in processes:
        for each in (process, *process.children(recursive=True)):
            for thread in each.threads():
                try:
                    os.sched_setaffinity(thread.id, cores)
                except ProcessLookupError:  # it has just ended
                    continue
