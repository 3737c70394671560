"""Which rules a request meets, against a plain reading of every definition."""

from __future__ import annotations

import dataclasses
import json

import pytest
from guard_world import NOON, USD
from hypothesis import given
from hypothesis import strategies as st

from costweir.guard.ledger import Subject, Terms, usd
from costweir.guard.policy import KINDS, Policy, nano
from costweir.guard.windows import SECOND

NAMES = ("", "a", "b")
VALUES = st.sampled_from(NAMES)
SUBJECTS = st.builds(
    Subject, **{field.name: VALUES for field in dataclasses.fields(Subject) if field.name != "plan"}
)
SCOPES = st.dictionaries(st.sampled_from(KINDS), st.sampled_from(["a", "b", "*"]), max_size=4)


@given(scopes=st.lists(SCOPES, max_size=12), subject=SUBJECTS, model=VALUES, provider=VALUES, plan=VALUES)
def test_a_request_meets_exactly_the_rules_whose_scope_it_has(
    scopes: list[dict[str, str]], subject: Subject, model: str, provider: str, plan: str
) -> None:
    customers = {subject.customer: plan} if subject.customer else {}
    budgets = [
        {"id": f"b{number:02}", "scope": scope, "limit_usd": "1"} for number, scope in enumerate(scopes)
    ]
    policy = Policy.compile(Terms(budgets=budgets, customers=customers), NOON)
    values = policy.values(subject, model, provider)
    of_request = {
        **{kind: getattr(subject, kind, "") for kind in KINDS}, "model": model, "provider": provider,
        "plan": plan if customers else subject.plan,
    }  # fmt: skip
    wanted = [
        f"b{number:02}"
        for number, scope in enumerate(scopes)
        if all(value in ("*", of_request[kind]) for kind, value in scope.items())
    ]

    assert [rule.id for rule in policy.match(values)] == wanted


@given(scope=SCOPES, one=SUBJECTS, other=SUBJECTS)
def test_members_share_a_counter_only_when_they_are_the_same(
    scope: dict[str, str], one: Subject, other: Subject
) -> None:
    policy = Policy.compile(Terms(budgets=[{"id": "b", "scope": scope, "limit_usd": "1"}]), NOON)
    rule = policy.rules[0]
    first, second = policy.values(one, "a", "a"), policy.values(other, "a", "a")
    each = [kind for kind, value in scope.items() if value == "*"]
    if "plan" in scope and scope["plan"] != "*" and "customer" not in scope:
        each.append("customer")

    if rule.meets(first) and rule.meets(second):
        assert (rule.member(first) == rule.member(second)) == all(
            first[kind] == second[kind] for kind in each
        )


@pytest.mark.parametrize(
    ("thresholds", "wanted"),
    [([50, 80, 95, 100], 95), ([50, 80, 100], None), ([60], None), ([90, 97], 97), ([99], 99), ([100], None)],
)
def test_where_a_cheaper_model_takes_over(thresholds: list[int], wanted: int | None) -> None:
    rule = Policy.compile(
        Terms(budgets=[{"id": "b", "limit_usd": "1", "thresholds": thresholds}]), NOON
    ).rules[0]

    assert rule.degrades_at == (None if wanted is None else wanted * USD // 100)


def test_terms_come_back_from_their_text() -> None:
    terms = Terms(
        budgets=[{"id": "b", "scope": {"customer": "ü"}, "limit_usd": "1"}], plans=[{"id": "p", "price_usd": "1"}],
        customers={"a": "p"}, stops=[{"scope": {}, "reason": "r"}], lifted={"m": 7}, clock_confirmed=2,
    )  # fmt: skip

    assert Terms.from_json(terms.to_json()) == Terms(**json.loads(terms.to_json()))
    assert dataclasses.asdict(Terms.from_json(terms.to_json())) == dataclasses.asdict(terms)


@given(st.integers(0, 10**18))
def test_amounts_come_back_from_their_text(amount: int) -> None:
    assert nano(usd(amount)) == amount


@pytest.mark.parametrize(("text", "wanted"), [("1", USD), ("0.0000000019", 1), ("8.00", 8 * USD)])
def test_a_limit_is_never_rounded_up(text: str, wanted: int) -> None:
    assert nano(text) == wanted


def test_a_policy_says_when_it_changes() -> None:
    record = {"id": "b", "limit_usd": "5", "expires": "2026-11-21T13:00:00+00:00", "then": {"limit_usd": "1"}}
    terms = Terms(budgets=[record])
    before = Policy.compile(terms, NOON)
    assert before.changes_at is not None
    after = Policy.compile(terms, before.changes_at)

    assert before.changes_at == NOON + 3_600 * SECOND
    assert [rule.limit for rule in (*before.rules, *after.rules)] == [5 * USD, USD]
    assert after.changes_at is None
    # Only the limit differs, so nothing is counted anew.
    assert after.changed(before) == ([], set())
