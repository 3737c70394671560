"""`why` says what the ledger holds, to the nano-dollar, for calls and for refusals."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from costweir.errors import NotFound
from costweir.guard import Start, open_ledger
from costweir.guard.ledger import Ask, Candidate, Hold, Ledger, Refusal, Settlement, Subject, Terms
from costweir.guard.ledgers.reader import LedgerReader
from costweir.guard.why import Why, explain, fitting

ACME = Subject(customer="acme", key="key_1", session="s1")
#: 0.10 USD of input and 1,000 output tokens at 0.001 USD.
BIG = Candidate("big", "up1", 100_000_000, 1_000_000, 1_000, 10, 1_200, "v1")
SMALL = replace(BIG, model="small", fixed=10_000_000, output_rate=100_000)
BUDGETS = [
    {"id": "acme-day", "scope": {"customer": "acme"}, "limit_usd": "2.00", "window": "day"},
    {"id": "big-total", "scope": {"model": "big"}, "limit_usd": "50", "window": "total"},
    {"id": "other", "scope": {"customer": "other"}, "limit_usd": "1", "window": "day"},
]


def ask(name: str, *candidates: Candidate, no_degrade: bool = False) -> Ask:
    return Ask(f"req_{name}", ACME, candidates or (BIG,), no_degrade=no_degrade)


def after(tmp_path: Path, act: Callable[[Ledger], Coroutine[Any, Any, None]], name: str) -> Why:
    """What `why` says of a request after something was done with a ledger."""

    async def run() -> None:
        ledger = open_ledger("sqlite:ledger.db", folder=tmp_path, start=Start(terms=Terms(budgets=BUDGETS)))
        try:
            await act(ledger)
        finally:
            await ledger.close()

    asyncio.run(run())
    with LedgerReader(tmp_path / "ledger.db") as reader:
        return explain(reader, f"req_{name}")


async def held(ledger: Ledger, *asks: Ask) -> list[Hold]:
    holds = [await ledger.reserve(one, send=True) for one in asks]
    assert all(isinstance(hold, Hold) for hold in holds), holds
    return [hold for hold in holds if isinstance(hold, Hold)]


def test_a_call_that_was_served_is_told_with_its_hold_and_its_cost(tmp_path: Path) -> None:
    async def act(ledger: Ledger) -> None:
        (hold,) = await held(ledger, ask("a"))
        call = {"outcome": "ok", "finish_reason": "stop", "hold": [BIG.fixed, hold.cap, BIG.output_rate]}
        ledger.settle(
            hold.attempt, Settlement(123_456_789, "reported", 900, {"input": 800, "output": 100}, call)
        )

    why = after(tmp_path, act, "a")
    told = why.to_json()
    (row,) = why.to_json()["attempts"]  # pyright: ignore

    assert why.outcome == "served"
    assert why.summary == "Answered by big for 0.123456789 USD; 1.10 USD was held for it."
    assert (row["state"], row["held_usd"], row["settled_usd"], row["debt_usd"]) == (
        "SETTLED", "1.10", "0.123456789", "0.00",
    )  # fmt: skip
    assert row["hold"] == {"input_usd": "0.10", "output_tokens": 1_000, "output_token_usd": "0.001"}
    assert (row["tokens"], row["usage"], row["finish_reason"]) == (
        {"input": 800, "output": 100},
        "reported",
        "stop",
    )
    assert told["subject"] == {"customer": "acme", "key": "key_1", "session": "s1"}
    assert told["refusal"] is None
    json.dumps(told)


def test_the_budgets_shown_are_those_of_the_request_with_the_ledgers_own_numbers(tmp_path: Path) -> None:
    async def act(ledger: Ledger) -> None:
        first, _ = await held(ledger, ask("a"), ask("b", SMALL))
        ledger.settle(first.attempt, Settlement(300_000_000, "reported"))

    why = after(tmp_path, act, "a")
    with LedgerReader(tmp_path / "ledger.db") as reader:
        kept = {row.budget_id: row for row in reader.balances()}

    assert {row.budget_id for row in why.budgets} == {"acme-day", "big-total"}
    assert all(row == kept[row.budget_id] for row in why.budgets)
    day = next(row for row in why.to_json()["budgets"] if row["budget_id"] == "acme-day")  # pyright: ignore
    assert (day["settled_usd"], day["held_usd"], day["remaining_usd"]) == ("0.30", "0.11", "1.59")


def test_a_call_under_way_one_given_back_and_one_of_unknown_cost_are_told_apart(tmp_path: Path) -> None:
    async def act(ledger: Ledger) -> None:
        _, back, lost = await held(ledger, ask("open", SMALL), ask("back", SMALL), ask("lost", SMALL))
        ledger.release(back.attempt, "connect", {"error_type": "connect"})
        ledger.settle(lost.attempt, Settlement(None, "unknown"))

    assert after(tmp_path, act, "open").outcome == "open"
    with LedgerReader(tmp_path / "ledger.db") as reader:
        back, lost = explain(reader, "req_back"), explain(reader, "req_lost")

    assert back.outcome == "failed"
    assert "0.00 USD charged" in back.summary
    assert lost.outcome == "uncertain"
    assert "the hold of 0.11 USD is charged" in lost.summary


def test_a_refusal_says_which_budget_what_is_used_by_whom_and_what_would_have_fitted(tmp_path: Path) -> None:
    async def act(ledger: Ledger) -> None:
        (first,) = await held(ledger, ask("a"))
        ledger.settle(first.attempt, Settlement(1_000_000_000, "reported"))
        await held(ledger, ask("b", SMALL), ask("c", replace(SMALL, fixed=740_000_000)))
        answer = await ledger.reserve(ask("d", replace(BIG, floor=1_000)))
        assert isinstance(answer, Refusal)

    why = after(tmp_path, act, "d")
    refusal: Any = why.to_json()["refusal"]

    assert why.outcome == "refused"
    assert (refusal["code"], refusal["budget_id"], refusal["scope"]) == (
        "budget_exceeded", "acme-day", {"customer": "acme"},
    )  # fmt: skip
    assert (refusal["limit_usd"], refusal["settled_usd"], refusal["held_usd"], refusal["needed_usd"]) == (
        "2.00", "1.00", "0.95", "1.10",
    )  # fmt: skip
    assert refusal["remaining_usd"] == "0.05"
    assert [(row["request_id"], row["held_usd"]) for row in refusal["holders"]] == [
        ("req_c", "0.84"), ("req_b", "0.11"),
    ]  # fmt: skip
    assert all(row["expires_at"].endswith("Z") for row in refusal["holders"])
    assert refusal["resets_at"].endswith("T00:00:00.000Z")
    assert why.summary.startswith("Budget acme-day for customer acme has 0.05 of 2.00 USD left until ")
    assert "1.00 is settled and 0.95 held. The call needed 1.10." in why.summary
    assert why.summary.endswith("Its input alone is more than that.")


def test_what_would_have_fitted_is_counted_in_output_tokens(tmp_path: Path) -> None:
    async def act(ledger: Ledger) -> None:
        await held(ledger, ask("a"), ask("b", replace(BIG, cap=500, floor=500)))
        assert isinstance(await ledger.reserve(ask("c", replace(BIG, floor=1_000))), Refusal)

    why = after(tmp_path, act, "c")
    (row,) = why.to_json()["refusal"]["candidates"]  # pyright: ignore

    assert (row["needed_usd"], row["least_usd"], row["fitting_output_tokens"]) == ("1.10", "1.10", 200)
    assert why.summary.endswith("200 output tokens of big would have fitted.")


def test_what_has_no_price_or_no_bound_is_named(tmp_path: Path) -> None:
    async def act(ledger: Ledger) -> None:
        odd = replace(BIG, bounded=False, why="The cost of this request has no bound: warp is not known.")
        assert isinstance(await ledger.reserve(ask("a", odd)), Refusal)

    why = after(tmp_path, act, "a")
    refusal: Any = why.to_json()["refusal"]

    assert refusal["code"] == "unbounded_request"
    assert "warp is not known" in why.summary
    assert "warp is not known" in refusal["candidates"][0]["reason"]
    assert refusal["candidates"][0]["fitting_output_tokens"] is None


def test_a_request_that_was_tried_and_then_refused_tells_both(tmp_path: Path) -> None:
    async def act(ledger: Ledger) -> None:
        (first,) = await held(ledger, ask("a"))
        ledger.settle(first.attempt, Settlement(None, "unknown"))
        assert isinstance(await ledger.reserve(ask("a", replace(BIG, floor=1_000))), Refusal)

    why = after(tmp_path, act, "a")

    assert why.outcome == "refused"
    assert why.summary.startswith("After 1 attempt: Budget acme-day")
    assert len(why.attempts) == 1


def test_a_request_that_nobody_made_is_said(tmp_path: Path) -> None:
    async def act(ledger: Ledger) -> None:
        await held(ledger, ask("a"))

    with pytest.raises(NotFound, match="has no request 'req_zzz'"):
        after(tmp_path, act, "zzz")


@pytest.mark.parametrize(
    ("room", "wanted"),
    [(None, None), (99_999_999, None), (100_000_000, 0), (100_999_999, 0), (101_000_000, 1), (10**12, 1_000)],
)
def test_tokens_that_fit_are_rounded_down(room: int | None, wanted: int | None) -> None:
    assert fitting(BIG, room) == wanted


def test_a_call_without_a_price_is_not_said_to_have_cost_nothing(tmp_path: Path) -> None:
    free = Candidate("new", "up1", 0, 0, 20, 20, 30)
    nobody = Subject(customer="nobody", key="key_2")

    async def act(ledger: Ledger) -> None:
        (hold,) = await held(ledger, Ask("req_new", nobody, (free,)))
        ledger.settle(
            hold.attempt, Settlement(None, "unknown", 27, {"input": 7, "output": 20}, {"outcome": "ok"})
        )

    why = after(tmp_path, act, "new")

    assert why.outcome == "uncertain"
    assert why.summary == (
        "new was sent the call. No price is known for it, so nobody knows yet what it cost, and nothing was charged."
    )


def test_an_attempt_without_a_price_is_unpriced_and_not_free(tmp_path: Path) -> None:
    async def act(ledger: Ledger) -> None:
        unknown = replace(BIG, model="new", fixed=0, output_rate=0, priced=False, price_version="")
        (hold,) = [await ledger.reserve(Ask("req_a", Subject(key="key_2"), (unknown,)), send=True)]
        assert isinstance(hold, Hold)
        ledger.settle(hold.attempt, Settlement(None, "unknown"))

    (row,) = after(tmp_path, act, "a").to_json()["attempts"]  # pyright: ignore

    assert (row["state"], row["settled_usd"]) == ("UNCERTAIN", None)


def test_every_attempt_has_the_same_keys_however_it_ended(tmp_path: Path) -> None:
    async def act(ledger: Ledger) -> None:
        done, back, _ = await held(ledger, ask("a", SMALL), ask("a", SMALL), ask("a", SMALL))
        ledger.settle(done.attempt, Settlement(1, "reported", call={"outcome": "ok", "hold": [1, 2, 3]}))
        ledger.release(back.attempt, "connect", {"outcome": "error", "error_type": "connect"})

    after(tmp_path, act, "a")
    # The third was under way when the gateway ended; the next one ends it.
    told = after(tmp_path, lambda _: asyncio.sleep(0), "a").to_json()["attempts"]
    rows: list[dict[str, Any]] = told  # pyright: ignore

    assert [(row["state"], row["outcome"], row["error_type"]) for row in rows] == [
        ("SETTLED", "ok", None),
        ("RELEASED", "error", "connect"),
        ("UNCERTAIN", "error", "interrupted"),
    ]
    assert len({frozenset(row) for row in rows}) == 1
