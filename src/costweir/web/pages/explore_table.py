"""The table of Explore: it is the legend of the chart above it, and its last row is the total of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from costweir.domain.answer import Answer
from costweir.domain.charge import UNTAGGED
from costweir.domain.money import decimal_text, quantity_text
from costweir.insights.breakdown import ZERO, Breakdown, besides, by_member, quantity
from costweir.web import charts
from costweir.web import format as fmt
from costweir.web.pages.series import Meaning
from costweir.web.pages.table import Cell, Column, Row, Table, sort_rows, spark, with_bars


@dataclass(frozen=True, slots=True)
class Part:
    """What the table shows: answer, named members, their meaning, the dimension in words, the order; `like` is the
    answer over the days that are compared, where these are not all."""

    answer: Answer
    parts: Breakdown
    meaning: Meaning
    label: str
    sort: str
    like: Answer | None = None

    @property
    def metered(self) -> bool:
        """Whether the answer is of calls: they are counted, and have no price of a thousand tokens."""
        return self.answer.basis == "metered"


@dataclass(frozen=True, slots=True)
class _Line:
    member: str
    amount: Decimal
    tokens: Decimal
    before: Decimal
    like: Decimal
    unit: str = ""
    calls: Decimal = ZERO


def explore_table(
    part: Part, series: Sequence[charts.Series], *, before: Answer | None, base: tuple[str, str, str]
) -> Table:
    """Named members, Other, untagged, total. `base` names the days shown, compared and compared with; columns of the
    earlier period are left out without one."""
    lines = _lines(part, before)
    places = fmt.money_places([line.amount for line in lines])
    columns = _columns(part, base, compared=before is not None)
    trends = {one.label: one.values for one in series}
    rows = [
        _row(line, part, places, trend=trends.get(_name(line, part), ()), compared=before is not None)
        for line in lines
    ]
    rows = with_bars(rows, 2, [line.amount for line in lines])
    ordered = sort_rows(rows, columns, part.sort) if part.sort else tuple(rows)
    return Table(
        title=f"Spend by {part.label}, {base[0]}" + (f" against {base[2]}" if before else ""),
        columns=columns,
        rows=ordered,
        total=_total(part, before),
        sorted_by=part.sort or "-cost",
    )


def ordered_members(part: Part, before: Answer | None) -> list[str]:
    """The members of `part` in the order that its column asks for, untagged left out."""
    columns = _columns(part, ("", "", ""), compared=before is not None)
    rows = [_row(line, part, 2, trend=(), compared=before is not None) for line in _lines(part, before)]
    known = {name for name, _ in part.parts.named}
    return [row[0].raw for row in sort_rows(rows, columns, part.sort) if row[0].raw in known]


def _lines(part: Part, before: Answer | None) -> list[_Line]:
    tokens = by_member(part.answer, part.meaning.dimension, field="tokens")
    was = by_member(before, part.meaning.dimension) if before else {}
    same = by_member(part.like, part.meaning.dimension) if part.like else None
    units = {str(row.get(part.meaning.dimension)): row.get("cost_per_1k_tokens") for row in part.answer.rows}
    calls = by_member(part.answer, part.meaning.dimension, field="lines") if part.metered else {}
    lines = [
        _Line(
            name, amount, tokens.get(name, ZERO), was.get(name, ZERO),
            amount if same is None else same.get(name, ZERO), str(units.get(name) or ""), calls.get(name, ZERO),
        )
        for name, amount in part.parts.named
    ]  # fmt: skip
    shown = {line.member for line in lines} | {UNTAGGED}
    other_tokens, other_before = besides(tokens, shown), besides(was, shown)
    if before is not None:
        other_before += Decimal(before.other)
    if part.parts.other or part.parts.others or other_before:
        other_like = part.parts.other
        if part.like is not None and same is not None:
            other_like = besides(same, shown)
            other_like += Decimal(part.like.other)
        other_calls = besides(calls, shown)
        lines.append(_Line("", part.parts.other, other_tokens, other_before, other_like, calls=other_calls))
    if part.parts.untagged is not None or UNTAGGED in was:
        amount = part.parts.untagged or ZERO
        unit = str(units.get(UNTAGGED) or "")
        like = amount if same is None else same.get(UNTAGGED, ZERO)
        rest = (tokens.get(UNTAGGED, ZERO), was.get(UNTAGGED, ZERO), like, unit, calls.get(UNTAGGED, ZERO))
        lines.append(_Line(UNTAGGED, amount, *rest))
    return lines


def _columns(part: Part, base: tuple[str, str, str], *, compared: bool) -> tuple[Column, ...]:
    cost = f"{part.answer.basis}_cost_{part.answer.currency.lower()}"
    columns = [
        Column(part.label.capitalize(), part.meaning.dimension, numeric=False, sort="name"),
        Column(base[0], cost, sort="cost"),
        Column("Share as a bar", numeric=False, wide=True, silent=True),
        Column("Share", "share", sort="share"),
    ]
    if compared and part.like is not None:
        which = "are over" if part.metered else "all sources have delivered"
        hint = f"The days that {which}; these are compared"
        columns.append(Column(base[1], f"{cost}_compared", sort="like", hint=hint))
    if compared:
        columns += [
            Column(base[2], f"{cost}_before", sort="before"),
            Column("Change", "change", sort="change"),
            Column("in %", "change_percent", sort="percent"),
        ]
    columns += [
        Column("Tokens", "tokens", sort="tokens"),
        Column("Calls", "calls", sort="calls")
        if part.metered
        else Column("Per 1K", "cost_per_1k_tokens", sort="unit", hint="Over the lines billed in tokens"),
        Column("Trend", numeric=False, wide=True),
    ]
    return tuple(columns)


def _name(line: _Line, part: Part) -> str:
    if not line.member:
        return part.meaning.other
    return part.meaning.names.get(line.member, line.member)


def _row(line: _Line, part: Part, places: int, *, trend: Sequence[Decimal], compared: bool) -> Row:
    meaning, money = part.meaning, part.answer.currency
    token = meaning.tokens.get(line.member, charts.OTHER)
    first = Cell(
        _name(line, part), line.member or meaning.other, href=meaning.links.get(line.member, ""),
        swatch=token, badge=line.member == UNTAGGED,
    )  # fmt: skip
    path, dot = spark(trend)
    cells = [
        first,
        Cell(fmt.money(line.amount, money, places=places), decimal_text(line.amount), tone="strong"),
        Cell(tone=token, bar="0%"),
        _share(line.amount, part.parts.total),
        *_compared((line.like, line.before), money, places if compared else None, partly=bool(part.like)),
        _count(line.tokens),
        _count(line.calls) if part.metered else _unit(line.unit, money),
        Cell(spark=path, dot=dot),
    ]
    return tuple(cells)


def _share(part: Decimal, whole: Decimal) -> Cell:
    raw = decimal_text((part / whole * 100).quantize(Decimal("0.000001"))) if whole else ""
    return Cell(fmt.percent(part, whole), raw, tone="muted")


def _compared(pair: tuple[Decimal, Decimal], money: str, places: int | None, *, partly: bool) -> list[Cell]:
    """The cells of a comparison; `partly` when its days are not those of the first column."""
    if places is None:
        return []
    amount, before = pair
    percent = fmt.change_percent(amount, before)
    raw = (
        decimal_text(((amount - before) / abs(before) * 100).quantize(Decimal("0.000001"))) if percent else ""
    )
    reason = "" if percent else "The base is under 1, where a percentage says nothing"
    own = [Cell(fmt.money(amount, money, places=places), decimal_text(amount))] if partly else []
    return [
        *own,
        Cell(fmt.money(before, money, places=places), decimal_text(before)),
        Cell(fmt.signed(amount - before, money, places=places), decimal_text(amount - before)),
        Cell(percent or fmt.NOTHING, raw, title=reason),
    ]


def _count(tokens: Decimal) -> Cell:
    if tokens == 0:
        return Cell(fmt.NOTHING, "", title="Not billed in tokens")
    return Cell(fmt.count(tokens), quantity_text(tokens))


def _unit(price: str, money: str) -> Cell:
    if not price:
        return Cell(fmt.NOTHING, "", title="Under 1,000 tokens, or many prices at once")
    return Cell(fmt.per_thousand(Decimal(price), money), price)


def _total(part: Part, before: Answer | None) -> Row:
    money, total = part.answer.currency, part.parts.total
    compared: list[Cell] = []
    if before is not None:
        pair = (Decimal((part.like or part.answer).total), Decimal(before.total))
        compared = _compared(pair, money, 2, partly=bool(part.like))
    tokens = quantity(part.answer, "tokens")
    return (
        Cell("Total", "Total"),
        Cell(fmt.money(total, money, places=2 if abs(total) >= 1 else None), decimal_text(total)),
        Cell(),
        Cell("100.0%" if total else fmt.NOTHING, "100" if total else ""),
        *compared,
        _count(tokens),
        _count(quantity(part.answer, "lines")) if part.metered else Cell(fmt.NOTHING),
        Cell(),
    )
