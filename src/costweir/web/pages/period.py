"""The days of a page that shows one period: a month by name, or `from` and `to`."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Choices:
    """The address of a page that shows one period, and its neighbours: other months, orders, pages and formats."""

    path: str
    days: Days
    sort: str
    now: Now

    def url(self, wanted: Days, *, order: str = "", suffix: str = "", page: int = 1) -> str:
        """The address of this page for other days, another order, format or part."""
        pairs = [("from", wanted.first.isoformat()), ("to", wanted.last.isoformat())]
        pairs += [("sort", order)] if order else []
        pairs += [("page", str(page))] if page > 1 else []
        return f"{self.path}{suffix}?{urlencode(pairs)}"

    def sort_url(self, order: str) -> str:
        """The address of the first page in another order."""
        return self.url(self.days, order=order)

    def page_url(self, number: int) -> str:
        """The address of another page in the same order."""
        return self.url(self.days, order=self.sort, page=number)

    @property
    def months(self) -> list[tuple[str, str, bool]]:
        """The newest 24 months: name, address, and whether it is the one shown."""
        found: list[tuple[str, str, bool]] = []
        for name in sorted(self.now.months, reverse=True)[:24]:
            month = Month.parse(name)
            last = min(month_days(self.now, name, last=date.max).last, max(self.now.today, month.first))
            shown = month.first == self.days.first and self.days.count <= 31
            address = self.url(Days(month.first, last), order=self.sort)
            found.append((fmt.short_month(month.first), address, shown))
        return found

    def context(self, page: int = 1) -> dict[str, object]:
        """What the period menu, the sort links and the export links need; the CSV has every page, Markdown this one."""
        days, sort = self.days, self.sort
        return {
            "days": days, "range": fmt.days(days.first, days.last, today=self.now.today), "months": self.months,
            "path": self.path, "sort_url": self.sort_url, "csv": self.url(days, order=sort, suffix=".csv"),
            "md": self.url(days, order=sort, suffix=".md", page=page),
        }  # fmt: skip


def choices(path: str, days: Days, *, now: Now, sort: str = "") -> Choices:
    """The neighbours of a page."""
    return Choices(path, days, sort, now)
