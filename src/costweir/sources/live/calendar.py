"""Which days a fetch has to ask for: a stored month is replaced as a whole, so it is fetched as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from costweir.errors import UsageError
from costweir.sources.live.source import Window


def utc_today() -> date:
    """The UTC day of now."""
    return datetime.now(UTC).date()


def whole_months(window: Window, today: date) -> Window:
    """The months that `window` touches, cut off after `today`. Raises UsageError for a window without days."""
    if window.since >= window.until or window.since > today:
        raise UsageError(
            f"The window from {window.since} to {window.until} has no day that has begun.",
            hint="Give a first day, and a later day as the end; the end is not included.",
        )
    last = min(window.until - timedelta(days=1), today)
    end = min(next_month(last), today + timedelta(days=1))
    return Window(window.since.replace(day=1), end)


def by_month(window: Window) -> Iterator[Window]:
    """The parts of `window`, month by month."""
    start = window.since
    while start < window.until:
        end = min(next_month(start), window.until)
        yield Window(start, end)
        start = end


def next_month(day: date) -> date:
    """The first day of the month after that of `day`."""
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
