"""The chart card of the overview: spend per day by provider, the running total, and the table behind both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from costweir.domain.money import decimal_text
from costweir.insights.breakdown import Breakdown, fold, matrix, running, within
from costweir.insights.forecast import Forecast
from costweir.web import charts
from costweir.web import format as fmt
from costweir.web.pages.marks import Marks, Subject
from costweir.web.pages.month import MonthToDate
from costweir.web.pages.series import Buckets, Meaning, Stack, buckets, provisional, stack
from costweir.web.pages.table import Cell, Column, Row, Table
from costweir.web.pages.view import explore_link


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of the legend."""

    label: str
    token: str
    amount: str
    href: str


@dataclass(frozen=True, slots=True)
class Plots:
    """Two specs, the legend, the finding in a sentence for each, the table, and the annotations."""

    day: charts.Spec
    run: charts.Spec
    keys: tuple[Key, ...]
    finding: str
    provisional: str
    table: Table
    marks: Marks


def plots(data: MonthToDate, read: Callable[[Buckets, Subject], Marks]) -> Plots:
    """Providers in their fixed order, further ones as they come; `read` gives the annotations."""
    parts = _in_order(fold(data.spend, "provider", named=12))
    time = buckets(data.days, "day", today=data.now.today)
    names = [name for name, _ in parts.named]
    links = {name: explore_link(data.days, by="model", where={"provider": name}) for name in names}
    meaning = Meaning(
        "provider", charts.tokens("provider", names), {}, links, provisional(time, data.open_from), "Other"
    )
    stacked = stack(parts, data.found.need("by_day"), data.found.need("daily"), time, meaning=meaning)
    title = f"Spend per day by provider, {fmt.month(data.days.first)}"
    marks = read(time, Subject(named={"provider": names}))
    frame = charts.Frame(title, time.labels, data.currency, dots=marks.dots)
    late = within(data.daily, data.open_from, data.days.last)
    is_late = any(data.open_from <= day <= data.days.last for day in data.daily)
    return Plots(
        day=charts.over_time(frame, stacked.series),
        run=_running(data),
        keys=tuple(
            Key(name, meaning.tokens[name], fmt.money(amount, data.currency, places=0), links[name])
            for name, amount in parts.named
        ),
        finding=_finding(data, stacked, time),
        provisional=fmt.money(late, data.currency, places=0) if is_late else "",
        table=_table(data, parts, time, stacked),
        marks=marks,
    )


def _in_order(parts: Breakdown) -> Breakdown:
    fixed = {name: place for place, name in enumerate(charts.PROVIDERS)}
    named = sorted(parts.named, key=lambda item: fixed.get(item[0], len(fixed)))
    return Breakdown(tuple(named), parts.other, parts.others, parts.untagged, parts.total)


def _running(data: MonthToDate) -> charts.Spec:
    totals = {day.day: amount for day, amount in running(data.daily, data.days.each()).items()}
    cone: list[charts.Cone] = []
    if isinstance(data.forecast, Forecast) and data.forecast.cone:
        start = data.forecast.cone[0].day.day - 1
        if start in totals:
            cone.append(charts.Cone(start, totals[start], totals[start]))
        cone += [charts.Cone(step.day.day, step.low, step.high) for step in data.forecast.cone]
    frame = charts.Frame(
        f"Running total of {fmt.month(data.days.first)} against the budget, with the forecast range",
        (fmt.short_month(data.days.first).split()[0],),
        data.currency,
    )
    return charts.running_total(frame, totals, cone=cone, budget=data.limits.firm, last=data.month.days)


def _finding(data: MonthToDate, stacked: Stack, time: Buckets) -> str:
    if not stacked.totals:
        return "No day of this month has a charge."
    high = max(range(len(stacked.totals)), key=lambda place: stacked.totals[place])
    top = max(
        fold(data.spend, "provider", named=12).named, key=lambda item: item[1], default=("", Decimal(0))
    )
    return (
        f"Stacked bars per day, {fmt.days(data.days.first, data.days.last, today=data.now.today)}. "
        f"{time.labels[high]} is highest with {fmt.money(stacked.totals[high], data.currency)}; "
        f"{top[0]} is the largest provider with {fmt.money(top[1], data.currency)}. "
        "The table below has every value."
    )


def _table(data: MonthToDate, parts: Breakdown, time: Buckets, stacked: Stack) -> Table:
    """Days, newest first, with the amounts of the answer itself."""
    cells = matrix(data.found.need("by_day"), "provider", "day")
    names = [name for name, _ in parts.named]
    columns = (
        Column("Day (UTC)", "day", numeric=False),
        *(Column(name, name) for name in names),
        Column("Total", "total"),
    )
    rows: list[Row] = []
    for place in reversed(range(len(time.labels))):
        day = time.starts[place].isoformat()
        note = data.open_word if time.starts[place] >= data.open_from else ""
        amounts = [cells.get(name, {}).get(day, Decimal(0)) for name in names]
        rows.append(
            (
                Cell(time.labels[place], day, note=note),
                *_cells(amounts, data),
                _cell(stacked.totals[place], data),
            )
        )
    total = (Cell(_span(data.days.first, data)), *_cells([amount for _, amount in parts.named], data))
    return Table("Spend per day by provider", columns, tuple(rows), (*total, _cell(data.total, data)))


def _cells(amounts: list[Decimal], data: MonthToDate) -> list[Cell]:
    return [_cell(amount, data) for amount in amounts]


def _cell(amount: Decimal, data: MonthToDate) -> Cell:
    return Cell(fmt.money(amount, data.currency, places=2), decimal_text(amount))


def _span(first: date, data: MonthToDate) -> str:
    return fmt.days(first, data.days.last, today=data.now.today)
