"""Tries again what may help: throttling, outages and cut connections, and nothing else.

A wait is what the provider asks for, else it doubles; it is capped and spread, so that two runs do not march in step.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from costweir.errors import Unreachable

_Result = TypeVar("_Result")
_DICE = random.SystemRandom()


class Busy(Exception):
    """A failure that may pass. `after` is how long the provider asks to wait, where it says so."""

    def __init__(self, said: str, after: timedelta | None = None) -> None:
        super().__init__(said)
        self.said = said
        self.after = after


def _sleep(wait: timedelta) -> None:
    time.sleep(wait.total_seconds())


def _spread(wait: timedelta) -> timedelta:
    """Between half of `wait` and all of it."""
    whole = max(1, int(wait / timedelta(milliseconds=1)))
    return timedelta(milliseconds=_DICE.randint((whole + 1) // 2, whole))


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how patiently. `sleep` and `spread` are there for tests that must not wait or vary."""

    attempts: int = 7
    first: timedelta = timedelta(seconds=1)
    longest: timedelta = timedelta(seconds=60)
    sleep: Callable[[timedelta], None] = _sleep
    spread: Callable[[timedelta], timedelta] = _spread

    def run(self, call: Callable[[], _Result], who: str) -> _Result:
        """What `call` returns. It raises Busy for what may pass, and anything else ends the tries at once.

        Raises Unreachable when the last try is Busy too; `who` names the provider in its sentence.
        """
        wait = self.first
        for left in range(self.attempts - 1, -1, -1):
            try:
                return call()
            except Busy as busy:
                if left == 0:
                    raise Unreachable(
                        f"{who} did not answer in {self.attempts} tries: {busy.said}.",
                        hint="Nothing was loaded or lost; the next run fetches the same days again.",
                    ) from busy
                # What the provider asks for is not shortened by the spread, only by the cap.
                asked = busy.after if busy.after is not None else self.spread(wait)
                self.sleep(min(asked, self.longest))
            wait = min(wait * 2, self.longest)
        raise AssertionError("a policy of no attempts")
