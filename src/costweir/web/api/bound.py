"""What a token that is bound to a customer sees: that customer, in every question and list, and nobody else.

A question that cannot be narrowed to a customer is refused, because its total would be everybody's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from costweir.errors import NotAllowed
from costweir.queries.question import catalogue
from costweir.web.desk import Record

_DIMENSION = "customer"


def narrowable() -> frozenset[str]:
    """The questions that can be filtered by customer."""
    return frozenset(question.id for question in catalogue() if _DIMENSION in question.filters)


def narrow(where: Mapping[str, tuple[str, ...]], customer: str) -> dict[str, tuple[str, ...]]:
    """The filters with the caller's customer; `customer` empty leaves them as they are.

    Raises NotAllowed when they name somebody else.
    """
    if not customer:
        return dict(where)
    if any(name != customer for name in where.get(_DIMENSION, ())):
        raise NotAllowed(
            f"This token sees the customer {customer} only.", hint="Leave the filter on customer out."
        )
    return {**where, _DIMENSION: (customer,)}


def check_question(question: str, customer: str) -> None:
    """Raises NotAllowed for a question whose answer cannot be narrowed to one customer."""
    known = {item.id for item in catalogue()}
    if customer and question in known and question not in narrowable():
        raise NotAllowed(
            f"{question} is about all customers, and this token sees {customer} only.",
            hint=f"Ask one of {', '.join(sorted(narrowable()))}.",
        )


def own_questions(rows: Sequence[Record], customer: str) -> list[Record]:
    """The questions that the caller may ask."""
    return [row for row in rows if not customer or row["id"] in narrowable()]


def own_customers(rows: Sequence[Record], customer: str) -> list[Record]:
    """The caller's customer."""
    return [row for row in rows if not customer or row["id"] == customer]


def own_plans(rows: Sequence[Record], customers: Sequence[Record], customer: str) -> list[Record]:
    """The plan that the caller's customer is on; what others pay is none of theirs."""
    mine = {row.get("plan") for row in own_customers(customers, customer)}
    return [row for row in rows if not customer or row["id"] in mine]


def own_budgets(rows: Sequence[Record], customer: str) -> list[Record]:
    """The budgets whose scope names the caller's customer."""
    return [row for row in rows if not customer or _scope(row).get(_DIMENSION) == customer]


def _scope(row: Record) -> Mapping[str, Any]:
    scope = row.get("scope")
    return cast("Mapping[str, Any]", scope) if isinstance(scope, Mapping) else {}
