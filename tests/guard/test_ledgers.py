"""The contract of every ledger: what is admitted, what is charged, what is told, and what an edit does. One body for
all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from guard_world import CENT, USD, House, ask, budget, candidate, held, refused, terms

from costweir.errors import ConfigError, Conflict, NotFound
from costweir.guard.ledger import Settlement, Subject, Terms
from costweir.guard.ledgers.sqlite import SqliteLedger
from costweir.guard.windows import SECOND, instant

Open = Callable[..., House]


def test_a_hold_counts_until_it_is_settled_at_what_it_cost(opened: Open) -> None:
    house = opened(terms(budget("day")))
    hold = held(house.reserve(candidate(30 * CENT)))

    assert (hold.held, hold.remaining, hold.strict) == (30 * CENT, 70 * CENT, True)
    assert house.balances()["day"].held == 30 * CENT
    settled = house.settle(hold, 20 * CENT)
    after = house.balances()["day"]

    assert (settled.charged, settled.debt, settled.repeated) == (20 * CENT, 0, False)
    assert (after.settled, after.held, after.open_holds, after.remaining) == (20 * CENT, 0, 0, 80 * CENT)
    assert house.drifts() == []


def test_a_hold_that_does_not_fit_is_refused_with_what_stands_in_its_way(opened: Open) -> None:
    house = opened(terms(budget("day", scope={"customer": "acme"})))
    house.settle(held(house.reserve(candidate(50 * CENT), request="first")), 50 * CENT)
    held(house.reserve(candidate(30 * CENT), request="second"))
    no = refused(house.reserve(candidate(21 * CENT)))

    assert (no.code, no.budget_id, dict(no.scope)) == ("budget_exceeded", "day", {"customer": "acme"})
    assert (no.limit, no.settled, no.held, no.needed) == (USD, 50 * CENT, 30 * CENT, 21 * CENT)
    assert no.resets_at is not None
    assert no.resets_at.isoformat() == "2026-11-22T00:00:00+00:00"
    assert [(one.request_id, one.held) for one in no.holders] == [("second", 30 * CENT)]
    assert "0.20 USD left of 1.00" in no.message
    held(house.reserve(candidate(20 * CENT)))


def test_every_budget_of_a_request_has_to_have_room(opened: Open) -> None:
    house = opened(
        terms(
            budget("all", "1"),
            budget("acme", "0.5", scope={"customer": "acme"}),
            budget("key", "0.3", scope={"key": "k1"}),
        )
    )
    held(house.reserve(candidate(25 * CENT)))

    assert refused(house.reserve(candidate(10 * CENT))).budget_id == "key"
    other = Subject(customer="acme", key="k2")
    held(house.reserve(candidate(25 * CENT), subject=other))
    assert refused(house.reserve(candidate(1), subject=other)).budget_id == "acme"
    held(house.reserve(candidate(50 * CENT), subject=Subject(customer="zeta", key="k3")))
    assert refused(house.reserve(candidate(1), subject=Subject(customer="zeta"))).budget_id == "all"


def test_a_refusal_holds_nothing_anywhere(opened: Open) -> None:
    house = opened(terms(budget("wide", "10"), budget("tight", "0.1", scope={"customer": "acme"})))
    refused(house.reserve(candidate(11 * CENT)))

    assert house.balances()["wide"].held == 0
    assert house.states() == []


def test_a_call_that_costs_nothing_passes_a_spent_budget(opened: Open) -> None:
    house = opened(terms(budget("day", "0.10")))
    house.settle(held(house.reserve(candidate(10 * CENT))), 10 * CENT)

    held(house.reserve(candidate(0)))
    refused(house.reserve(candidate(1)))


# -- candidates: whole, stand-in, clamped


def test_below_the_threshold_the_model_asked_for_serves(opened: Open) -> None:
    house = opened(terms(budget("day")))
    hold = held(house.reserve(candidate(95 * CENT), candidate(1 * CENT, model="small")))

    assert (hold.choice, hold.clamped) == (0, False)


def test_from_the_threshold_on_the_stand_in_serves(opened: Open) -> None:
    house = opened(terms(budget("day")))
    held(house.reserve(candidate(94 * CENT)))
    hold = held(house.reserve(candidate(3 * CENT), candidate(2 * CENT, model="small")))

    assert (hold.choice, hold.held, hold.remaining) == (1, 2 * CENT, 4 * CENT)


def test_without_a_stand_in_the_model_asked_for_serves_to_the_limit(opened: Open) -> None:
    house = opened(terms(budget("day")))
    held(house.reserve(candidate(94 * CENT)))

    assert held(house.reserve(candidate(6 * CENT))).choice == 0


def test_who_wants_no_stand_in_is_refused_where_it_would_serve(opened: Open) -> None:
    house = opened(terms(budget("day")))
    held(house.reserve(candidate(94 * CENT)))
    pair = (candidate(3 * CENT), candidate(2 * CENT, model="small"))
    no = refused(house.reserve(*pair, no_degrade=True))

    assert (no.code, no.budget_id) == ("budget_exceeded", "day")
    assert "allows none" in no.message
    assert held(house.reserve(*pair)).choice == 1


def test_a_budget_without_a_threshold_from_90_on_never_degrades(opened: Open) -> None:
    house = opened(terms(budget("day", thresholds=[50, 80, 100])))
    held(house.reserve(candidate(90 * CENT)))

    assert held(house.reserve(candidate(10 * CENT), candidate(1, model="small"))).choice == 0


def test_what_does_not_fit_whole_is_clamped_to_what_fits(opened: Open) -> None:
    house = opened(terms(budget("day")))
    hold = held(house.reserve(candidate(40 * CENT, rate=CENT, cap=100, floor=10)))

    assert (hold.cap, hold.held, hold.clamped, hold.remaining) == (60, USD, True, 0)


def test_nothing_is_clamped_below_its_floor(opened: Open) -> None:
    house = opened(terms(budget("day")))

    assert refused(house.reserve(candidate(40 * CENT, rate=CENT, cap=100, floor=61))).needed == 140 * CENT


def test_a_stand_in_that_fits_whole_goes_before_a_clamp(opened: Open) -> None:
    house = opened(terms(budget("day")))
    big = candidate(40 * CENT, rate=CENT, cap=100, floor=10)
    hold = held(house.reserve(big, candidate(30 * CENT, model="small", rate=CENT // 2, cap=100, floor=10)))

    assert (hold.choice, hold.cap) == (1, 100)


def test_the_model_asked_for_is_clamped_below_its_threshold_before_a_stand_in_is(opened: Open) -> None:
    house = opened(terms(budget("day")))
    big = candidate(40 * CENT, rate=CENT, cap=100, floor=10)
    small = candidate(40 * CENT, model="small", rate=CENT, cap=90, floor=10)

    hold = held(house.reserve(big, small))
    assert (hold.choice, hold.cap, hold.held) == (0, 55, 95 * CENT)


def test_past_the_threshold_the_stand_in_is_clamped(opened: Open) -> None:
    house = opened(terms(budget("day")))
    held(house.reserve(candidate(94 * CENT)))
    big = candidate(2 * CENT, rate=CENT, cap=100, floor=1)
    small = candidate(1 * CENT, model="small", rate=CENT, cap=100, floor=1)

    hold = held(house.reserve(big, small))
    assert (hold.choice, hold.cap, hold.held) == (1, 5, 6 * CENT)


# -- modes


def test_debt_mode_lets_a_call_finish_and_then_refuses(opened: Open) -> None:
    house = opened(terms(budget("day", mode="debt")))
    first = held(house.reserve(candidate(90 * CENT)))
    held(house.reserve(candidate(50 * CENT)))

    assert not first.strict
    assert refused(house.reserve(candidate(1))).budget_id == "day"


def test_observe_never_refuses_and_counts(opened: Open) -> None:
    house = opened(terms(budget("day", "0.10", mode="observe", calls=1, parallel=1, requests_per_minute=1)))
    for _ in range(3):
        hold = held(house.reserve(candidate(50 * CENT)))

    assert (hold.remaining, hold.strict) == (None, False)
    assert house.balances()["day"].held == 150 * CENT


def test_unknown_price_is_refused_by_strict_budgets_only(opened: Open) -> None:
    strict, loose = terms(budget("day")), terms(budget("day", mode="debt"))
    house = opened(strict)
    no = refused(house.reserve(candidate(priced=False, why="Nobody knows it.")))

    assert no.code == "price_unknown"
    assert no.message.endswith("Nobody knows it.")
    assert refused(house.reserve(candidate(bounded=False))).code == "unbounded_request"
    house.apply(loose)
    held(house.reserve(candidate(priced=False, bounded=False)))
    house.apply(Terms())
    held(house.reserve(candidate(priced=False)))


def test_a_stand_in_with_a_price_serves_for_a_model_without(opened: Open) -> None:
    house = opened(terms(budget("day")))

    assert held(house.reserve(candidate(priced=False), candidate(model="small"))).choice == 1
    assert refused(
        house.reserve(candidate(priced=False), candidate(model="small"), no_degrade=True)
    ).code == ("price_unknown")


def test_an_amount_that_no_file_can_keep_is_refused(opened: Open) -> None:
    house = opened()

    assert refused(house.reserve(candidate(1 << 70))).code == "unbounded_request"


# -- endings


def test_unknown_usage_charges_the_hold(opened: Open) -> None:
    house = opened(terms(budget("day")))
    settled = house.settle(held(house.reserve(candidate(30 * CENT))), None)

    assert (settled.charged, settled.debt) == (30 * CENT, 0)
    assert house.states() == ["UNCERTAIN"]
    assert house.balances()["day"].settled == 30 * CENT


def test_usage_that_comes_late_replaces_what_was_charged_for_not_knowing(opened: Open) -> None:
    house = opened(terms(budget("day")))
    hold = held(house.reserve(candidate(30 * CENT, price_version="v1")))
    house.ledger.settle(hold.attempt, Settlement(None, "unknown", call={"duration_ms": 12}))
    ((seq, ended),) = house.run(house.ledger.outbox(0))

    assert house.settle(hold, 5 * CENT).charged == 5 * CENT
    assert house.states() == ["SETTLED"]
    assert house.balances()["day"].settled == 5 * CENT
    ((_, late),) = house.run(house.ledger.outbox(seq))
    assert late.charged == 5 * CENT
    # It ended when it ended, and what was told of it then stays.
    assert late.ended_at == ended.ended_at
    assert (late.call["duration_ms"], late.correction and late.correction.before) == (12, 30 * CENT)
    assert house.settle(hold, 9 * CENT).repeated
    assert house.drifts() == []


def test_of_what_was_given_back_no_usage_is_reported(opened: Open) -> None:
    house = opened(terms(budget("day")))
    house.release(held(house.reserve()))

    ((_, row),) = house.run(house.ledger.outbox(0))
    assert (row.state, row.certainty, row.cost) == ("RELEASED", "unknown", 0)


@pytest.mark.parametrize("end", ["settle", "release", "uncertain"])
def test_an_attempt_ends_once(opened: Open, end: str) -> None:
    house = opened(terms(budget("day")))
    hold = held(house.reserve(candidate(30 * CENT)))
    if end == "release":
        assert house.release(hold)
    else:
        house.settle(hold, None if end == "uncertain" else 20 * CENT)
    before = house.balances()["day"]

    assert not house.release(hold)
    assert house.settle(hold, None).repeated
    if end != "uncertain":
        assert house.settle(hold, 29 * CENT).repeated
    assert house.balances()["day"] == before
    assert len(house.run(house.ledger.outbox(0))) == 1


def test_a_settlement_of_nothing_is_an_error(opened: Open) -> None:
    house = opened(terms(budget("day")))
    hold = held(house.reserve())

    with pytest.raises(NotFound):
        house.settle(7, 1)
    with pytest.raises(ValueError, match="-1"):
        house.settle(hold, -1)
    assert house.balances()["day"].open_holds == 1


def test_a_released_hold_leaves_no_trace_in_the_balance(opened: Open) -> None:
    house = opened(terms(budget("day", calls=1)))
    house.release(held(house.reserve()))

    assert house.balances()["day"].remaining == USD
    held(house.reserve())
    assert house.drifts() == []


def test_cost_beyond_the_hold_is_debt_and_suspends_the_model(opened: Open) -> None:
    house = opened(terms(budget("day")))
    settled = house.settle(held(house.reserve(candidate(30 * CENT), request="wild")), 90 * CENT)
    balance = house.balances()["day"]

    assert (settled.charged, settled.debt) == (30 * CENT, 60 * CENT)
    assert (balance.settled, balance.debt, balance.remaining) == (30 * CENT, 60 * CENT, 10 * CENT)
    assert [detail["request_id"] for detail in house.events("bound_broken")] == ["wild"]
    no = refused(house.reserve(candidate(1)))
    assert no.code == "unbounded_request"
    assert "suspended" in no.message
    held(house.reserve(candidate(1, model="other")))
    assert house.drifts() == []

    house.apply(replace(house.terms, lifted={"big": house.hands.wall + 1}))
    held(house.reserve(candidate(1)))


@pytest.mark.parametrize("mode", ["debt", "observe"])
def test_a_caller_without_a_strict_budget_takes_no_model_away_from_others(opened: Open, mode: str) -> None:
    house = opened(
        terms(
            budget("loose", scope={"customer": "zeta"}, mode=mode),
            budget("strict", scope={"customer": "acme"}),
        )
    )
    wild = held(house.reserve(candidate(CENT, bounded=False), subject=Subject(customer="zeta")))
    house.settle(wild, 90 * CENT)

    assert [detail["suspended"] for detail in house.events("bound_broken")] == [False]
    held(house.reserve(candidate(CENT)))
    assert house.balances(customer="zeta")["loose"].debt == 89 * CENT


def test_debt_counts_at_admission(opened: Open) -> None:
    house = opened(terms(budget("day")))
    house.settle(held(house.reserve(candidate(10 * CENT))), 150 * CENT)

    assert refused(house.reserve(candidate(0, model="other"))).budget_id == "day"


def test_sending_needs_a_hold(opened: Open) -> None:
    house = opened(terms(budget("day")))
    hold = held(house.reserve(send=False))
    assert house.states() == ["HELD"]
    house.run(house.ledger.sent(hold.attempt))
    assert house.states() == ["SENT"]

    other = held(house.reserve(send=False))
    house.release(other)
    with pytest.raises(Conflict):
        house.run(house.ledger.sent(other.attempt))


# -- leases and clocks


def test_a_lease_that_ends_releases_what_was_not_sent_and_charges_what_was(opened: Open) -> None:
    house = opened(terms(budget("day")))
    held(house.reserve(candidate(10 * CENT), send=False))
    sent = held(house.reserve(candidate(20 * CENT)))
    house.hands.sleep(601)
    held(house.reserve(candidate(1)))
    house.run(_ticked(house))

    assert house.states() == ["RELEASED", "UNCERTAIN", "SENT"]
    assert house.balances()["day"].settled == 20 * CENT
    assert house.settle(sent, 3 * CENT).charged == 3 * CENT
    assert house.drifts() == []


def test_a_stream_that_shows_life_keeps_its_lease(opened: Open) -> None:
    house = opened(terms(budget("day")))
    hold = held(house.reserve())
    for _ in range(5):
        house.hands.sleep(400)
        assert house.ledger.extend(hold.attempt)
        house.run(_ticked(house))

    assert house.states() == ["SENT"]
    house.settle(hold, 1)
    assert not house.ledger.extend(hold.attempt)


async def _ticked(house: House) -> None:
    house.ledger.weir.expire()


def test_a_new_window_has_room_and_the_old_one_keeps_its_holds(opened: Open) -> None:
    house = opened(terms(budget("day"), budget("total", "1.20", window="total")))
    hold = held(house.reserve(candidate(80 * CENT)))
    house.hands.sleep(12 * 3600)
    assert house.ledger.extend(hold.attempt)
    second = held(house.reserve(candidate(40 * CENT)))
    house.settle(hold, 50 * CENT)
    today = house.balances()["day"]

    assert (today.window_id, today.settled, today.held) == ("day:2026-11-22", 0, 40 * CENT)
    assert house.balances()["total"].settled == 50 * CENT
    house.settle(second, 40 * CENT)
    assert house.drifts() == []


def test_a_clock_that_goes_back_reopens_no_window(opened: Open) -> None:
    house = opened(terms(budget("day")))
    held(house.reserve(candidate(90 * CENT)))
    house.hands.sleep(12 * 3600)
    held(house.reserve(candidate(90 * CENT)))
    house.hands.step(-6 * 3600)
    house.hands.sleep(1)

    assert refused(house.reserve(candidate(20 * CENT))).window_id == "day:2026-11-22"


def test_a_clock_that_jumps_ahead_opens_no_window_until_it_is_confirmed(opened: Open) -> None:
    house = opened(terms(budget("day")))
    held(house.reserve(candidate(90 * CENT)))
    house.hands.step(24 * 3600)
    house.hands.sleep(1)

    assert refused(house.reserve(candidate(20 * CENT))).window_id == "day:2026-11-21"
    house.apply(replace(house.terms, clock_confirmed=1))
    held(house.reserve(candidate(20 * CENT)))
    assert house.balances()["day"].window_id == "day:2026-11-22"


def test_a_small_correction_of_the_clock_is_followed(opened: Open) -> None:
    house = opened(terms(budget("day")))
    house.hands.sleep(12 * 3600 - 5)
    held(house.reserve(candidate(90 * CENT)))
    house.hands.step(6)
    house.hands.sleep(1)

    held(house.reserve(candidate(90 * CENT)))


def test_a_rolling_window_never_counts_too_little(opened: Open) -> None:
    house = opened(terms(budget("hour", window="rolling:60m")))
    house.settle(held(house.reserve(candidate(60 * CENT))), 60 * CENT)
    house.hands.sleep(1800)
    house.settle(held(house.reserve(candidate(40 * CENT))), 40 * CENT)

    house.hands.sleep(1799)
    refused(house.reserve(candidate(60 * CENT)))
    house.hands.sleep(62)
    held(house.reserve(candidate(60 * CENT)))
    assert house.drifts() == []
    refused(house.reserve(candidate(1)))


def test_a_hold_counts_in_a_rolling_window_as_long_as_it_is_open(opened: Open) -> None:
    house = opened(terms(budget("minute", window="rolling:1m")))
    hold = held(house.reserve(candidate(60 * CENT)))
    house.hands.sleep(120)

    refused(house.reserve(candidate(60 * CENT)))
    house.settle(hold, 60 * CENT)
    held(house.reserve(candidate(60 * CENT)))
    assert house.drifts() == []


def test_a_new_rolling_budget_counts_a_hold_that_is_older_than_its_window(opened: Open) -> None:
    house = opened()
    hold = held(house.reserve(candidate(60 * CENT)))
    house.hands.sleep(120)
    house.apply(terms(budget("minute", window="rolling:1m")))

    refused(house.reserve(candidate(60 * CENT)))
    house.settle(hold, 60 * CENT)
    second = held(house.reserve(candidate(60 * CENT)))
    refused(house.reserve(candidate(60 * CENT)))
    assert house.balances()["minute"].held == 60 * CENT
    house.settle(second, 60 * CENT)
    assert house.drifts() == []


# -- counts, minutes, sessions


def test_calls_of_a_window_are_counted(opened: Open) -> None:
    house = opened(Terms(budgets=[{"id": "few", "calls": 2, "window": "day"}]))
    first = held(house.reserve())
    house.settle(first, 1)
    house.settle(held(house.reserve()), None)
    no = refused(house.reserve())

    assert (no.code, no.budget_id) == ("budget_exceeded", "few")
    assert "2 calls" in no.message


def test_a_minute_never_holds_more_tokens_than_its_limit(opened: Open) -> None:
    house = opened(Terms(budgets=[{"id": "tpm", "tokens_per_minute": 1_000}]))
    for _ in range(10):
        house.settle(held(house.reserve(candidate(tokens=100))), 1)
        house.hands.sleep(5)
    no = refused(house.reserve(candidate(tokens=100)))

    assert (no.code, no.budget_id) == ("rate_limited", "tpm")
    assert no.retry_after == 11
    assert no.resets_at == instant(house.hands.wall + 11 * SECOND)
    house.hands.sleep(11)
    held(house.reserve(candidate(tokens=100)))
    never = refused(house.reserve(candidate(tokens=2_000)))
    assert (never.code, never.retry_after) == ("budget_exceeded", None), (
        "no minute ever holds it, so none is waited for"
    )
    assert "1000 tokens a minute" in never.message


def test_requests_of_a_minute_are_limited(opened: Open) -> None:
    house = opened(Terms(budgets=[{"id": "rpm", "requests_per_minute": 2, "scope": {"customer": "acme"}}]))
    held(house.reserve())
    released = held(house.reserve())
    assert refused(house.reserve()).retry_after == 60
    held(house.reserve(subject=Subject(customer="zeta")))
    house.release(released)
    held(house.reserve())


def test_calls_at_the_same_moment_are_limited(opened: Open) -> None:
    house = opened(Terms(budgets=[{"id": "two", "parallel": 2}]))
    first = held(house.reserve())
    held(house.reserve())
    assert refused(house.reserve()).code == "rate_limited"
    house.settle(first, 1)
    held(house.reserve())


def test_a_budget_speaks_before_a_rate(opened: Open) -> None:
    house = opened(Terms(budgets=[budget("usd", "0.01"), {"id": "rpm", "requests_per_minute": 1}]))
    held(house.reserve(candidate(0)))

    assert refused(house.reserve()).code == "budget_exceeded"


PLAN = {
    "id": "tier_1", "price_usd": "49", "budget_usd": "8", "session_usd": "0.50", "session_calls": 3,
    "tokens_per_minute": 1_000,
}  # fmt: skip


def test_a_plan_limits_each_of_its_customers(opened: Open) -> None:
    house = opened(Terms(plans=[PLAN], customers={"acme": "tier_1", "zeta": "tier_1"}))
    acme, zeta = Subject(customer="acme", session="s1"), Subject(customer="zeta", session="s1")
    house.settle(held(house.reserve(candidate(40 * CENT), subject=acme)), 40 * CENT)

    no = refused(house.reserve(candidate(11 * CENT), subject=acme))
    assert (no.budget_id, no.scope["session"]) == ("plan:tier_1:session", "s1")
    held(house.reserve(candidate(40 * CENT), subject=zeta))
    held(house.reserve(candidate(40 * CENT), subject=replace(acme, session="s2")))
    assert house.balances(customer="acme")["plan:tier_1:month"].remaining == 720 * CENT
    assert [detail["threshold"] for detail in house.events("threshold")] == [60, 80]


def test_calls_without_a_session_share_one_of_their_key_and_day(opened: Open) -> None:
    house = opened(Terms(plans=[PLAN], customers={"acme": "tier_1"}))
    for _ in range(3):
        house.release(held(house.reserve(subject=Subject(customer="acme", key="k1"))))
        held(house.reserve(candidate(1), subject=Subject(customer="acme", key="k1")))
    no = refused(house.reserve(subject=Subject(customer="acme", key="k1")))

    assert dict(no.scope) == {"plan": "tier_1", "customer": "acme", "key": "k1"}
    assert no.window_id == "session:2026-11-21"
    held(house.reserve(subject=Subject(customer="acme", key="k2")))
    house.hands.sleep(86_400)
    held(house.reserve(subject=Subject(customer="acme", key="k1")))
    assert house.drifts() == []


def test_a_key_begins_only_so_many_sessions_in_an_hour(opened: Open) -> None:
    house = opened(Terms(plans=[PLAN], customers={"acme": "tier_1"}, sessions_per_hour=2))
    for name in ("a", "b", "a"):
        held(house.reserve(candidate(1), subject=Subject(customer="acme", key="k1", session=name)))
    third = Subject(customer="acme", key="k1", session="c")

    assert refused(house.reserve(candidate(1), subject=third)).code == "rate_limited"
    held(house.reserve(candidate(1), subject=replace(third, key="k2", session="d")))
    house.hands.sleep(3_600)
    held(house.reserve(candidate(1), subject=third))


def test_a_customer_who_moves_to_another_plan_takes_the_spend_along(opened: Open) -> None:
    plans = [PLAN, {**PLAN, "id": "tier_2", "budget_usd": "18"}]
    house = opened(Terms(plans=plans, customers={"acme": "tier_1"}))
    for number in range(16):
        subject = Subject(customer="acme", session=f"s{number}")
        house.settle(held(house.reserve(candidate(50 * CENT, tokens=1), subject=subject)), 50 * CENT)
    refused(house.reserve(candidate(1), subject=Subject(customer="acme", session="t")))

    house.apply(Terms(plans=plans, customers={"acme": "tier_2"}))
    assert house.balances()["plan:tier_2:month"].remaining == 10 * USD
    held(house.reserve(candidate(1), subject=Subject(customer="acme", session="t")))
    house.apply(Terms(plans=plans, customers={"acme": "tier_1"}))
    refused(house.reserve(candidate(1), subject=Subject(customer="acme", session="u")))
    assert house.drifts() == []


# -- edits


def test_a_new_budget_counts_what_was_settled_and_what_is_open(opened: Open) -> None:
    house = opened(terms(budget("other", "100")))
    house.settle(held(house.reserve(candidate(60 * CENT))), 50 * CENT)
    hold = held(house.reserve(candidate(30 * CENT)))
    house.apply(terms(budget("other", "100"), budget("new", scope={"customer": "acme"})))
    new = house.balances()["new"]

    assert (new.settled, new.held, new.open_holds) == (50 * CENT, 30 * CENT, 1)
    refused(house.reserve(candidate(21 * CENT)))
    house.settle(hold, 10 * CENT)
    held(house.reserve(candidate(40 * CENT)))
    assert house.drifts() == []


def test_a_lower_limit_holds_at_once_and_open_holds_finish(opened: Open) -> None:
    house = opened(terms(budget("day")))
    hold = held(house.reserve(candidate(80 * CENT)))
    house.apply(terms(budget("day", "0.50")))

    refused(house.reserve(candidate(1)))
    assert house.settle(hold, 80 * CENT).debt == 0
    assert house.balances()["day"].remaining == 0
    house.apply(terms(budget("day", "0.90")))
    held(house.reserve(candidate(10 * CENT)))


def test_a_budget_that_is_about_something_else_counts_anew(opened: Open) -> None:
    house = opened(terms(budget("b", scope={"customer": "acme"})))
    house.settle(held(house.reserve(candidate(50 * CENT))), 50 * CENT)
    house.settle(held(house.reserve(candidate(30 * CENT), subject=Subject(customer="zeta"))), 30 * CENT)
    house.apply(terms(budget("b", scope={"customer": "zeta"})))
    assert house.balances()["b"].settled == 30 * CENT

    house.apply(terms(budget("b", window="rolling:24h")))
    assert house.balances()["b"].settled == 80 * CENT
    house.apply(terms(budget("b", timezone="Asia/Tokyo")))
    assert house.balances()["b"].settled == 80 * CENT
    house.apply(Terms())
    assert house.balances() == {}
    house.apply(terms(budget("b", scope={"customer": "acme"})))
    assert house.balances()["b"].settled == 50 * CENT
    assert house.drifts() == []


def test_a_budget_expires_into_what_it_was_before(opened: Open) -> None:
    expiring = budget("day", "5", expires="2026-11-21T13:00:00Z", then={"limit_usd": "1.00", "window": "day"})
    house = opened(
        terms(expiring, budget("gone", "0.01", scope={"customer": "x"}, expires="2026-11-21T13:00:00Z"))
    )
    house.settle(held(house.reserve(candidate(90 * CENT))), 90 * CENT)
    house.hands.sleep(3_601)
    if isinstance(house.ledger, SqliteLedger):
        house.run(_one_tick(house.ledger))
    else:
        refused(house.reserve(candidate(20 * CENT)))

    assert house.balances()["day"].remaining == 10 * CENT
    assert "gone" not in house.balances()


async def _one_tick(ledger: SqliteLedger) -> None:
    ledger._tick()
    while ledger._tasks:
        await asyncio.sleep(0.01)


def test_a_definition_that_cannot_be_read_changes_nothing(opened: Open) -> None:
    house = opened(terms(budget("day", "0.10")))
    with pytest.raises(ConfigError):
        house.apply(terms(budget("day", "lots")))
    with pytest.raises(ConfigError):
        house.apply(terms(budget("day", window="fortnight")))

    refused(house.reserve(candidate(11 * CENT)))


@pytest.mark.parametrize("scope", [{}, {"customer": "acme"}, {"session": "s1"}])
def test_what_somebody_stopped_is_refused_until_it_may_go_on(opened: Open, scope: dict[str, str]) -> None:
    house = opened(terms(budget("day")))
    mine, other = Subject(customer="acme", session="s1"), Subject(customer="zeta", session="s2")
    hold = held(house.reserve(subject=mine))
    house.apply(replace(house.terms, stops=[{"scope": scope, "reason": "it loops"}]))

    no = refused(house.reserve(subject=mine))
    assert (no.code, no.budget_id) == ("budget_exceeded", "stop")
    assert "it loops" in no.message
    if scope:
        held(house.reserve(subject=other))
    house.settle(hold, 1)
    house.apply(replace(house.terms, stops=[]))
    held(house.reserve(subject=mine))


# -- what is told


def test_each_threshold_is_told_once_in_a_window(opened: Open) -> None:
    house = opened(terms(budget("day")))
    for cents in (49, 1, 1, 40, 4, 5):
        house.settle(held(house.reserve(candidate(cents * CENT))), cents * CENT)

    assert [detail["threshold"] for detail in house.events("threshold")] == [50, 80, 95, 100]
    house.hands.sleep(86_400)
    house.settle(held(house.reserve(candidate(55 * CENT))), 55 * CENT)
    assert [detail["threshold"] for detail in house.events("threshold")] == [50, 80, 95, 100, 50]


def test_holds_pass_no_threshold(opened: Open) -> None:
    house = opened(terms(budget("day")))
    house.release(held(house.reserve(candidate(99 * CENT))))

    assert house.events("threshold") == []


def test_the_first_refusal_of_a_window_is_told(opened: Open) -> None:
    house = opened(terms(budget("day", "0.05")))
    for number in range(3):
        refused(house.reserve(request=f"r{number}"))

    assert [detail["request_id"] for detail in house.events("blocked")] == ["r0"]


def test_a_new_budget_that_is_spent_already_says_so(opened: Open) -> None:
    house = opened()
    house.settle(held(house.reserve(candidate(85 * CENT))), 85 * CENT)
    house.apply(terms(budget("day")))

    assert [detail["threshold"] for detail in house.events("threshold")] == [50, 80]


def test_ended_attempts_come_out_in_the_order_they_ended(opened: Open) -> None:
    house = opened()
    first, second, third = (held(house.reserve(request=f"r{number}")) for number in range(3))
    house.settle(second, 2, usage={"input": 3}, call={"finish_reason": "stop"})
    house.release(third)
    house.settle(first, 1)
    rows = house.run(house.ledger.outbox(0))

    assert [one.request_id for _, one in rows] == ["r1", "r2", "r0"]
    assert [seq for seq, _ in rows] == sorted(seq for seq, _ in rows)
    assert dict(rows[0][1].usage) == {"input": 3}
    assert dict(rows[0][1].call) == {"finish_reason": "stop"}
    assert [one.request_id for _, one in house.run(house.ledger.outbox(rows[0][0], 1))] == ["r2"]


def test_attempts_are_found_by_request_and_state(opened: Open) -> None:
    house = opened()
    house.settle(held(house.reserve(request="one")), 1)
    held(house.reserve(request="two"))
    rows = house.run(house.ledger.attempts(request_id="one"))

    assert [(one.request_id, one.state, one.model, one.subject.customer) for one in rows] == [
        ("one", "SETTLED", "big", "acme")
    ]
    assert [one.request_id for one in house.run(house.ledger.attempts(state="SENT"))] == ["two"]
    assert len(house.run(house.ledger.attempts(limit=1))) == 1


# -- contention


def test_forty_at_once_never_pass_the_limit(opened: Open) -> None:
    house = opened(terms(budget("day", "1.00"), budget("acme", "0.77", scope={"customer": "acme"})))
    asks = [ask(candidate(3 * CENT), request=f"r{number}") for number in range(40)]
    answers = house.reserve_all(asks)
    holds = [answer for answer in answers if not hasattr(answer, "code")]

    assert len(holds) == 25
    assert house.balances()["acme"].held == 75 * CENT
    assert house.drifts() == []
