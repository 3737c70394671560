"""The tables that rules watch besides the questions of the catalogue, as rows of plain cells. Pure functions of what is
known: nothing is read here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from costweir.alerts.rules_data import Rule
from costweir.alerts.rules_lasting import Looked
from costweir.alerts.rules_text import Row, decimal
from costweir.config.alerting import span_of
from costweir.control.pulls import PullState
from costweir.domain.answer import Cell
from costweir.domain.money import decimal_text, quantity_text
from costweir.domain.period import Month
from costweir.guard.ledger import NANO
from costweir.guard.policy import Rule as Budget
from costweir.guard.windows import Calendar, Rolling, instant, nanoseconds
from costweir.insights.forecast import outlook
from costweir.insights.pace import Burnt, pace
from costweir.insights.usual import Slot, usual_hour
from costweir.queries.coverage import Coverage

#: What a budget may be about, and the dimension of calls that it is; a provider is known there by its own id.
OF_CALLS: Mapping[str, str] = {
    "customer": "customer", "key": "key", "session": "session", "feature": "feature", "project": "project",
    "environment": "environment", "model": "model", "provider": "service",
}  # fmt: skip
#: And the dimension of bills.
OF_BILLS: Mapping[str, str] = {name: name for name in ("customer", "feature", "project", "model", "provider")}
#: Kinds of scope that are about one of many: nobody is called at night for one of them.
_ONE = frozenset({"customer", "key", "session", "user"})
_MICRO = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Watched:
    """An enabled connection: how often it is to be pulled, and how its pulls went."""

    state: PullState
    every: timedelta

    @property
    def id(self) -> str:
        """The connection's name."""
        return self.state.id


@dataclass(frozen=True, slots=True)
class Limit:
    """A budget in USD over time about members that it names, with the open window's length."""

    id: str
    scope: Mapping[str, str]
    usd: Decimal
    window: str
    span: timedelta

    @property
    def kinds(self) -> tuple[str, ...]:
        """What it is about."""
        return tuple(self.scope)

    @property
    def one(self) -> bool:
        """True when it is about one customer, key, session or user."""
        return not _ONE.isdisjoint(self.scope)

    def row(self) -> dict[str, Cell]:
        """The fields that every table of budgets has."""
        scope = " ".join(f"{kind}={name}" for kind, name in sorted(self.scope.items()))
        return {
            "budget": self.id, "scope": scope, "window": self.window, "limit_usd": decimal_text(self.usd),
            "one": self.one,
        }  # fmt: skip


def limits(budgets: Iterable[Budget], now: datetime) -> list[Limit]:
    """The budgets whose pace can be told: in USD, over a calendar or rolling window, and not one for each of many,
    because the guard holds those and nobody could read a message for each."""
    found: list[Limit] = []
    for budget in budgets:
        if budget.limit is None or budget.each or not OF_CALLS.keys() >= set(budget.scope):
            continue
        span = budget.span
        if isinstance(span, Calendar):
            window = span.at(nanoseconds(now))
            length = instant(window.end or window.start) - instant(window.start)
            found.append(_limit(budget, span.kind, length))
        elif isinstance(span, Rolling):
            found.append(_limit(budget, span.text, timedelta(microseconds=span.length // 1_000)))
    return found


def _limit(budget: Budget, window: str, length: timedelta) -> Limit:
    return Limit(budget.id, dict(budget.scope), Decimal(budget.limit or 0) / NANO, window, length)


def paces(budgets: Sequence[Limit], spent: Mapping[str, Row], *, long: str, short: str) -> list[Row]:
    """The table `pace`. `spent` gives the row of `recent` for each budget; one without calls has none and no pace."""
    found: list[Row] = []
    for budget in budgets:
        row = spent.get(budget.id, {})
        far, near = decimal(row.get(f"cost_{long}")), decimal(row.get(f"cost_{short}"))
        if far is None or near is None:
            continue
        told = pace(
            budget.usd, budget.span, long=Burnt(far, span_of(long)), short=Burnt(near, span_of(short))
        )
        if told is not None:
            hours = None if told.empty_hours is None else quantity_text(told.empty_hours)
            found.append({
                **budget.row(), "times": _fewer(told.times), "long_usd": decimal_text(far),
                "short_usd": decimal_text(near), "empty_hours": hours,
            })  # fmt: skip
    return found


def outlooks(
    budgets: Sequence[Limit], daily: Mapping[str, Mapping[date, Decimal]], *, until: Mapping[str, date], today: date
) -> list[Row]:  # fmt: skip
    """The table `outlook`, for budgets of a month. `until` gives the first day that is not complete, by budget."""
    month = Month.of(today)
    found: list[Row] = []
    for budget in budgets:
        if budget.window != "month" or budget.usd <= 0:
            continue
        days = daily.get(budget.id, {})
        told = outlook(days, complete_until=until.get(budget.id, today), month=month)
        if told is None:
            continue
        spent = sum((cost for day, cost in days.items() if month.first <= day <= today), Decimal(0))
        found.append({
            **budget.row(), "month": str(month), "projected_usd": decimal_text(told[0]),
            "projected_share": _fewer(told[0] / budget.usd), "spent_usd": decimal_text(spent), "days": told[1],
                "used_share": _fewer(spent / budget.usd),
        })  # fmt: skip
    return found


def usual_row(
    last: Decimal | None, by_slot: Mapping[Slot, Decimal], daily: Mapping[date, Decimal], at: datetime
) -> list[Row]:
    """The table `usual`: one row, or none without history."""
    told = usual_hour(by_slot, daily, at)
    if told is None or last is None:
        return []
    times = _fewer(last / told.cost) if told.cost > 0 else None
    cost = told.cost.quantize(_MICRO, ROUND_HALF_UP)
    return [{
        "cost_1h": decimal_text(last), "usual_usd": decimal_text(cost), "times": times, "days": told.days,
        "against": told.against,
    }]  # fmt: skip


def fresh(rows: Sequence[Row], by: Sequence[str]) -> list[Row]:
    """The table `fresh`: what each member cost, and for how many days it is known as far as data reaches."""
    firsts = [day for row in rows if (day := _day(row.get("first_day"))) is not None]
    lasts = [day for row in rows if (day := _day(row.get("last_day"))) is not None]
    found: list[Row] = []
    for row in rows:
        first = _day(row.get("first_day"))
        if first is not None:
            cost = next(
                (value for name, value in row.items() if name in ("billed_cost", "metered_cost")), None
            )
            found.append({
                **{name: row.get(name) for name in by}, "cost": cost, "first_day": row.get("first_day"),
                "last_day": row.get("last_day"), "days_known": (max(lasts) - first).days,
                "history_days": (max(lasts) - min(firsts)).days,
            })  # fmt: skip
    return found


def billed_budgets(rows: Sequence[Row], told: Iterable[str]) -> list[Row]:
    """The table `budgets`. `told` are the budgets that the guard has spoken of, whose bill is no news."""
    known = frozenset(told)
    return [
        {
            **row, "metered": row.get("budget") in known,
            "one": not _ONE.isdisjoint(str(row.get("scope")).split("+")),
        }
        for row in rows
    ]  # fmt: skip


def pulls(watched: Sequence[Watched], now: datetime) -> list[Row]:
    """The table `pulls`: every connection with how its last pull went, and for how long nobody pulled it."""
    found: list[Row] = []
    for item in watched:
        state = item.state
        since = state.last_success or state.first_seen
        silent = now - datetime.fromisoformat(since) if since else None
        found.append({
            "id": item.id, "status": state.status or "new", "note": state.note,
            "advice": state.hint or f"costweir pull {item.id} tries it now.", "every": _hours(item.every),
            "silence": f"was last pulled at {since}" if state.last_success else "was never pulled",
            "silent_hours": None if silent is None else _ratio(silent, timedelta(hours=1)),
            "missed": None if silent is None else _ratio(silent, item.every),
        })  # fmt: skip
    return found


def sources(coverage: Coverage) -> list[Row]:
    """The table `sources`: readers whose data ends earlier than their usual lag explains."""
    return [
        {"source": source, "late": True, "sentence": sentence}
        for source, sentence in sorted(coverage.late().items())
    ]


def quarantine_counts(coverage: Coverage) -> dict[str, int]:
    """Lines in quarantine by reader, sample data left out."""
    counts: dict[str, int] = {}
    for load in coverage.loads:
        if not load.sample:
            counts[load.source] = counts.get(load.source, 0) + load.rows_quarantined
    return counts


def quarantine(counts: Mapping[str, int], known: Mapping[str, int]) -> list[Row]:
    """The table `quarantine`: lines by reader, and how many more than what was known when all was well."""
    return [
        {"source": source, "lines": count, "more": count - known.get(source, 0)}
        for source, count in sorted(counts.items())
    ]


def machine(used: int, total: int, free: int) -> list[Row]:
    """The table `machine`, from the bytes of a disk."""
    if total <= 0:
        return []
    return [{"used_share": _fewer(Decimal(used) / total), "free_gb": _fewer(Decimal(free) / 10**9)}]


def silence(before: datetime | None, now: datetime) -> list[Row]:
    """The table `silence`: how long nobody looked. A look in the future was noted by a wrong clock."""
    if before is None or before > now:
        return []
    return [{"minutes": int((now - before).total_seconds()) // 60, "since": f"{before:%Y-%m-%d %H:%M} UTC"}]


def looks(looked: Mapping[str, Looked], rules: Iterable[Rule], now: datetime) -> list[Row]:
    """The table `looks`: how long the longest of the rules that are overdue could not be looked at."""
    overdue = {
        rule.id: now - looked[rule.id].at - rule.interval
        for rule in rules
        if rule.id in looked and now - looked[rule.id].at > rule.interval
    }
    if not overdue:
        return []
    return [
        {"minutes": int(max(overdue.values()).total_seconds()) // 60, "rules": ", ".join(sorted(overdue))}
    ]


def _day(value: Cell) -> date | None:
    return date.fromisoformat(value) if isinstance(value, str) else None


def _ratio(span: timedelta, unit: timedelta) -> str:
    return quantity_text(
        Decimal(span // timedelta(milliseconds=1)) / Decimal(unit // timedelta(milliseconds=1))
    )


def _fewer(value: Decimal) -> str:
    """A ratio with as many digits as decide, none of them rounded up over a threshold."""
    return quantity_text(value.quantize(_MICRO, ROUND_DOWN))


def _hours(every: timedelta) -> str:
    minutes = int(every.total_seconds()) // 60
    return f"{minutes // 60} hours" if minutes % 60 == 0 and minutes >= 120 else f"{minutes} minutes"
