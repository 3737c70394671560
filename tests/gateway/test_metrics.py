"""What is counted, and that no caller can make the metrics grow without bound."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
from rig import CHAT, KEY, MESSAGES, FakeKey, Rig, Wanted, budget, chat, message, rig

from costweir.gateway import metrics
from costweir.gateway.metrics import Histogram, Metrics, snapshot, status_class
from costweir.gateway.mock import Faults
from costweir.gateway.witness import trace_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def taken(made: Rig) -> dict[str, Any]:
    """The snapshot as the server reads it."""
    return msgspec.json.decode(
        msgspec.json.encode(snapshot(made.serving.witness.metrics, made.serving.gauges()))
    )


def test_calls_tokens_cost_and_time_are_counted_with_the_providers_figures(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, Wanted([budget("5.00")])) as made:
            usage = json.loads((await made.post(CHAT, chat(max_tokens=20))).body)["usage"]
            await made.post(MESSAGES, message())
            await made.post("/v1/files", b"{}")
            found = taken(made)
            assert [row[:2] for row in found["requests"]] == [
                [["up", "big", "ok", "", "", ""], 1], [["ant", "clever", "ok", "", "", ""], 1],
            ]  # fmt: skip
            tokens = [row for row in found["counts"]["llm_tokens_total"] if row[0][1] == "big"]
            assert tokens == [
                [["up", "big", "input"], usage["prompt_tokens"]],
                [["up", "big", "output"], usage["completion_tokens"]],
            ]
            assert sum(cost for _, cost in found["costs"]["llm_cost_usd_total"]) == made.mock.bill.total
            counts = found["durations"]["llm_latency_seconds"]["rows"][0][1]
            assert sum(counts) == 1
            assert found["counts"]["costweir_gateway_refusals_total"] == [[["endpoint_not_metered"], 1]]
            assert sum(found["durations"]["costweir_gateway_reserve_seconds"]["rows"][0][1]) == 2
            assert found["counts"]["costweir_gateway_ledger_open"] == [[[], 0]]

    asyncio.run(run())


def test_a_refusal_is_a_request_of_the_model_that_was_asked_for(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, Wanted([budget("0.000001")])) as made:
            assert (await made.post(CHAT, chat())).status == 402
            found = taken(made)
            assert found["requests"] == [[["up", "big", "refused", "", "", ""], 1, None]]
            assert found["counts"]["costweir_gateway_refusals_total"] == [[["budget_exceeded"], 1]]
            assert found["counts"]["costweir_gateway_attempts_total"] == []

    asyncio.run(run())


def test_streams_say_how_long_the_first_piece_took_and_which_call_it_was(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, Wanted([budget("5.00")])) as made:
            heard = await made.post(CHAT, chat(stream=True), traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")
            assert heard.status == 200
            await made.quiet()
            found = taken(made)
            ((labels, counts, _, seen),) = found["durations"]["llm_time_to_first_token_seconds"]["rows"]
            assert (labels, sum(counts)) == (["up", "big"], 1)
            call, trace, _ = next(one for one in seen if one is not None)[0]
            assert call.startswith("req_")
            assert trace == TRACE
            assert found["requests"][0][2][:2] == [call, TRACE]

    asyncio.run(run())


def test_a_providers_failure_is_counted_by_its_class(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, Wanted([budget("5.00")], Faults(("bills_then_5xx",)))) as made:
            await made.post(CHAT, chat())
            kinds = {
                tuple(labels) for labels, _ in taken(made)["counts"]["costweir_gateway_upstream_errors_total"]
            }
            assert {(provider, of) for provider, _, of in kinds} == {("up", "5xx")}

    asyncio.run(run())


def test_classes_of_failures() -> None:
    kinds = ["upstream_429", "upstream_404", "upstream_503", "read_timeout", "refused", "too_large"]
    assert [status_class(kind) for kind in kinds] == [
        "429",
        "4xx",
        "5xx",
        "timeout",
        "connection",
        "connection",
    ]


def test_customers_are_no_label_unless_somebody_wants_them() -> None:
    counts = Metrics()
    assert counts.customer("acme") == ""
    counts = Metrics(customers=3)
    assert [counts.customer(name) for name in ("a", "", "b", "c", "a")] == [
        "a",
        "untagged",
        "b",
        "other",
        "a",
    ]


def test_a_flood_of_names_is_a_bounded_number_of_series_and_no_call_is_lost() -> None:
    counts = Metrics(customers=5)
    for number in range(5_000):
        name = str(number)
        who = ("up", f"m{number % 300}", "ok", f"plan{name}", f"env{name}", counts.customer(name))
        counts.tally(who).calls += 1
    assert len(counts.tallies) <= metrics.MOST_SERIES + 10
    assert sum(tally.calls for tally in counts.tallies.values()) == 5_000
    for position, most in ((3, metrics.MOST_PLANS), (4, metrics.MOST_ENVIRONMENTS), (5, 5)):
        assert len({who[position] for who in counts.tallies}) <= most + 1
    for number in range(600):
        counts.failed("up", f"upstream_{number}")
    assert len(counts.upstream_errors) == metrics.MOST_KINDS + 1


def test_what_the_ledger_says_has_a_name_that_says_what_it_is() -> None:
    found = snapshot(Metrics(), {"ledger_commits": 3, "ledger_last_commit_us": 250, "ledger_open": 1})
    assert found["times"] == {"costweir_gateway_ledger_last_commit_seconds": [([], 250)]}
    counts = found["counts"]
    assert isinstance(counts, dict)
    assert counts["costweir_gateway_ledger_commits_total"] == [([], 3)]
    assert counts["costweir_gateway_ledger_open"] == [([], 1)]


def test_cost_is_added_up_over_outcomes_exactly() -> None:
    counts = Metrics()
    for outcome, nano in (("ok", 1_234_567_891), ("aborted", 9)):
        counts.tally(("up", "big", outcome, "gold", "prod", "")).cost += nano
    assert snapshot(counts, {})["costs"] == {
        "llm_cost_usd_total": [(["up", "big", "gold", "prod", ""], 1_234_567_900)]
    }


def test_a_histogram_keeps_count_sum_and_the_last_call_of_each_bucket() -> None:
    found = Histogram(((10, "0.00001"), (100, "0.0001")))
    for number, micros in enumerate((5, 10, 50, 1_000_000)):
        found.add(micros, (f"req_{number}", "", 7))
    found.add(60)
    assert found.to_json(["a"]) == [
        ["a"], [2, 2, 1], 1_000_125, [(("req_1", "", 7), 10), (("req_2", "", 7), 50), (("req_3", "", 7), 1_000_000)],
    ]  # fmt: skip


def test_a_trace_is_read_only_from_what_is_one() -> None:
    def read(value: bytes) -> str:
        return trace_of([(b"host", b"x"), (b"traceparent", value)])

    assert read(f"00-{TRACE}-00f067aa0ba902b7-01".encode()) == TRACE
    assert read(f"00-{TRACE}-00f067aa0ba902b7-01-more".encode()) == TRACE
    for wrong in (b"", b"00-x-y-01", TRACE.encode(), f"00-{TRACE.upper()}-00f067aa0ba902b7-01".encode()):
        assert read(wrong) == ""
    assert trace_of([]) == ""


def test_a_key_has_the_plan_of_its_customer_as_tier(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, Wanted([budget("5.00")])) as made:
            made.serving.door.plan_of = {"acme": "gold"}
            made.keys.held[KEY] = FakeKey(may_assert=())
            await made.post(CHAT, chat(), **{"x-costweir-environment": "prod"})
            assert taken(made)["requests"][0][0] == ["up", "big", "ok", "gold", "prod", ""]

    asyncio.run(run())
