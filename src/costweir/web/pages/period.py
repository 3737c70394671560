"""The days of a page that shows one period: a month by name, or `from` and `to`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from urllib.parse import urlencode

from starlette.requests import Request

from costweir.domain.period import Month
from costweir.web import format as fmt
from costweir.web.pages.shell import Kit, Now, last_day, month_days
from costweir.web.pages.view import Days, read_view


def read_days(kit: Kit, request: Request, now: Now) -> Days:
    """`?from=&to=` inclusive; by default the month of the last day with a charge. Raises UsageError."""
    default = month_days(now, "", last=last_day(kit, now))
    named = [(name, value) for name, value in request.query_params.multi_items() if name in ("from", "to")]
    return read_view(named, default=default, dimensions=("provider",)).days


def choices(path: str, days: Days, *, now: Now, sort: str = "") -> dict[str, object]:
    """What the period menu, the sort links and the export links need."""

    def url(wanted: Days, order: str = "", suffix: str = "") -> str:
        pairs = [("from", wanted.first.isoformat()), ("to", wanted.last.isoformat())]
        return f"{path}{suffix}?{urlencode([*pairs, *([('sort', order)] if order else [])])}"

    months: list[tuple[str, str, bool]] = []
    for name in sorted(now.months, reverse=True)[:24]:
        month = Month.parse(name)
        whole = Days(month.first, min(month_days(now, name, last=date.max).last, max(now.today, month.first)))
        months.append(
            (fmt.short_month(month.first), url(whole, sort), whole.first == days.first and days.count <= 31)
        )
    sort_url: Callable[[str], str] = lambda order: url(days, order)  # noqa: E731
    return {
        "days": days, "range": fmt.days(days.first, days.last, today=now.today), "months": months,
        "path": path,
        "sort_url": sort_url, "csv": url(days, sort, ".csv"), "md": url(days, sort, ".md"),
    }  # fmt: skip
