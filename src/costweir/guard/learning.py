"""What share of its worst case a model's calls really cost, learned from what was settled. Only budgets in debt mode
are held by it: a strict one never trusts experience (law L1)."""

from __future__ import annotations

#: Shares are whole parts of a million.
WHOLE = 1_000_000
#: Calls of a model that have to be settled before anything is concluded, and how many are looked back on at least.
LEAST = 64
SPAN = 256
#: The dearest share that was seen is raised by a quarter.
_MARGIN = (5, 4)


class _Seen:
    """The dearest share of the last calls: of the span that runs, and of the one before."""

    __slots__ = ("before", "count", "now")

    def __init__(self) -> None:
        self.count = 0
        self.now = 0
        self.before = 0


class Learned:
    """The shares of one process's models. A restart begins anew, with worst cases."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], _Seen] = {}

    def note(self, model: str, provider: str, *, cost: int, bound: int) -> None:
        """A call cost so much of its worst case, both in nano-dollars."""
        if bound <= 0:
            return
        seen = self._seen.setdefault((model, provider), _Seen())
        if seen.count and seen.count % SPAN == 0:
            seen.before, seen.now = seen.now, 0
        seen.count += 1
        seen.now = max(seen.now, -(-cost * WHOLE // bound))

    def share(self, model: str, provider: str) -> int:
        """How much of a worst case is enough, in parts of a million."""
        seen = self._seen.get((model, provider))
        if seen is None or seen.count < LEAST:
            return WHOLE
        raised, by = _MARGIN
        return min(WHOLE, -(-max(seen.now, seen.before) * raised // by))

    def enough(self, model: str, provider: str, bound: int) -> int:
        """What is held in place of a worst case; never more than it."""
        return -(-bound * self.share(model, provider) // WHOLE)
