"""A real Prometheus scrapes `costweir up` under load: every family arrives, with exemplars, and nothing is remarked."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_server import Prometheus, Target, check_metrics, prometheus

from costweir.telemetry.metrics import families

sys.path.insert(0, str(Path(__file__).parents[1] / "gateway"))

from server import CONFIG, Server, running

CHAT = "/v1/chat/completions"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
#: What a text holds only after a source was configured, a bill loaded, or a provider failed.
SELDOM = frozenset({
    "costweir_billed_usd", "costweir_spend_capture_ratio", "costweir_untagged_ratio", "costweir_unknown_sku_ratio",
    "costweir_source_complete_to_timestamp_seconds", "costweir_source_last_success_timestamp_seconds",
    "costweir_source_quarantined_rows", "costweir_run_failures", "costweir_gateway_degradations_total",
    "costweir_gateway_fallbacks_total", "costweir_gateway_retries_total", "costweir_gateway_upstream_errors_total",
    "costweir_gateway_usage_missing_total", "costweir_gateway_unpriced_total",
})  # fmt: skip


@dataclass
class Scraped:
    """A server that is called, and who scrapes it."""

    server: Server
    by: Prometheus
    calls: int


def call(server: Server, key: str, model: str = "big", *, stream: bool = False) -> int:
    """One call; streams are read to their end."""
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_completion_tokens": 30}
    if not stream:
        return server.post(CHAT, body, key)[0]
    from http.client import HTTPConnection
    from json import dumps
    from urllib.parse import urlsplit

    connection = HTTPConnection(urlsplit(server.gateway).netloc, timeout=20)
    try:
        headers = {"authorization": f"Bearer {key}", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
        connection.request("POST", CHAT, dumps({**body, "stream": True}).encode(), headers)
        reply = connection.getresponse()
        reply.read()
        return reply.status
    finally:
        connection.close()


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    folder = tmp_path_factory.mktemp("scraped")
    with running(folder, CONFIG) as server:
        key, poor = server.key("acme"), server.key("poor")
        token = folder / "token"
        token.write_text(server.costweir("token", "create", "--scope", "read")["token"])
        target = Target("costweir", server.described["web"], token_file=token, labels={"environment": "test"})
        with prometheus(folder / "prometheus", [target]) as found:
            found.wait_up("costweir")
            made = 0
            deadline = time.monotonic() + 4
            while time.monotonic() < deadline:
                made += sum(call(server, key, model) == 200 for model in ("big", "small", "clever"))
                made += call(server, key, stream=True) == 200
                assert call(server, poor) == 402
            found.wait_for(f'sum(llm_requests_total{{outcome="ok"}}) == {made}')
            yield Scraped(server, found, made)


def test_the_target_is_up_and_every_family_arrives(scraped: Scraped) -> None:
    assert scraped.by.targets()["costweir"]["health"] == "up"
    wanted: set[str] = set()
    for family in families().values():
        ends = ("_bucket", "_sum", "_count") if family.type == "histogram" else ("",)
        wanted |= {family.name + end for end in ends}
    scraped.by.wait_for("costweir_unpriced_calls")
    assert wanted - SELDOM - scraped.by.names() == set()


def test_what_prometheus_has_is_what_happened(scraped: Scraped) -> None:
    ask = scraped.by.value
    assert ask('sum(llm_requests_total{outcome="ok",provider="local"})') == scraped.calls
    refused = ask('sum(llm_requests_total{outcome="refused"})')
    assert refused == ask('costweir_gateway_refusals_total{code="budget_exceeded"}')
    assert (ask("sum(llm_time_to_first_token_seconds_count)") or 0) > 0
    rows = scraped.server.costweir("ledger", "balances", "--scope", "customer=acme")["rows"]
    assert f"{ask('sum(llm_cost_usd_total)'):.9f}" == f"{float(rows[0]['settled_usd']):.9f}"
    scraped.by.wait_for('costweir_budget_settled_usd{budget="acme-day",scope_kind="customer"} > 0')
    assert ask("sum(costweir_budget_state_count)") == 2
    assert ask("costweir_gateway_up") == 1


def test_exemplars_arrive_with_the_call_and_its_trace(scraped: Scraped) -> None:
    now = time.time()
    found = scraped.by.api(
        "query_exemplars",
        query="llm_time_to_first_token_seconds_bucket",
        start=str(now - 300),
        end=str(now + 60),
    )
    labels = [one["labels"] for series in found for one in series["exemplars"]]
    assert labels
    assert all(one["trace_id"] == TRACE and one["call_id"].startswith("req_") for one in labels)
    why = scraped.server.costweir("why", labels[0]["call_id"])
    assert why["request_id"] == labels[0]["call_id"]


def test_promtool_has_one_remark_that_is_known(scraped: Scraped) -> None:
    remarks = check_metrics(scraped.server.get("web", "/metrics"))
    assert [line for line in remarks if "costweir_budget_state_count" not in line] == []
