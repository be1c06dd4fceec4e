"""What a process of the machine door knows of itself: numbers, in what JSON can hold."""

from bisect import bisect_left
from collections.abc import Sequence
from time import monotonic

from apikeys.edge.directory import Directory
from apikeys.edge.usage import ALLOWED, Usage

Facts = dict[str, object]

LOOKUP_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15)  # seconds


class Histogram:
    """How long things took, in Prometheus's way: how many took so long at most."""

    def __init__(self, bounds: Sequence[float] = LOOKUP_BOUNDS) -> None:
        """bounds: seconds, the least first."""
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)  # the last: longer than all bounds
        self._seconds = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._seconds += seconds

    def facts(self) -> Facts:
        """counts: of each bound, those not in a lower one; the last beyond them all."""
        counts = list(self._counts)
        return {"bounds": list(self._bounds), "counts": counts, "seconds": self._seconds}


def facts_of(
    *,
    usage: Usage,
    directory: Directory,
    lookups: Histogram,
    listener_losses: int,
    limiter_failures: int,
    streams: int,
) -> Facts:
    """One process's share of the metrics.

    directory_age: seconds since the last proof that changes are heard; None before the first.
    """
    age = monotonic() - directory.proved_at
    return {
        "calls": {ALLOWED: usage.allowed, **usage.refused},
        "usage_waiting": usage.waiting,
        "usage_lost": usage.lost,
        "directory_keys": len(directory),
        "directory_age": age if age != float("inf") else None,
        "lookups": lookups.facts(),
        "listener_losses": listener_losses,
        "limiter_failures": limiter_failures,
        "streams": streams,
    }
