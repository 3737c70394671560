"""Law L1 as a judgement: what counts as held, as bounded, as overspent and as drift."""

from __future__ import annotations

from dataclasses import replace

import pytest

from costweir.app.verdict import Books, Verdict
from costweir.guard.ledger import NANO

HELD = Verdict(
    books=Books(limit=NANO, settled=NANO - 5_000, held=0, debt=0, uncertain=0),
    billed=NANO - 5_000,
    admitted=900,
    blocked=100,
    smallest_hold=6_000,
    needed=6_000,
    faults=(),
    calls_billed=900,
)


def test_a_bill_within_the_limit_that_the_ledger_knows_is_held() -> None:
    assert HELD.holds
    assert HELD.sentence.startswith("Held: the provider billed $0.999995 of $1.00")
    assert not HELD.phantom
    assert HELD.to_json()["overspend_usd"] == "0.00"


def test_a_trial_that_never_met_its_limit_says_so() -> None:
    assert replace(HELD, blocked=0).sentence.startswith("Not reached: the provider billed $0.999995 of $1.00")
    shut = replace(HELD, books=replace(HELD.books, settled=0), billed=0, admitted=0)
    assert shut.holds
    assert shut.sentence.startswith("Not tried: no call was let through")


@pytest.mark.parametrize("billed", [NANO - 4_999, NANO - 5_001])
def test_a_nano_dollar_of_difference_is_drift_unless_an_attempt_is_uncertain(billed: int) -> None:
    drift = replace(HELD, billed=billed)
    assert not drift.holds
    assert drift.sentence.startswith("Drift")
    unsure = replace(drift, books=replace(HELD.books, uncertain=1))
    assert unsure.holds is (billed < HELD.billed)


def test_a_bill_above_the_limit_is_overspent_even_if_the_ledger_knows() -> None:
    over = replace(HELD, billed=NANO + 1, books=replace(HELD.books, settled=NANO, debt=1))
    assert over.overspend == 1
    assert over.ledger_equals_bill
    assert not over.holds


def test_a_broken_assumption_is_bounded_when_the_excess_is_debt() -> None:
    books = replace(HELD.books, settled=NANO, debt=500)
    bounded = replace(HELD, billed=NANO + 500, books=books, faults=("ignores_max_tokens", "slow"))
    assert bounded.broken == ["ignores_max_tokens"]
    assert bounded.holds
    assert bounded.sentence.startswith("Bounded: ignores_max_tokens put the bill $0.0000005 above $1.00")
    assert not replace(bounded, billed=NANO + 501).holds
    assert replace(bounded, billed=NANO + 501).sentence.startswith("Overspent")


def test_a_block_with_room_for_what_it_blocked_is_a_phantom() -> None:
    assert replace(HELD, needed=5_000).phantom
    assert not replace(HELD, needed=5_001).phantom
    assert not replace(HELD, needed=0, smallest_hold=1).phantom


def test_a_ledger_that_does_not_rebuild_fails_the_trial() -> None:
    assert not replace(HELD, verified=False).holds
