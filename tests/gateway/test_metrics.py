"""What is counted, and that no caller can make the metrics grow without bound."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from rig import CHAT, MESSAGES, Wanted, budget, chat, message, rig

from costweir.gateway import metrics
from costweir.gateway.metrics import Histogram, Metrics, exposition
from costweir.guard.ledger import usd


def value(text: str, name: str) -> str:
    return next(line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(name))


def test_calls_tokens_cost_and_time_are_counted_with_the_providers_figures(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, Wanted([budget("5.00")])) as made:
            usage = json.loads((await made.post(CHAT, chat(max_tokens=20))).body)["usage"]
            await made.post(MESSAGES, message())
            await made.post("/v1/files", b"{}")
            text = exposition(made.serving.witness.metrics, made.serving.gauges())
            who = 'provider="up",model="big"'
            assert value(text, f'llm_requests_total{{{who},customer_id="acme"}}') == "1"
            assert value(text, f'llm_tokens_total{{{who},type="input"}}') == str(usage["prompt_tokens"])
            assert value(text, f'llm_tokens_total{{{who},type="output"}}') == str(usage["completion_tokens"])
            assert value(text, f"llm_latency_seconds_count{{{who}}}") == "1"
            total = sum(made.serving.witness.metrics.cost.values())
            assert total == made.mock.bill.total
            assert value(text, "llm_cost_usd_total{").count(".") == 1
            assert value(text, 'costweir_gateway_refusals_total{code="endpoint_not_metered"}') == "1"
            assert value(text, "costweir_gateway_reserve_seconds_count") == "2"
            assert value(text, "costweir_gateway_ledger_open") == "0"

    asyncio.run(run())


def test_a_flood_of_customers_is_one_label() -> None:
    counts = Metrics()
    for number in range(metrics.MOST_CUSTOMERS + 50):
        counts.requests["up", "big", counts.customer(f"c{number}")] += 1
    assert len(counts.requests) == metrics.MOST_CUSTOMERS + 1
    assert counts.requests["up", "big", metrics.OTHER] == 50
    assert counts.customer("c1") == "c1"
    assert counts.customer("") == "untagged"


def test_labels_are_escaped_and_sums_are_exact() -> None:
    counts = Metrics()
    counts.cost["up", 'a"b\\c\n', "x"] += 1_234_567_891
    text = exposition(counts, {})
    assert f'model="a\\"b\\\\c\\n",customer_id="x"}} {usd(1_234_567_891)}' in text


def test_a_histogram_counts_each_duration_in_every_bucket_above() -> None:
    found = Histogram(((10, "0.00001"), (100, "0.0001")))
    for micros in (5, 10, 50, 1_000_000):
        found.add(micros)
    assert list(found.lines("t", {"a": "b"})) == [
        't_bucket{a="b",le="0.00001"} 2', 't_bucket{a="b",le="0.0001"} 3', 't_bucket{a="b",le="+Inf"} 4',
        't_sum{a="b"} 1.000065', 't_count{a="b"} 4',
    ]  # fmt: skip
