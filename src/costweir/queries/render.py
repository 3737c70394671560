"""Fills the placeholders of a catalogue file from the whitelist. What a caller typed only ever becomes a
parameter."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from costweir.queries.dimensions import FACT_TABLES, METERED, Dimension, Facts
from costweir.store.warehouse import Parameter

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_CUSTOMERS = "LEFT JOIN customers AS p ON p.id = f.x_customer"

#: What tells two lines of one split apart, so that every engine cuts the same ones off.
_LINE_ORDER = (
    "m_native_cost", "m_native_currency", "m_sku_text", "m_quantity", "m_pricing_unit", "m_tokens",
    "m_charge_category", "m_resource", "m_mapping_rule", "m_customer_rule", "m_source", "m_file", "m_run_id",
)  # fmt: skip

#: Cost columns of each basis: in the bill's currency, in US dollars, and the count of lines that have none.
COST_COLUMNS: Mapping[str, tuple[str, str, str]] = {
    "billed": ("billed_cost", "x_billed_usd", "0"),
    "effective": ("effective_cost", "x_effective_usd", "0"),
    "list": ("list_cost", "x_list_usd", "f.without_list"),
    "contracted": ("contracted_cost", "x_contracted_usd", "f.without_contracted"),
    "metered": ("metered_cost", "x_metered_usd", "0"),
}


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that are AND-ed: dimensions with the values they may have, and days."""

    values: Mapping[str, tuple[Dimension, tuple[Parameter, ...]]]
    since: date | None = None
    until: date | None = None

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """The dimensions that are filtered on."""
        return tuple(dimension for dimension, _ in self.values.values())

    def sql(self, facts: Facts, only: str) -> tuple[str, dict[str, Parameter]]:
        """The condition and its parameters. An empty filter is a condition that always holds."""
        parts = [f"({only})"] if only else []
        params: dict[str, Parameter] = {}
        for number, (dimension, values) in enumerate(self.values.values()):
            marks = [f"w{number}_{index}" for index in range(len(values))]
            params.update(zip(marks, values, strict=True))
            parts.append(f"{dimension.sql(facts)} IN ({', '.join(f'${mark}' for mark in marks)})")
        if self.since is not None:
            parts.append("f.usage_date >= $since")
            params["since"] = self.since
        if self.until is not None:
            parts.append("f.usage_date < $until")
            params["until"] = self.until
        return " AND ".join(parts) or "1 = 1", params


@dataclass(frozen=True, slots=True)
class Selection:
    """Which facts to read, split how, filtered how, and in which cost column."""

    facts: Facts
    basis: str
    by: tuple[Dimension, ...]
    filter: Filter
    only: str = ""
    cost: str = ""
    currency: str = ""
    limit: int | None = None

    def on(self, facts: Facts) -> Selection:
        """The same over other facts."""
        return replace(self, facts=facts)

    def unlimited(self) -> Selection:
        """The same with every row."""
        return replace(self, limit=None)

    def split(self, by: Sequence[Dimension]) -> Selection:
        """The same, split by other dimensions."""
        return replace(self, by=tuple(by))


def fill(
    template: str, selection: Selection, params: Mapping[str, Parameter] | None = None
) -> tuple[str, dict[str, Parameter]]:
    """The SQL and its parameters. Raises KeyError for a placeholder that does not exist."""
    facts, by = selection.facts, selection.by
    condition, bound = selection.filter.sql(facts, selection.only)
    native, usd, missing = COST_COLUMNS[selection.basis]
    in_usd = selection.cost.startswith("x_")
    parts = {
        "dims": "".join(f"{item.sql(facts)} AS d_{item.name}, " for item in by),
        "facts": f"{FACT_TABLES[facts]} AS f" + (f" {_CUSTOMERS}" if _joins_customers(selection) else ""),
        "where": condition + _in_currency(selection),
        "group": f"GROUP BY {', '.join(item.sql(facts) for item in by)}" if by else "",
        "order": _order(selection),
        # for the questions that add up twice: finely over the facts, then over the few groups `g` and `u`
        "keys": "".join(f"{item.sql(facts)}, " for item in by),
        "again": "".join(f"g.d_{item.name} AS d_{item.name}, " for item in by),
        "regroup": f"GROUP BY {', '.join(f'g.d_{item.name}' for item in by)}" if by else "",
        "same": " AND ".join(f"u.d_{item.name} = g.d_{item.name}" for item in by) or "1 = 1",
        "lines": _order(selection, _LINE_ORDER),
        "cost": selection.cost, "native": native, "usd": usd,
        "missing": missing,
        "credit": "x_credit_usd" if in_usd else "x_credit_cost",
        **{basis: columns[1] if in_usd else columns[0] for basis, columns in COST_COLUMNS.items()},
    }  # fmt: skip
    if selection.currency and not in_usd and facts != "calls":
        bound["currency"] = selection.currency
    return _PLACEHOLDER.sub(lambda match: parts[match[1]], template), {**bound, **(params or {})}


def replace_basis(selection: Selection, basis: str) -> Selection:
    """The same on another basis."""
    return replace(selection, basis=basis)


def _joins_customers(selection: Selection) -> bool:
    if selection.facts in METERED:
        return False
    return any(item.customers for item in (*selection.by, *selection.filter.dimensions))


def _in_currency(selection: Selection) -> str:
    """Leaves out the rows whose amount is not in the answer's currency; the answer lists them as excluded."""
    if not selection.cost:
        return ""
    if selection.cost.startswith("x_"):
        return " AND f.x_has_usd = TRUE"
    return "" if selection.facts == "calls" else " AND f.billing_currency = $currency"


def _order(selection: Selection, more: Sequence[str] = ()) -> str:
    names = ", ".join(["m_cost DESC", *(f"d_{item.name}" for item in selection.by), *more])
    limit = f" LIMIT {selection.limit:d}" if selection.limit is not None else ""
    return f"ORDER BY {names}{limit}"
