"""The stored lines that a mapping of the operator is about, or was about: what their meaning was read from, what it is
now, and how much money it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import cast

from costweir.queries.result import number
from costweir.store.remapping import FOUND
from costweir.store.warehouse import Parameter, Reader, Slot, Value

#: Ids of rules of the operator's own mappings start with this.
OWN_RULE = "override."
#: The first text that is after every text with that start, so that no engine's LIKE is needed.
_AFTER_OWN = "override/"
_KEYS = (
    "x_provider",
    "x_account",
    "x_period",
    "x_source",
    "billing_currency",
    "charge_category",
    "x_consumed_unit",
)


@dataclass(frozen=True, slots=True)
class MappedLines:
    """Lines of one slot, reader, currency, category and stated unit that are alike in every column of `found`.

    `quantity` counts units of the line and `consumed` what the bill says was consumed; `price` is the highest price
    of a unit, and `usd` the billed cost of the lines that have a US-dollar rate.
    """

    slot: Slot
    source: str
    currency: str
    category: str
    consumed_unit: str
    found: Mapping[str, Value]
    lines: int
    billed: Decimal
    usd: Decimal
    tokens: Decimal
    quantity: Decimal
    consumed: Decimal
    price: Decimal | None
    first_day: date
    last_day: date


def mapped_lines(reader: Reader, texts: Collection[str]) -> list[MappedLines]:
    """Every stored line whose meaning was read from one of `texts`, or that a mapping of the operator holds now."""
    columns = (*_KEYS, *FOUND)
    marks = {f"t{place}": text for place, text in enumerate(sorted(texts))}
    named = f"f.x_line_text IN ({', '.join(f'${mark}' for mark in marks)}) OR " if marks else ""
    sql = (
        f"SELECT {', '.join(f'f.{name} AS d_{name}' for name in columns)}, COUNT(*) AS m_lines, "  # noqa: S608
        "SUM(f.billed_cost) AS m_billed, COALESCE(SUM(f.x_billed_usd), 0) AS m_usd, "
        "COALESCE(SUM(f.x_tokens), 0) AS m_tokens, "
        "COALESCE(SUM(COALESCE(f.x_line_quantity, f.pricing_quantity)), 0) AS m_quantity, "
        "COALESCE(SUM(f.x_consumed_quantity), 0) AS m_consumed, "
        "MAX(CASE WHEN f.pricing_unit = f.x_line_unit THEN COALESCE(f.list_unit_price, f.contracted_unit_price) END) "
        "AS m_price, MIN(f.usage_date) AS m_first, MAX(f.usage_date) AS m_last FROM charges AS f "
        f"WHERE {named}(f.x_mapping_rule >= $own AND f.x_mapping_rule < $after) "
        f"GROUP BY {', '.join(f'f.{name}' for name in columns)} "
        f"ORDER BY {', '.join(f'd_{name}' for name in columns)}"
    )
    params: dict[str, Parameter] = {**marks, "own": OWN_RULE, "after": _AFTER_OWN}
    return [_lines(record) for record in reader.query(sql, params).records()]


def _lines(record: Mapping[str, Value]) -> MappedLines:
    provider, account, period, source, currency, category, unit = (
        str(record[f"d_{name}"] or "") for name in _KEYS
    )
    price = record["m_price"]
    return MappedLines(
        Slot(provider, account, period), source, currency, category, unit,
        {name: record[f"d_{name}"] for name in FOUND}, int(number(record["m_lines"])), number(record["m_billed"]),
        number(record["m_usd"]), number(record["m_tokens"]), number(record["m_quantity"]),
        number(record["m_consumed"]), None if price is None else number(price), cast("date", record["m_first"]),
        cast("date", record["m_last"]),
    )  # fmt: skip
