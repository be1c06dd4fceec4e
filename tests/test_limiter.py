"""So many calls in any 60 seconds, in one process: against a plain model, whatever the schedule."""

import random
import sys
from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apikeys.edge.limiter import SECOND, WINDOW, LocalLimiter, Quota
from tests.of_key import OfKey

KEY = 4711
# Gaps between two calls: none, about a window, and what lies between them.
GAPS = st.one_of(
    st.just(0),
    st.integers(0, 3 * SECOND),
    st.integers(0, 3 * WINDOW),
    st.sampled_from([1, SECOND, WINDOW - 1, WINDOW, WINDOW + 1, 2 * WINDOW]),
)
LIMITS = st.integers(1, 12)


class Timed:
    """A limiter whose clock is moved by hand."""

    def __init__(self) -> None:
        self.now = 10**15
        self.limiter = LocalLimiter(lambda: self.now)
        self.records: dict[int, OfKey] = {}

    def take(self, limit: int, key: int = KEY) -> Quota:
        """One call, now."""
        record = self.records.setdefault(key, OfKey(key.to_bytes(16)))
        return self.limiter.take_now(record, limit)

    def takes(self, limit: int, moments: Iterable[int]) -> list[bool]:
        """Which of the calls at these moments, counted from now, are let in."""
        began = self.now
        found = []
        for moment in moments:
            self.now = began + moment
            found.append(self.take(limit).left >= 0)
        return found


@given(st.lists(st.tuples(GAPS, LIMITS), max_size=120))
@example([(0, 3)] * 4 + [(WINDOW - 1, 3), (1, 3)])
@example([(0, 12)] * 12 + [(1, 2), (WINDOW, 2), (0, 2), (0, 2), (1, 12)])
def test_it_does_what_the_plain_model_does(schedule: list[tuple[int, int]]) -> None:
    """Which forgets nothing and counts anew each time; the limit may change with every call."""
    timed = Timed()
    let_in: list[int] = []
    for gap, limit in schedule:
        timed.now += gap
        within = [moment for moment in let_in if timed.now - moment < WINDOW]
        quota = timed.take(limit)
        assert (quota.left >= 0) is (len(within) < limit)
        if quota.left >= 0:
            let_in.append(timed.now)
            within.append(timed.now)
            assert quota.left == limit - len(within)
            leaves = within[0] + WINDOW
        else:
            leaves = within[len(within) - limit] + WINDOW
        assert quota.seconds == -((timed.now - leaves) // SECOND)
        assert 1 <= quota.seconds <= 60


@given(st.integers(1, 40), st.lists(st.integers(0, 3 * WINDOW), max_size=200))
def test_nobody_gets_more_than_the_limit_in_any_60_seconds(limit: int, moments: list[int]) -> None:
    """Each such span begins with a call that was let in, or holds no more than a later one."""
    moments.sort()
    let_in = [at for at, is_in in zip(moments, Timed().takes(limit, moments), strict=True) if is_in]
    for start in let_in:
        assert sum(start <= at < start + WINDOW for at in let_in) <= limit


@given(st.integers(1, 40), st.lists(st.integers(0, 3 * WINDOW), max_size=200))
def test_nobody_at_or_under_the_limit_is_refused(limit: int, moments: list[int]) -> None:
    """Of any schedule those calls are made that keep to the limit: all of them are let in."""
    kept: list[int] = []
    for moment in sorted(moments):
        if sum(moment - at < WINDOW for at in kept) < limit:
            kept.append(moment)
    assert all(Timed().takes(limit, kept))


def test_at_the_limit_with_jitter_nobody_is_refused_for_ten_minutes() -> None:
    """60 a minute: one in each second, early or late in it, the same in every minute."""
    places = [random.Random(4711).randrange(SECOND) for _ in range(60)]  # noqa: S311
    moments = [second * SECOND + places[second % 60] for second in range(600)]
    assert all(Timed().takes(60, moments))


def test_at_twice_the_limit_every_minute_has_exactly_the_limit() -> None:
    """And not half of that, as with limiters that count what they refuse."""
    let_in = Timed().takes(60, [number * SECOND // 2 for number in range(1200)])
    for minute in range(10):
        assert sum(let_in[minute * 120 : minute * 120 + 120]) == 60


@given(st.lists(GAPS, min_size=1, max_size=60), LIMITS)
def test_who_waits_as_long_as_was_said_is_let_in_and_a_second_earlier_is_not(
    gaps: list[int], limit: int
) -> None:
    """To the second."""
    timed = Timed()
    for gap in gaps:
        timed.now += gap
        quota = timed.take(limit)
    while quota.left >= 0:
        quota = timed.take(limit)
    refused_at = timed.now
    timed.now = refused_at + (quota.seconds - 1) * SECOND
    assert timed.take(limit).left == -1
    timed.now = refused_at + quota.seconds * SECOND
    assert timed.take(limit).left >= 0


def test_each_key_has_a_limit_of_its_own() -> None:
    """Whatever others do."""
    timed = Timed()
    assert [timed.take(2, key).left for key in (1, 2, 1, 2, 1, 2)] == [1, 1, 0, 0, -1, -1]


def test_a_changed_limit_holds_from_the_next_call() -> None:
    """Raised or lowered; what was let in before stays counted."""
    timed = Timed()
    assert [timed.take(10).left for _ in range(6)] == [9, 8, 7, 6, 5, 4]
    assert timed.take(5).left == -1
    assert timed.take(7).left == 0
    assert timed.take(7).left == -1
    assert timed.take(1000).left == 992


def test_a_key_that_is_busy_up_to_600_takes_5_kilobytes() -> None:
    """A little more than 600 times 8 bytes."""
    timed = Timed()
    for _ in range(700):
        timed.take(600)
    log = timed.limiter._logs[KEY.to_bytes(16)]
    assert sys.getsizeof(log) < 5_300


@pytest.mark.parametrize("pause", [WINDOW, 5 * WINDOW])
def test_idle_keys_are_forgotten(pause: int) -> None:
    """One busy key is enough to forget a thousand that are not; it keeps its own count."""
    timed = Timed()
    for key in range(1000):
        timed.take(10, key)
    timed.now += pause
    for _ in range(3):
        timed.now += WINDOW // 2
        for _ in range(400):
            timed.take(10)
    assert len(timed.limiter) == 1
    assert timed.take(10).left == -1


def test_a_key_that_calls_now_and_then_is_not_forgotten_too_early() -> None:
    """Its calls count for 60 seconds, wherever the limiter's own rounds begin."""
    timed = Timed()
    left = []
    for _ in range(500):
        timed.now += WINDOW // 8
        left.append(timed.take(10).left)
    assert left == [9, 8, 7, 6, 5, 4, 3] + [2] * 493
