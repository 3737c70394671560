"""Leaves a provider alone for a while after it failed several times in a row, then lets one call try it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Breaker:
    """Closed while all is well. Times are the event loop's, in seconds."""

    failures: int = 5
    seconds: float = 15
    _in_a_row: int = 0
    _until: float = 0

    def admits(self, now: float) -> bool:
        """True when a call may go; after a pause the first one may, and the others wait for how it ends."""
        if self._in_a_row < self.failures:
            return True
        if now < self._until:
            return False
        self._until = now + self.seconds
        return True

    def succeeded(self) -> None:
        """A reply came."""
        self._in_a_row = 0

    def failed(self, now: float) -> None:
        """None came, or one that says the provider is not well."""
        self._in_a_row += 1
        if self._in_a_row >= self.failures:
            self._until = now + self.seconds

    @property
    def is_open(self) -> bool:
        """True while the provider is left alone."""
        return self._in_a_row >= self.failures
