"""Whom a price change touches, and about how much it is a month."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from costweir.domain.answer import Answer
from costweir.domain.period import Period
from costweir.insights.price_changes import Known, Use, effects, uses_of
from costweir.prices.rate import PriceChange


def change(**given: Any) -> PriceChange:
    values: dict[str, Any] = {
        "change": "changed", "provider": "anthropic", "model": "claude-x", "tier": "standard",
        "effective": date(2026, 11, 1), "known_from": date(2026, 11, 2),
        "before": {"input": Decimal(3), "output": Decimal(15)}, "after": {"input": Decimal(2), "output": Decimal(20)},
    }  # fmt: skip
    return PriceChange(**{**values, **given})


def use(customer: str = "acme", **given: Any) -> Use:
    values: dict[str, Any] = {
        "customer": customer, "provider": "anthropic", "model": "claude-x", "tier": "unknown", "cost": Decimal(10),
        "tokens": {"input": Decimal(2_000_000), "output": Decimal(100_000), "cache_read": Decimal(5)},
        "known": Known("anthropic", "claude-x", "standard"),
    }  # fmt: skip
    return Use(**{**values, **given})


def test_the_estimate_is_the_tokens_times_the_difference_of_the_rates() -> None:
    [effect] = effects([change()], [use()])

    # 2 million in at 1 USD less, a tenth of a million out at 5 USD more
    assert effect.monthly == Decimal(-2) + Decimal("0.5")
    assert effect.cost == 10


def test_a_change_touches_those_who_use_the_model_and_nobody_else() -> None:
    others = [
        use("other-model", known=Known("anthropic", "claude-y", "standard")),
        use("other-list", known=Known("aws", "claude-x", "standard")),
        use("batch", known=Known("anthropic", "claude-x", "batch")),
        use("unknown", known=None),
    ]

    [effect] = effects([change()], [use("globex", cost=Decimal(20)), use(), *others])

    assert [touch.use.customer for touch in effect.touches] == ["globex", "acme"]
    assert effect.monthly == Decimal("-3.0")


@pytest.mark.parametrize(
    "given",
    [
        {"change": "new", "before": {}},
        {"change": "ended", "after": {}},
        {"routing": "global"},
        {"model": "global.claude-x"},
        {"before": {"web_search": Decimal(1)}, "after": {"web_search": Decimal(2)}},
    ],
)
def test_what_cannot_be_estimated_touches_without_an_amount(given: dict[str, Any]) -> None:
    [effect] = effects([change(**given)], [use()])

    assert [touch.monthly for touch in effect.touches] == [None]
    assert effect.monthly is None


def test_an_operators_own_price_touches_every_provider() -> None:
    [effect] = effects([change(provider="operator")], [use(known=Known("aws", "claude-x", "standard"))])

    assert effect.monthly is not None


def test_the_largest_effect_comes_first_and_what_touches_nobody_last() -> None:
    small = change(model="claude-y", after={"input": Decimal("2.9"), "output": Decimal(15)})
    changes = [change(model="nobody"), small, change()]
    uses = [use(), use(known=Known("anthropic", "claude-y", "standard"))]

    assert [effect.change.model for effect in effects(changes, uses)] == ["claude-x", "claude-y", "nobody"]


def test_uses_are_the_rows_of_the_tokens_question() -> None:
    row = {
        "customer": "acme", "provider": "aws", "model": "m", "tier": "batch", "billed_cost": "1.50",
        "input_tokens": "12", "output_tokens": None, "cache_read_tokens": "0.5", "cache_write_tokens": "0",
    }  # fmt: skip
    answer = Answer("q", "tokens", "billed", "USD", Period(), (row,), "1.50")
    known = Known("aws", "m", "batch")

    [found] = uses_of(answer, {("aws", "m", "batch"): known})

    assert (found.cost, found.known) == (Decimal("1.50"), known)
    assert found.tokens == {
        "input": Decimal(12), "output": 0, "cache_read": Decimal("0.5"), "cache_write": 0,
    }  # fmt: skip
