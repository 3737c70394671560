"""The time that windows go by: the machine's clock at the start, and from then on only what really passed.

A step back never reopens a window, because time goes on from where it was. A step forward opens none until somebody
confirms it, by a restart or by hand, because a wrong clock would give every budget away at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from costweir.guard.windows import SECOND

#: A step forward up to this is an ordinary correction and is followed.
CORRECTION = 10 * SECOND

Nanoseconds = Callable[[], int]


def steady() -> int:
    """Nanoseconds that really passed, the sleep of a machine included where the system counts it."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic_ns() if boot is None else time.clock_gettime_ns(boot)


class Clock:
    """Never goes back. `since` is the last instant that an earlier process saw."""

    def __init__(
        self, *, wall: Nanoseconds = time.time_ns, passed: Nanoseconds = steady, since: int = 0
    ) -> None:
        self._wall = wall
        self._passed = passed
        self._zero = max(wall(), since) - passed()
        self._check = 0
        #: By how much the machine's clock went ahead and was not followed; 0 while they agree.
        self.ahead = 0

    def now(self) -> int:
        """Nanoseconds since 1970."""
        passed = self._passed()
        if passed >= self._check:
            self._compare(passed)
        return self._zero + passed

    def confirm(self) -> None:
        """Takes the machine's clock for right, also when that goes back. Windows that open again still have their
        balances."""
        self._zero = self._wall() - self._passed()
        self.ahead = 0

    def not_before(self, instant: int) -> None:
        """Goes on from `instant` when the machine's clock is behind it."""
        self._zero = max(self._zero, instant - self._passed())

    def _compare(self, passed: int) -> None:
        self._check = passed + SECOND // 10
        step = self._wall() - (self._zero + passed)
        if 0 < step <= CORRECTION:
            self._zero += step
        self.ahead = step if step > CORRECTION else 0
