"""Days and billing months, always UTC. `since` is inclusive and `until` exclusive everywhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A billing month such as `2026-10`."""

    year: int
    number: int

    @classmethod
    def of(cls, day: date) -> Month:
        """The month that `day` lies in."""
        return cls(day.year, day.month)

    @classmethod
    def parse(cls, text: str) -> Month:
        """Reads `YYYY-MM`; ValueError otherwise."""
        match = _MONTH.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a month; write it as 2026-10")
        return cls(int(match[1]), int(match[2]))

    @property
    def first(self) -> date:
        """The first day."""
        return date(self.year, self.number, 1)

    @property
    def following(self) -> Month:
        """The next month."""
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    @property
    def previous(self) -> Month:
        """The month before."""
        return Month.of(self.first - timedelta(days=1))

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.following.first - self.first).days

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number:02d}"


@dataclass(frozen=True, slots=True)
class Period:
    """Days from `since` (inclusive) to `until` (exclusive); either side may be open."""

    since: date | None = None
    until: date | None = None

    def __post_init__(self) -> None:
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError(f"the period is empty: since {self.since} is not before until {self.until}")

    def touches(self, month: Month) -> bool:
        """Whether the month and the period share a day."""
        starts_before = self.until is None or month.first < self.until
        return starts_before and (self.since is None or month.following.first > self.since)

    def to_json(self) -> dict[str, str | None]:
        """`{"since": "2026-11-01", "until": "2026-11-19"}`; an open side is null."""
        return {
            "since": self.since.isoformat() if self.since else None,
            "until": self.until.isoformat() if self.until else None,
        }
