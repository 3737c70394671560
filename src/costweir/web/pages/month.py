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
from costweir.queries.coverage import RESTATED_DAYS
from costweir.queries.request import Request as Question
from costweir.web import format as fmt
from costweir.web.pages.asking import Answers
from costweir.web.pages.limits import Limits, read_limits
from costweir.web.pages.shell import (
    HEALTH,
    Kit,
    Now,
    Source,
    complete_days,
    complete_until,
    counted,
    month_days,
    provisional_from,
    sources_of,
)
from costweir.web.pages.view import Days, like_days

#: What has one price: a line of the decomposition. A call is priced whole, so that calls are compared by model.
PRICED = ("provider", "model", "token_class")
PRICED_CALLS = ("provider", "model")


@dataclass(frozen=True, slots=True)
class MonthToDate:
    """One month as far as it has come, with everything answered for it. `compared` are the complete ones of its
    `days`, and `before` the days they are compared with."""

    now: Now
    days: Days
    before: Days
    month: Month
    compared: Days | None
    found: Answers
    daily: Mapping[date, Decimal]
    forecast: Forecast | NotYet
    limits: Limits
    names: Mapping[str, str]
    customers: Breakdown
    sources: tuple[Source, ...]

    @property
    def spend(self) -> Answer:
        """The month by provider, model and day: its total is the tile."""
        return self.found.need("by_day")

    @property
    def metered(self) -> bool:
        """True where no bill is stored, so that all of it is what the gateway metered."""
        return self.now.metered

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
        return provisional_from(counted(self.now) if self.metered else self.sources, self.now.today)

    @property
    def open_word(self) -> str:
        """What such a day is called: a bill may change it, and calls only add to today."""
        return "today so far" if self.metered else "provisional"

    @property
    def is_over(self) -> bool:
        """True when every day of the month has passed and been delivered."""
        return isinstance(self.forecast, Forecast) and not self.forecast.cone

    @property
    def is_open(self) -> bool:
        """True while the invoice of the month is open, so that any of its days may be restated."""
        if self.metered:
            return False
        return self.now.today < self.month.following.first + timedelta(days=RESTATED_DAYS)

    @property
    def base(self) -> str:
        """The period compared with, in words."""
        return fmt.days(self.before.first, self.before.last, today=self.now.today)

    @property
    def compared_text(self) -> str:
        """The days that are compared, where these are not all; else nothing."""
        if self.compared in (None, self.days):
            return ""
        return fmt.days(self.compared.first, self.compared.last, today=self.now.today)

    @property
    def unknown(self) -> Decimal:
        """What was billed for models that nobody recognises."""
        return by_member(self.spend, "model").get(UNKNOWN, Decimal(0))


def gather(kit: Kit, now: Now, month: Month | None) -> MonthToDate:
    """Asks everything about `month`, by default the month of the last day that has a charge. At most eight
    questions: the first two say which days the others are about."""
    start = ((month or Month.parse(max(now.months))).first - timedelta(days=400)).replace(day=1)
    asked = {"daily": Question("spend", by=("day",), since=start)}
    early = kit.ask(asked if now.metered else {**asked, "sources": HEALTH})
    sources = sources_of(early.maybe("sources"), now.today)
    whole = counted(now) if now.metered else sources
    daily = {date.fromisoformat(day): amount for day, amount in by_member(early.need("daily"), "day").items()}
    last = min(max(daily, default=now.today), now.today)
    # A day without a call is known to have cost nothing; one without a charge may not have been delivered.
    end = now.today if now.metered else last
    days = month_days(now, str(month or (Month.of(last) if now.metered else "")), last=end)
    shown = Month.of(days.first)
    compared = complete_days(days, whole)
    before = like_days(compared or days)
    later = kit.ask(_questions(days, compared, before, PRICED_CALLS if now.metered else PRICED))
    daily = {day: amount for day, amount in daily.items() if day < shown.following.first}
    known_until = min(complete_until(whole) or days.until, days.until)
    names = {str(known["id"]): str(known.get("name") or known["id"]) for known in kit.desk.customers()}
    return MonthToDate(
        now, days, before, shown, compared, Answers({**early.found, **later.found}), daily,
        forecast(daily, complete_until=known_until, month=shown), read_limits(kit.desk), names,
        fold(later.need("customers"), "customer", named=5), sources,
    )  # fmt: skip


def _questions(
    days: Days, compared: Days | None, before: Days, priced: tuple[str, ...]
) -> dict[str, Question]:
    found = {"by_day": asked(days, "provider", "model", "day"), "customers": asked(days, "customer")}
    if compared is None:
        return found
    found |= {
        "lines": asked(compared, *priced),
        "lines_before": asked(before, *priced),
        "customers_before": asked(before, "customer"),
    }
    if compared != days:
        found["customers_compared"] = asked(compared, "customer")
    return found


def asked(days: Days, *by: str) -> Question:
    """Spend of some days by some dimensions."""
    return Question("spend", by=by, since=days.first, until=days.until)
