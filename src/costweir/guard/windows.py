"""The window that an instant lies in. A window's id is part of every balance's key, so no job ever resets one: a new
day simply has another key. Instants are whole nanoseconds since 1970 in UTC.

The windows of one kind tile time without gap or overlap, whatever the clocks of its zone do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
#: A rolling window is counted in this many parts; one part more is kept, so that it never counts too little.
PARTS = 60

_ROLLING = re.compile(r"rolling:([1-9]\d{0,5})([mhd])")
_UNIT = {"m": 60 * SECOND, "h": 3_600 * SECOND, "d": DAY}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` (inclusive) to `end` (exclusive); no `end` for one that never closes."""

    id: str
    start: int
    end: int | None


@dataclass(frozen=True, slots=True)
class Calendar:
    """Days, ISO weeks or months that begin at midnight in a zone."""

    kind: Literal["day", "week", "month"]
    zone: ZoneInfo

    def at(self, now: int) -> Window:
        """The window that `now` lies in."""
        today = instant(now).astimezone(self.zone).date()
        if self.kind == "day":
            return self._between(f"day:{today}", today, today + timedelta(days=1))
        if self.kind == "week":
            monday = today - timedelta(days=today.weekday())
            year, week, _ = today.isocalendar()
            return self._between(f"week:{year}-W{week:02d}", monday, monday + timedelta(days=7))
        first = today.replace(day=1)
        following = (first + timedelta(days=31)).replace(day=1)
        return self._between(f"month:{first:%Y-%m}", first, following)

    def _between(self, name: str, first: date, following: date) -> Window:
        return Window(name, self._midnight(first), self._midnight(following))

    def _midnight(self, day: date) -> int:
        # A midnight that a clock change skips counts as the instant of the change, because fold 0 takes the old offset.
        return nanoseconds(datetime(day.year, day.month, day.day, tzinfo=self.zone))


@dataclass(frozen=True, slots=True)
class Total:
    """All time."""

    kind: Literal["total"] = "total"

    def at(self, now: int) -> Window:
        """The one window."""
        return Window("total", 0, None)


@dataclass(frozen=True, slots=True)
class PerSession:
    """As long as a session lives. Calls that name no session share one for each key and UTC day."""

    kind: Literal["session"] = "session"

    def at(self, now: int) -> Window:
        """The window of a named session."""
        return Window("session", 0, None)

    def unnamed(self, now: int) -> Window:
        """The window of a key's calls that name no session."""
        start = now - now % DAY
        return Window(f"session:{instant(start):%Y-%m-%d}", start, start + DAY)


@dataclass(frozen=True, slots=True)
class Rolling:
    """The time that just passed, in parts of equal width. A part counts until its last instant has left the window,
    so up to one part more than the window is counted and never less."""

    text: str
    length: int
    kind: Literal["rolling"] = "rolling"

    @property
    def width(self) -> int:
        """How long one part is."""
        return max(SECOND, -(-self.length // PARTS))

    def at(self, now: int) -> Window:
        """The part that `now` lies in."""
        start = now - now % self.width
        return Window(f"{self.text}@{start // SECOND}", start, start + self.width)

    def since(self, now: int) -> int:
        """The start of the oldest part that still counts at `now`."""
        oldest = now - self.length
        return oldest - oldest % self.width

    def expires(self, start: int) -> int:
        """When the part that began at `start` counts no more."""
        return start + self.width + self.length


Span = Calendar | Total | PerSession | Rolling


def parse(text: str, timezone: str = "UTC") -> Span:
    """Reads `day`, `week`, `month`, `session`, `total` or `rolling:` with a number and `m`, `h` or `d`. ValueError
    otherwise."""
    if text == "day" or text == "week" or text == "month":
        return Calendar(text, ZoneInfo(timezone))
    if text == "total":
        return Total()
    if text == "session":
        return PerSession()
    rolling = _ROLLING.fullmatch(text)
    if rolling is None:
        raise ValueError(f"{text!r} is not a window; write day, week, month, session, total or rolling:24h")
    return Rolling(text, int(rolling[1]) * _UNIT[rolling[2]])


def instant(now: int) -> datetime:
    """Nanoseconds as a UTC time, cut to microseconds."""
    return _EPOCH + timedelta(microseconds=now // 1_000)


def nanoseconds(at: datetime) -> int:
    """A time with a zone as nanoseconds, without a float in between."""
    since = at.astimezone(UTC) - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
