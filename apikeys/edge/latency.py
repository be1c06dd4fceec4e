"""How long calls take in this process, at next to no price: few are measured, and all that wait.

What a call waits in the server's queue, before this application hears of it, is not in it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from time import monotonic

from apikeys.edge.facts import Facts, Histogram

MEASURED = 61  # one call in so many; a prime, so as not to fall in step with a client's own rhythm
# Seconds. A call that is decided from memory takes some ten microseconds, one that waits for
# Postgres and Redis some milliseconds, and a quarter of a second at most.
CALL_BOUNDS = (0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.0025, 0.01, 0.05, 0.25)
WAIT_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)


class Latency:
    """What is measured and counted, for the metrics.

    calls: from hearing of a call until its answer was handed to the server, of one in MEASURED.
    waits: of every call that could not be decided from memory, until it was decided.
    misses: how many of those waited because their key was not remembered, or not to be believed.
    is_due: whether the call that begins now is to be measured; to be asked once for each.
    """

    def __init__(self) -> None:
        """The first to be measured is the last of the first MEASURED calls: by then all is warm."""
        self.calls = Histogram(CALL_BOUNDS)
        self.waits = Histogram(WAIT_BOUNDS)
        self.misses = 0
        # The cheapest counter there is: no line of Python runs, where each call passes.
        self.is_due: Callable[[], bool] = cycle([*[False] * (MEASURED - 1), True]).__next__

    @contextmanager
    def waiting(self, *, is_remembered: bool) -> Iterator[None]:
        """Around what a call waits for until it is decided; is_remembered: it is not for its key.

        Calls that were given up are not decided. They do not count here, as they do not in
        the sums of decided calls: so the difference between those and these only grows.
        """
        began_at = monotonic()
        yield
        self.waits.add(monotonic() - began_at)
        self.misses += not is_remembered

    def facts(self) -> Facts:
        """In what JSON can hold."""
        return {
            "calls_took": self.calls.facts(),
            "waits": self.waits.facts(),
            "misses": self.misses,
        }
