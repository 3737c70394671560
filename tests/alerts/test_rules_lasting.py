"""A matter waits before it is told and stays until it is gone, over restarts and clocks that step."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costweir.alerts import rulebook
from costweir.alerts.rules_data import Rule
from costweir.alerts.rules_lasting import Looked, due, lasting, worst
from costweir.control.incidents import Condition

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
WRONG = Condition("error_spike:openai", "error_spike", "openai", "It fails.")
MINUTE = timedelta(minutes=1)


def rule(lasting_for: str = "0", keep: str = "0", every: str = "1m") -> Rule:
    [found] = [one for one in rulebook.shipped() if one.id == "error_spike"]
    return found.model_copy(update={"lasting": lasting_for, "keep": keep, "every": every})


def run(held: Rule, wrong: list[bool], step: timedelta = MINUTE) -> list[bool]:
    """Whether it is told after each look."""
    looked: Looked | None = None
    told: list[bool] = []
    for number, yes in enumerate(wrong):
        looked = lasting(held, [WRONG] if yes else [], looked, NOW + number * step)
        # What is kept is all there is after a restart.
        looked = Looked.from_json(json.loads(json.dumps(looked.to_json())))
        told.append(bool(looked.told()))
    return told


def test_it_is_told_at_once_and_over_at_once_without_patience() -> None:
    assert run(rule(), [False, True, True, False, True]) == [False, True, True, False, True]


def test_it_is_told_once_it_has_lasted() -> None:
    assert run(rule("3m"), [True] * 5) == [False, False, False, True, True]


def test_a_gap_makes_it_wait_anew() -> None:
    assert run(rule("2m"), [True, True, False, True, True, True]) == [False, False, False, False, False, True]


def test_it_stays_until_it_is_gone_long_enough() -> None:
    assert run(rule("0", "3m"), [True, False, False, True, False, False, False]) == [True] * 6 + [False]


def test_what_was_never_told_is_not_kept() -> None:
    assert run(rule("5m", "5m"), [True, False, False]) == [False] * 3


def test_nobody_knows_what_was_while_nobody_looked() -> None:
    assert run(rule("3m"), [True, True, True, True], step=timedelta(hours=2)) == [False] * 4
    assert run(rule("0", "1d"), [True, False, True], step=timedelta(hours=2)) == [True] * 3


def test_each_matter_lasts_for_itself() -> None:
    other = Condition("error_spike:gcp", "error_spike", "gcp", "It fails.")
    first = lasting(rule("1m"), [WRONG], None, NOW)
    second = lasting(rule("1m"), [WRONG, other], first, NOW + MINUTE)
    assert [condition.subject for condition in second.told()] == ["openai"]


@pytest.mark.parametrize("step", [timedelta(days=-3), timedelta(days=3)])
def test_a_clock_that_steps_tells_nothing_by_itself(step: timedelta) -> None:
    held = rule("3m")
    before = lasting(held, [WRONG], None, NOW)
    after = lasting(held, [WRONG], before, NOW + step)
    assert after.told() == []
    assert lasting(held, [WRONG], after, NOW + step + 3 * MINUTE).told() == [WRONG]


def test_a_clock_that_steps_back_keeps_what_was_told() -> None:
    held = rule("0", "5m")
    before = lasting(held, [WRONG], None, NOW)
    back = NOW - timedelta(days=30)
    kept = lasting(held, [], before, back)
    assert kept.told() == [WRONG]
    assert lasting(held, [], kept, back + 5 * MINUTE).told() == []


def test_a_rule_is_due_after_its_interval_and_after_a_wrong_clock() -> None:
    hourly = rule(every="1h")
    assert due(hourly, None, NOW)
    assert not due(hourly, Looked(NOW - timedelta(minutes=50)), NOW)
    assert due(hourly, Looked(NOW - timedelta(minutes=60)), NOW)
    assert due(hourly, Looked(NOW + timedelta(days=1)), NOW)


def test_of_two_rules_about_one_matter_the_worse_speaks() -> None:
    mild = Condition("spend_burn:b", "spend_burn", "b", "slow", severity="warning")
    bad = Condition("spend_burn:b", "spend_burn", "b", "fast", severity="critical")
    assert worst([mild, bad]) == worst([bad, mild]) == [bad]
    later = Condition("spend_burn:b", "spend_burn", "b", "next", period="2026-12")
    assert worst([bad, later]) == [bad, later]


@given(st.lists(st.booleans(), max_size=40), st.integers(0, 5), st.integers(0, 5))
def test_it_is_only_told_of_what_was_and_begins_as_often_as_it_came_back(
    wrong: list[bool], patience: int, keep: int
) -> None:
    told = run(rule(f"{patience}m" if patience else "0", f"{keep}m" if keep else "0"), wrong)
    begins = sum(now and not before for before, now in zip([False, *told], told, strict=False))
    came = sum(now and not before for before, now in zip([False, *wrong], wrong, strict=False))
    assert begins <= came
    assert not any(told) or any(wrong)
    if patience == keep == 0:
        assert told == wrong
