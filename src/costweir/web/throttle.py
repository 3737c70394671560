"""How often somebody may ask: token buckets in memory, one for each caller, forgotten when they are full again."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

#: Callers that are remembered at once; the one not seen for longest goes first.
MOST_CALLERS = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """`rate` requests a second for each token or address after a burst of `burst`; `failures` wrong tokens at once
    from an address, then one every `failure_seconds`."""

    rate: int = 50
    burst: int = 1_000
    failures: int = 10
    failure_seconds: int = 6


@dataclass(slots=True)
class Buckets:
    """Buckets that hold `burst` and refill by one every `seconds`."""

    burst: int
    seconds: float
    clock: Callable[[], float] = time.monotonic
    _held: OrderedDict[str, tuple[float, float]] = field(
        default_factory=OrderedDict[str, tuple[float, float]], init=False
    )

    def take(self, name: str) -> int:
        """Takes one from the bucket of `name`: 0 when there was one, else the whole seconds until there is."""
        now = self.clock()
        level, since = self._held.pop(name, (self.burst * 1.0, now))
        level = min(self.burst, level + max(0.0, now - since) / self.seconds)
        taken = level >= 1
        self._held[name] = (level - 1 if taken else level, now)
        if len(self._held) > MOST_CALLERS:
            self._held.popitem(last=False)
        return 0 if taken else max(1, math.ceil((1 - level) * self.seconds))
