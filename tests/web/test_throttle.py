"""Buckets empty, fill again at their pace, and are forgotten when too many callers come."""

from __future__ import annotations

import pytest

from costweir.web import throttle
from costweir.web.throttle import Buckets


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_and_then_one_for_each_step_of_time() -> None:
    clock = Clock()
    buckets = Buckets(3, 10, clock)

    assert [buckets.take("a") for _ in range(5)] == [0, 0, 0, 10, 10]
    clock.now += 4
    assert buckets.take("a") == 6
    clock.now += 6
    assert [buckets.take("a") for _ in range(2)] == [0, 10]


def test_waiting_as_long_as_was_said_is_enough() -> None:
    clock = Clock()
    buckets = Buckets(2, 0.3, clock)
    for _ in range(50):
        wait = buckets.take("a")
        clock.now += wait
        assert wait in (0, 1)
    clock.now += 1
    assert buckets.take("a") == 0


def test_callers_do_not_share_and_a_full_bucket_stays_full() -> None:
    clock = Clock()
    buckets = Buckets(2, 10, clock)
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 10]
    assert buckets.take("b") == 0
    clock.now += 1_000
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 10]


def test_a_clock_that_goes_back_gives_nothing_and_takes_nothing() -> None:
    clock = Clock()
    buckets = Buckets(1, 10, clock)
    assert buckets.take("a") == 0
    clock.now -= 500
    assert buckets.take("a") == 10


def test_memory_does_not_grow_with_the_number_of_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MOST_CALLERS", 3)
    buckets = Buckets(1, 10, Clock())
    for name in "abcd":
        assert buckets.take(name) == 0
    assert buckets.take("d") == 10
    assert buckets.take("a") == 0
