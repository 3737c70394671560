"""Rows of Azure's cost query, as the live source writes them: a cost export of few columns, cut by day and meter.

A meter that has no unit here keeps its cost and its model, and its tokens stay unknown.
"""

from __future__ import annotations

from collections.abc import Mapping

from costweir.sources.formats import azure
from costweir.sources.formats.format import Format, Header, plain
from costweir.sources.formats.header import Columns, coalesced

_BLOCK = "(1[KM]) Tokens$"

NEEDS: tuple[tuple[str, ...], ...] = (
    ("QueryScope",),
    ("UsageDate",),
    ("Cost",),
    ("Currency",),
    ("BillingAccountId",),
    ("Meter",),
    ("MeterSubCategory",),
)


def is_answer(header: Header) -> bool:
    """The rows of a query, which alone name the scope that was asked."""
    return not QUERY.missing(header)


def columns(header: Header) -> Mapping[str, str]:
    """The charge columns of the rows of a cost query."""
    at = Columns(header)
    base = dict(
        azure.columns({name: kind for name, kind in header.items() if not plain(name).startswith("query")})
    )
    return {
        **base,
        "charge_frequency": "NULL",
        # Agreements that do not tell the unit still say it in the names of their newer meters.
        "line_unit": coalesced(
            base["line_unit"], f"nullif(regexp_extract({at.text('Meter')}, '{_BLOCK}', 1), '')"
        ),
        "line_usd_rate": at.money("QueryUsdRate"),
        # A sum over a day has no price of its own to check the unit by.
        "line_unit_price": "NULL",
        "x_line_type": at.text("QueryCostType"),
    }


QUERY = Format("azure-query", "azure", is_answer, columns, needs=NEEDS)
FORMATS = (QUERY,)
