"""Figures of the stores: a scrape waits for none, asks one question at most, and shows when each was read."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from costweir.domain.answer import Answer, Excluded
from costweir.domain.period import Period
from costweir.errors import StoreLocked
from costweir.guard.ledger import NANO, Balance, Terms
from costweir.guard.policy import Policy
from costweir.queries.request import Request
from costweir.telemetry import figures
from costweir.telemetry.figures import Figure, Figures, Pace
from costweir.telemetry.metrics import Reading, families

TODAY = date(2026, 11, 21)
QUICK = Pace(first=0, between=0, fresh=0)


def answer(*rows: Mapping[str, Any], **more: Any) -> Answer:
    return replace(Answer("q", "spend", "billed", "USD", Period(None, None), tuple(rows), "0.00"), **more)


class Asked:
    """Answers with what it was given, and remembers the requests."""

    def __init__(self, given: Answer) -> None:
        self.given = given
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Answer:
        self.requests.append(request)
        return self.given


def values(reading: Reading, name: str) -> dict[tuple[str, ...], Decimal]:
    assert {len(point.labels) for point in reading.points.get(name, [])} <= {len(families()[name].labels)}
    return {point.labels: Decimal(point.value) for point in reading.points.get(name, [])}


def one(value: int = 1) -> Reading:
    reading = Reading()
    reading.put("costweir_unpriced_calls", value)
    return reading


def test_a_scrape_lets_one_question_be_asked_in_turns_and_every_light_figure() -> None:
    asked: list[str] = []

    def figure(name: str, *, light: bool = False) -> Figure:
        def read() -> Reading:
            asked.append(name)
            return Reading()

        return Figure(name, read, light)

    moment = 1000.0
    held = Figures([figure("a"), figure("b"), figure("c"), figure("x", light=True)], clock=lambda: moment)
    for _ in range(4):
        moment += 15
        for due in held.due():
            held.refresh(due)
    assert asked == ["x", "a", "x", "b", "x", "c", "x", "a"]
    assert [due.name for due in held.due()] == ["b"], "what was just read is not read again"


def test_a_scrape_never_waits_for_a_store() -> None:
    going, asked = threading.Event(), threading.Event()

    def slow() -> Reading:
        asked.set()
        going.wait(20)
        return one()

    held = Figures([Figure("slow", slow)], pace=QUICK)
    held.start()
    try:
        assert asked.wait(5)
        began = time.perf_counter()
        found = held.reading()
        assert time.perf_counter() - began < 0.1
        assert "costweir_unpriced_calls" not in found.points
        going.set()
        deadline = time.monotonic() + 5
        while "costweir_unpriced_calls" not in held.reading().points:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        going.set()
        held.stop()


def test_what_cannot_be_read_keeps_its_value_and_its_time_and_is_counted() -> None:
    moment, broken = 100.0, False

    def read() -> Reading:
        if broken:
            raise StoreLocked("A bill is being loaded.")
        return one(7)

    figure = Figure("bills", read)
    held = Figures([figure], clock=lambda: moment)
    held.refresh(figure)
    moment, broken = 200.0, True
    held.refresh(figure)
    found = held.reading()
    assert values(found, "costweir_unpriced_calls") == {(): 7}
    assert values(found, "costweir_figures_refreshed_timestamp_seconds") == {("bills",): 100}
    assert values(found, "costweir_figures_failures_total") == {("bills",): 1}


def test_the_first_round_needs_no_scrape() -> None:
    held = Figures([Figure("a", one), Figure("b", Reading)], pace=QUICK)
    held.start()
    try:
        deadline = time.monotonic() + 5
        while len(values(held.reading(), "costweir_figures_refreshed_timestamp_seconds")) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        held.stop()


def test_the_month_is_what_the_catalogue_answers() -> None:
    ask = Asked(
        answer({"provider": "aws", "billed_cost": "12.50"}, {"provider": "gcp", "billed_cost": "0.000000001"})
    )
    found = values(figures.billed(ask, TODAY), "costweir_billed_usd")
    assert found == {("aws", "month"): Decimal("12.50"), ("gcp", "month"): Decimal("0.000000001")}
    assert ask.requests == [Request("spend", by=("provider",), since=date(2026, 11, 1), basis="billed")]


def test_the_day_is_the_last_that_the_provider_has_delivered() -> None:
    def row(provider: str, day: str, source: str, cost: str) -> dict[str, str]:
        return {"provider": provider, "day": day, "source": source, "billed_cost": cost}

    ask = Asked(
        answer(
            row("aws", "2026-11-18", "cur", "1"), row("aws", "2026-11-19", "cur", "2"),
            row("aws", "2026-11-20", "cur", "9"), row("gcp", "2026-11-20", "gcp", "4"),
            row("gcp", "2026-11-20", "focus", "5"), row("azure", "2026-11-20", "late", "3"),
            complete_to={"cur": "2026-11-20", "gcp": "2026-11-21", "focus": "2026-11-21"},
        )
    )  # fmt: skip
    found = values(figures.billed_day(ask, TODAY), "costweir_billed_usd")
    assert found == {("aws", "day"): 2, ("gcp", "day"): 9}


def test_calls_without_a_price_are_counted_not_taken_for_nothing() -> None:
    given = answer(
        {"provider": "openai", "metered_cost": "3.10"}, excluded=(Excluded("unpriced", "4 calls", rows=4),)
    )
    found = figures.metered(Asked(given), TODAY)
    assert values(found, "costweir_unpriced_calls") == {(): 4}
    assert values(found, "costweir_metered_usd") == {("openai", "month"): Decimal("3.10")}


def test_health_tells_days_loads_and_quarantine() -> None:
    row = {"source": "cur", "last_load": "2026-11-20T12:00:00Z", "rows_quarantined": 3}
    found = figures.health(Asked(answer(row, complete_to={"cur": "2026-11-20"}, complete=False)))
    assert values(found, "costweir_source_complete_to_timestamp_seconds") == {("cur",): 1795132800}
    assert values(found, "costweir_source_last_success_timestamp_seconds") == {("cur",): 1795176000}
    assert values(found, "costweir_source_quarantined_rows") == {("cur",): 3}
    assert values(found, "costweir_data_complete") == {(): 0}


def test_shares_and_capture_leave_out_what_has_no_bill() -> None:
    rows = ({"provider": "aws", "untagged_share": "0.25", "unknown_share": None},)
    found = figures.shares(Asked(answer(*rows)), TODAY)
    assert values(found, "costweir_untagged_ratio") == {("aws",): Decimal("0.25")}
    assert values(found, "costweir_unknown_sku_ratio") == {}
    pairs = [("aws", "4.00", "1.00"), ("gcp", "0.00", "5.00")]
    rows = tuple({"provider": name, "billed_cost": bill, "metered_cost": cost} for name, bill, cost in pairs)
    found = figures.capture(Asked(answer(*rows)), TODAY)
    assert values(found, "costweir_spend_capture_ratio") == {("aws",): Decimal("0.25")}


POLICY = Policy.compile(
    Terms(budgets=[
        {"id": name, "scope": {"customer": "*"}, "limit_usd": "1.00", "window": "day"} for name in ("each", "b1", "b2")
    ]), 0
)  # fmt: skip


def balance(
    name: str, gone: str, held: str = "0", customer: str = "acme", limit: int | None = NANO
) -> Balance:
    nano, holds = int(Decimal(gone) * NANO), int(Decimal(held) * NANO)
    return Balance(name, {"customer": customer}, "day", limit, nano, holds, 0, 0)


def test_states_of_budgets() -> None:
    rows = [
        balance("each", "0.79"), balance("each", "0.80"), balance("each", "0.80", "0.15"),
        balance("each", "0.5", "0.5"), balance("each", "2"), balance("each", "0", limit=None),
    ]  # fmt: skip
    found = figures.budgets(rows, POLICY, {}, 10)
    states = values(found, "costweir_budget_state_count")
    assert states == {("ok",): 1, ("warned",): 1, ("degraded",): 1, ("blocked",): 2}


def test_a_budget_of_each_member_is_added_up_and_its_ratio_is_that_of_the_fullest() -> None:
    rows = [
        balance("each", "0.10", "0.05", "a"),
        balance("each", "0.60", "0", "b"),
        balance("b1", "0.2", customer="c"),
    ]
    found = figures.budgets(rows, POLICY, {"a": "gold"}, 10)
    assert values(found, "costweir_budget_limit_usd")["each", "customer", "gold"] == 2
    assert values(found, "costweir_budget_settled_usd")["each", "customer", "gold"] == Decimal("0.7")
    assert values(found, "costweir_budget_held_usd")["each", "customer", "gold"] == Decimal("0.05")
    assert values(found, "costweir_budget_ratio") == {
        ("each", "customer", "gold"): Decimal("0.6"), ("b1", "customer", ""): Decimal("0.2"),
    }  # fmt: skip


def test_a_budget_says_how_long_its_window_is_unless_it_has_none() -> None:
    lengths = {"day": 86_400, "week": 604_800, "month": 2_628_000, "rolling:3h": 10_800}
    named = [*lengths, "total", "session"]
    policy = Policy.compile(
        Terms(budgets=[{"id": name, "scope": {}, "limit_usd": "1.00", "window": name} for name in named]), 0
    )
    found = figures.budgets([balance(name, "0") for name in named], policy, {}, 10)
    assert values(found, "costweir_budget_window_seconds") == {
        (name, "customer", ""): seconds for name, seconds in lengths.items()
    }


@given(st.lists(st.integers(0, 3 * NANO), max_size=30), st.integers(0, 5))
def test_the_budgets_that_are_used_most_are_shown_and_every_window_has_one_state(
    spent: list[int], most: int
) -> None:
    rows = [Balance(f"b{at}", {}, "day", NANO, nano, 0, 0, 0) for at, nano in enumerate(spent)]
    found = figures.budgets(rows, POLICY, {}, most)
    shown = sorted(values(found, "costweir_budget_ratio").values(), reverse=True)
    wanted = sorted((Decimal(nano) / NANO for nano in spent), reverse=True)[:most]
    assert shown == [value.quantize(Decimal("0.000001")) for value in wanted]
    assert sum(values(found, "costweir_budget_state_count").values()) == len(spent)
