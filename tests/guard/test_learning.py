"""Experience holds less for budgets in debt mode, with a margin, and never anything for a strict one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from guard_world import CENT, USD, House, budget, candidate, held, terms
from hypothesis import given, settings
from hypothesis import strategies as st

from costweir.guard.learning import LEAST, SPAN, WHOLE, Learned
from costweir.guard.ledger import Subject

BOUND = 10 * CENT
costs = st.integers(0, BOUND)


def house(*budgets: dict[str, Any]) -> House:
    return House("memory", Path(), terms(*budgets))


def spend(place: House, cost: int, subject: Subject | None = None) -> int:
    """One call; what was held for it."""
    hold = held(place.reserve(candidate(BOUND), subject=subject))
    place.settle(hold, cost)
    return hold.held


@given(known=st.lists(costs, max_size=3 * SPAN), bound=st.integers(0, 10**15))
@settings(deadline=None)
def test_what_is_held_is_the_dearest_share_of_late_raised_and_never_more_than_the_bound(
    known: list[int], bound: int
) -> None:
    learned = Learned()
    for cost in known:
        learned.note("big", "up", cost=cost, bound=BOUND)
    share, enough = learned.share("big", "up"), learned.enough("big", "up", bound)

    assert enough <= bound
    if len(known) < LEAST:
        assert enough == bound
    for cost in known[-SPAN:]:
        assert share == WHOLE or share * BOUND * 4 >= cost * WHOLE * 5
        assert share == WHOLE or enough * BOUND >= bound * cost


@given(known=st.lists(costs, min_size=LEAST, max_size=LEAST + 20), late=st.lists(costs, max_size=10))
@settings(deadline=None, max_examples=40)
def test_a_strict_budget_holds_the_worst_case_whatever_was_learned(known: list[int], late: list[int]) -> None:
    place = house(
        budget("loose", "1000.00", mode="debt"),
        budget("hard", "1000.00", scope={"customer": "zeta"}),
    )
    for cost in known:
        spend(place, cost)
    for cost in late:
        assert spend(place, cost, Subject(customer="zeta")) == BOUND
    assert spend(place, 0) <= BOUND
    assert place.drifts() == []
    place.close()


def test_in_debt_mode_less_is_held_once_enough_is_known() -> None:
    place = house(budget("loose", "1000.00", mode="debt"))
    first = [spend(place, CENT) for _ in range(LEAST)]

    assert set(first) == {BOUND}
    hold = held(place.reserve(candidate(BOUND)))
    assert hold.held == CENT * 5 // 4
    assert (hold.worst, place.balances()["loose"].held) == (BOUND, CENT * 5 // 4)
    place.close()


def test_a_call_that_is_dearer_than_experience_is_debt_but_breaks_no_bound() -> None:
    place = house(budget("loose", "1000.00", mode="debt"))
    for _ in range(LEAST):
        spend(place, CENT)
    spend(place, 9 * CENT)

    assert place.balances()["loose"].debt > 0
    assert place.events("bound_broken") == []
    assert spend(place, CENT) == BOUND, "the dearest share counts at once"
    spend(place, 11 * CENT)
    assert len(place.events("bound_broken")) == 1
    place.close()


def test_what_is_learned_goes_with_the_last_such_budget() -> None:
    place = house(budget("loose", "1000.00", mode="debt"))
    for _ in range(LEAST):
        spend(place, CENT)
    place.apply(terms(budget("loose", "1000.00")))
    assert spend(place, CENT) == BOUND
    place.apply(terms(budget("loose", "1000.00", mode="debt")))
    assert spend(place, CENT) == BOUND
    assert place.balances()["loose"].remaining == 1000 * USD - (LEAST + 2) * CENT
    place.close()
