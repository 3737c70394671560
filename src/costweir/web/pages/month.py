"""One month as far as it has come: every question of the overview, asked once and at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from costweir.domain.answer import Answer
from costweir.domain.charge import UNKNOWN
from costweir.domain.period import Month
from costweir.insights.breakdown import Breakdown, by_member, fold
from costweir.insights.forecast import Forecast, NotYet, forecast
from costweir.queries.request import Request as Question
from costweir.web import format as fmt
from costweir.web.pages.asking import Answers
from costweir.web.pages.limits import Limits, read_limits
from costweir.web.pages.shell import (
    Kit,
    Now,
    Source,
    complete_until,
    last_day,
    month_days,
    provisional_from,
    read_sources,
)
from costweir.web.pages.view import Days, like_days

#: What has one price: a line of the decomposition.
PRICED = ("provider", "model", "token_class")


@dataclass(frozen=True, slots=True)
class MonthToDate:
    """One month as far as it has come, with everything answered for it."""

    now: Now
    days: Days
    before: Days
    month: Month
    found: Answers
    daily: Mapping[date, Decimal]
    forecast: Forecast | NotYet
    limits: Limits
    names: Mapping[str, str]
    customers: Breakdown
    sources: tuple[Source, ...]

    @property
    def spend(self) -> Answer:
        """The month by provider: its total is the tile."""
        return self.found.need("providers")

    @property
    def total(self) -> Decimal:
        """Month to date."""
        return Decimal(self.spend.total)

    @property
    def currency(self) -> str:
        """Of every amount on the page."""
        return self.spend.currency

    @property
    def open_from(self) -> date:
        """The first day that may still change."""
        return provisional_from(self.sources, self.now.today)

    @property
    def is_over(self) -> bool:
        """True when every day of the month has passed and been delivered."""
        return isinstance(self.forecast, Forecast) and not self.forecast.cone

    @property
    def base(self) -> str:
        """The period compared with, in words."""
        return fmt.days(self.before.first, self.before.last, today=self.now.today)


def gather(kit: Kit, now: Now, month: Month | None) -> MonthToDate:
    """Asks everything about `month`, by default the month of the last day that has a charge."""
    days = month_days(now, str(month) if month else "", last=last_day(kit, now))
    shown = Month.of(days.first)
    before = like_days(days)
    start = (shown.first - timedelta(days=400)).replace(day=1)
    unknown = {"model": (UNKNOWN,)}
    found = kit.ask(
        {
            "daily": Question("spend", by=("day",), since=start, until=shown.following.first),
            "by_day": asked(days, "provider", "day"),
            "providers": asked(days, "provider"),
            "lines": asked(days, *PRICED),
            "lines_before": asked(before, *PRICED),
            "customers": asked(days, "customer"),
            "customers_before": asked(before, "customer"),
            "unknown": asked(days, "provider", where=unknown),
        }
    )
    known_sources = read_sources(kit, now.today)
    daily = {date.fromisoformat(day): amount for day, amount in by_member(found.need("daily"), "day").items()}
    known_until = min(complete_until(known_sources) or days.until, days.until)
    names = {str(known["id"]): str(known.get("name") or known["id"]) for known in kit.desk.customers()}
    return MonthToDate(
        now, days, before, shown, found, daily,
        forecast(daily, complete_until=known_until, month=shown), read_limits(kit.desk), names,
        fold(found.need("customers"), "customer", named=5), known_sources,
    )  # fmt: skip


def asked(days: Days, *by: str, where: Mapping[str, tuple[str, ...]] | None = None) -> Question:
    """Spend of some days by some dimensions."""
    return Question("spend", by=by, where=where or {}, since=days.first, until=days.until)
