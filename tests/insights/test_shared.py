"""Shared costs are divided to the last digit, and nothing is shared twice."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costweir.domain.answer import Answer
from costweir.domain.period import Period
from costweir.insights.breakdown import add
from costweir.insights.shared import Rule, Spent, charge_back, divide, spent_of

AMOUNT = st.decimals(-(10**12), 10**12, places=18, allow_nan=False)
WEIGHTS = st.dictionaries(
    st.sampled_from("abcdefg"), st.decimals(0, 10**9, places=6, allow_nan=False), min_size=1
).filter(lambda found: any(found.values()))
CUSTOMERS = ("acme", "globex", "northlight", "untagged")
SPENT = st.lists(
    st.builds(
        Spent,
        st.sampled_from(CUSTOMERS),
        st.sampled_from(["Bedrock", "Vertex AI"]),
        st.sampled_from(["search", "untagged"]),
        AMOUNT,
        st.integers(0, 10**9).map(Decimal),
    ),
    max_size=12,
)
RULES = st.lists(
    st.builds(
        Rule,
        st.sampled_from(["platform", "office", "rest"]),
        st.dictionaries(
            st.sampled_from(["customer", "project"]), st.sampled_from([*CUSTOMERS, "search"]), min_size=1
        ),
        st.sampled_from(["spend", "tokens", "equal", {"acme": Decimal(2), "zeta": Decimal(1)}]),
    ),
    max_size=3,
    unique_by=lambda rule: rule.name,
)


@given(AMOUNT, WEIGHTS)
def test_parts_add_up_exactly_and_lie_within_one_unit_of_their_share(
    amount: Decimal, weights: dict[str, Decimal]
) -> None:
    parts = divide(amount, weights)

    assert add(parts.values()) == amount
    whole = sum(map(Fraction, weights.values()))
    for name, part in parts.items():
        assert abs(Fraction(part) * whole - Fraction(amount) * Fraction(weights[name])) <= whole * Fraction(
            1, 10**18
        )
        assert part == 0 or (part > 0) == (amount > 0)


def test_what_cannot_be_divided_evenly_goes_to_the_largest_remainder_then_by_name() -> None:
    third = divide(Decimal("0.000000000000000010"), {"b": Decimal(1), "a": Decimal(1), "c": Decimal(1)})
    assert third == {"a": Decimal("4e-18"), "b": Decimal("3e-18"), "c": Decimal("3e-18")}

    uneven = divide(Decimal("1e-18"), {"a": Decimal(1), "b": Decimal(2)})
    assert uneven == {"a": Decimal(0), "b": Decimal("1e-18")}


@pytest.mark.parametrize("weights", [{}, {"a": Decimal(0)}, {"a": Decimal(-1), "b": Decimal(2)}])
def test_weights_that_divide_nothing_are_refused(weights: dict[str, Decimal]) -> None:
    with pytest.raises(ValueError, match="weights"):
        divide(Decimal(1), weights)


@given(SPENT, RULES)
def test_a_chargeback_adds_up_to_what_was_spent(spent: list[Spent], rules: list[Rule]) -> None:
    found = charge_back(spent, rules)

    total = add(part.cost for part in spent)
    assert add(row.total for row in found.rows) == total == found.total
    for applied in found.rules:
        carried = add(row.shared.get(applied.rule.name, Decimal(0)) for row in found.rows)
        assert carried == (0 if applied.kept else applied.amount)


def spend(
    customer: str, cost: str, *, tokens: int = 0, service: str = "Bedrock", project: str = "p"
) -> Spent:
    return Spent(customer, service, project, Decimal(cost), Decimal(tokens))


MONTH = [
    spend("acme", "60", tokens=100),
    spend("globex", "20", tokens=300),
    spend("northlight", "8", tokens=999),
    spend("untagged", "4"),
]


@pytest.mark.parametrize(
    ("by", "acme", "globex"),
    [
        ("spend", "6", "2"),
        ("tokens", "2", "6"),
        ("equal", "4", "4"),
        ({"acme": Decimal(1), "globex": Decimal(7)}, "1", "7"),
    ],
)
def test_a_shared_cost_is_divided_as_the_rule_says(by: object, acme: str, globex: str) -> None:
    found = charge_back(MONTH, [Rule("platform", {"customer": "northlight"}, by)])  # type: ignore[arg-type]

    parts = {row.customer: row.shared.get("platform", Decimal(0)) for row in found.rows}
    assert parts == {"acme": Decimal(acme), "globex": Decimal(globex), "untagged": 0}
    assert {row.customer: row.direct for row in found.rows} == {"acme": 60, "globex": 20, "untagged": 4}


def test_a_line_belongs_to_the_first_rule_that_matches() -> None:
    rules = [
        Rule("search", {"customer": "northlight", "service": "Vertex AI"}, "equal"),
        Rule("platform", {"customer": "northlight"}, "spend"),
    ]
    month = [*MONTH, spend("northlight", "5", service="Vertex AI")]

    found = charge_back(month, rules)

    assert [applied.amount for applied in found.rules] == [5, 8]


def test_untagged_cost_can_be_shared() -> None:
    found = charge_back(MONTH[:2] + MONTH[3:], [Rule("rest", {"customer": "untagged"}, "spend")])

    assert {row.customer: row.total for row in found.rows} == {"acme": 63, "globex": 21}


def test_what_nobody_can_carry_stays_where_the_bill_has_it() -> None:
    found = charge_back([spend("northlight", "8")], [Rule("platform", {"customer": "northlight"}, "spend")])

    assert [(row.customer, row.direct, dict(row.shared)) for row in found.rows] == [("northlight", 8, {})]
    assert found.rules[0].kept


def test_a_customer_whose_own_cost_is_a_credit_carries_nothing_by_spend() -> None:
    month = [spend("acme", "10"), spend("globex", "-3"), spend("northlight", "8")]

    found = charge_back(month, [Rule("platform", {"customer": "northlight"}, "spend")])

    assert {row.customer: row.total for row in found.rows} == {"acme": 18, "globex": -3}


def test_an_answer_that_was_cut_off_cannot_be_charged_back() -> None:
    answer = Answer("q", "spend", "billed", "USD", Period(), (), "5.00", other="5.00")

    with pytest.raises(ValueError, match="limit"):
        spent_of(answer)
