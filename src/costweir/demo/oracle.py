"""The independent oracle: totals kept while the files are written, to hold what is loaded against them.

Nothing in the product reads it. Amounts are billed cost, after restatement, credits on the row applied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from costweir.demo.story import Use
from costweir.domain.charge import UNKNOWN, UNTAGGED
from costweir.domain.money import decimal_text, quantity_text

Json = dict[str, object]


class Cell(NamedTuple):
    """The key of what is added up: one kind of spend on one day."""

    provider: str
    account: str
    period: str
    day: date
    service: str
    model: str
    token_class: str
    customer: str = UNTAGGED
    project: str = UNTAGGED
    feature: str = UNTAGGED
    category: str = "Usage"


@dataclass(slots=True)
class _Sum:
    billed: Decimal = Decimal(0)
    tokens: Decimal = Decimal(0)
    rows: int = 0

    def add(self, other: _Sum) -> None:
        self.billed += other.billed
        self.tokens += other.tokens
        self.rows += other.rows


@dataclass(slots=True)
class Oracle:
    """Collects what a faithful reader must find; `skip` is for lines that are not AI."""

    cells: dict[Cell, _Sum] = field(default_factory=dict[Cell, _Sum])
    skipped: dict[tuple[str, str, str], _Sum] = field(default_factory=dict[tuple[str, str, str], _Sum])

    def use(self, use: Use, account: str, billed: Decimal, *, service: str = "") -> None:
        """Counts one usage line, in the invoice month of its day; `service` if the bill names another."""
        cell = Cell(
            provider=use.stream.provider,
            account=account,
            period=f"{use.day:%Y-%m}",
            day=use.day,
            service=service or use.stream.service,
            model=use.stream.model,
            token_class=use.sku.token_class,
            customer=use.customer,
            project=use.project,
            feature=use.feature,
        )
        self.charge(cell, billed, use.amount if use.sku.counts_tokens else 0)

    def charge(self, cell: Cell, billed: Decimal, tokens: Decimal | int = 0) -> None:
        """Counts one AI line; `tokens` is zero where the unit is not tokens."""
        self.cells.setdefault(cell, _Sum()).add(_Sum(billed, Decimal(tokens), 1))

    def skip(self, slot: tuple[str, str, str], billed: Decimal) -> None:
        """Counts one line of (provider, account, invoice month) that is not an AI service."""
        self.skipped.setdefault(slot, _Sum()).add(_Sum(billed, Decimal(0), 1))

    def to_json(self, plan_of: Mapping[str, str]) -> Json:
        """Everything added up; `by` holds one list a grouping, `other` never needed."""
        total = self._sum(lambda cell: True)
        untagged = self._sum(lambda cell: cell.customer == UNTAGGED)
        unknown = self._sum(lambda cell: cell.model == UNKNOWN and cell.category == "Usage")
        return {
            "basis": "billed",
            "currency": "USD",
            "total": decimal_text(total.billed),
            "rows": total.rows,
            "skipped_rows": sum(item.rows for item in self.skipped.values()),
            "untagged": {"billed_cost": decimal_text(untagged.billed), "rows": untagged.rows},
            "unknown": {"billed_cost": decimal_text(unknown.billed), "rows": unknown.rows},
            "slots": self._slots(),
            "by": self._groups(plan_of),
        }

    def _sum(self, wanted: Callable[[Cell], bool]) -> _Sum:
        found = _Sum()
        for cell, item in self.cells.items():
            if wanted(cell):
                found.add(item)
        return found

    def _slots(self) -> Sequence[Json]:
        stored: dict[tuple[str, str, str], _Sum] = {}
        for cell, item in self.cells.items():
            stored.setdefault((cell.provider, cell.account, cell.period), _Sum()).add(item)
        rows: list[Json] = []
        for slot in sorted(set(stored) | set(self.skipped)):
            kept, skipped = stored.get(slot, _Sum()), self.skipped.get(slot, _Sum())
            counts = {
                "rows_in": kept.rows + skipped.rows,
                "rows_stored": kept.rows,
                "rows_skipped": skipped.rows,
                "billed_total": decimal_text(kept.billed),
                "file_total": decimal_text(kept.billed + skipped.billed),
            }
            rows.append(dict[str, object](zip(("provider", "account", "period"), slot, strict=True)) | counts)
        return rows

    def _groups(self, plan_of: Mapping[str, str]) -> Json:
        """Every grouping. Those that ask for no day are added up from months, which are far fewer."""
        months: dict[Cell, _Sum] = {}
        days: dict[Cell, _Sum] = {}
        for cell, item in self.cells.items():
            months.setdefault(cell._replace(day=cell.day.replace(day=1)), _Sum()).add(item)
            days.setdefault(Cell(cell.provider, "", "", cell.day, "", "", ""), _Sum()).add(item)
        return {
            name: _group(days if "day" in parts else months, parts, plan_of)
            for name, parts in GROUPINGS.items()
        }


def _group(cells: Mapping[Cell, _Sum], parts: Sequence[str], plan_of: Mapping[str, str]) -> Sequence[Json]:
    groups: dict[tuple[str, ...], _Sum] = {}
    for cell, item in cells.items():
        key = tuple(_member(cell, part, plan_of) for part in parts)
        groups.setdefault(key, _Sum()).add(item)
    return [
        dict[str, object](zip(parts, key, strict=True))
        | {"billed_cost": decimal_text(item.billed), "tokens": quantity_text(item.tokens), "rows": item.rows}
        for key, item in sorted(groups.items())
    ]


GROUPINGS: Mapping[str, tuple[str, ...]] = {
    "provider": ("provider",),
    "month": ("month",),
    "provider_month": ("provider", "month"),
    "provider_period": ("provider", "period"),
    "service": ("service",),
    "model": ("model",),
    "model_month": ("model", "month"),
    "token_class": ("token_class",),
    "model_token_class": ("model", "token_class"),
    "customer": ("customer",),
    "customer_month": ("customer", "month"),
    "project": ("project",),
    "feature": ("feature",),
    "plan_month": ("plan", "month"),
    "day": ("day",),
    "provider_day": ("provider", "day"),
    "category": ("category",),
}


def _member(cell: Cell, part: str, plan_of: Mapping[str, str]) -> str:
    if part == "day":
        return cell.day.isoformat()
    if part == "month":
        return cell.day.isoformat()[:7]
    if part == "plan":
        return plan_of.get(cell.customer, "") or "none"
    return str(getattr(cell, part))
