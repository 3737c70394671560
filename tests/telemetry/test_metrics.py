"""The exposition: what the data file promises is what is written, whatever a name holds."""

from __future__ import annotations

import gzip
import re
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open
from prometheus_client.parser import text_string_to_metric_families as read_text
from prometheus_client.samples import Exemplar

from costweir.gateway.metrics import EDGES, OWN_EDGES, Metrics, snapshot
from costweir.telemetry.metrics import (
    MOST_LETTERS,
    MOST_SERIES,
    Exporter,
    Point,
    Reading,
    Spread,
    clean,
    families,
)
from costweir.telemetry.metrics_gateway import read_snapshot

OPEN = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
NAME = re.compile(r"(llm|costweir|process)_[a-z_]+")
HOSTILE = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ['a"b', "a\nb", "a\\", "\\n", "\r\n# TYPE x counter", "\x00", "\ud800", "x" * 10_000, "é🦊", " ", "{le=}"]
    ),
)  # fmt: skip


def exporter(*sources: Callable[[], Reading]) -> Exporter:
    return Exporter(sources, gateway_pid=lambda: None)


def text(reading: Reading, accept: str = "") -> str:
    return exporter(lambda: reading).expose(accept, "").body.decode()


def test_every_family_is_named_and_described_as_the_guide_wants() -> None:
    for family in families().values():
        assert NAME.fullmatch(family.name), family.name
        assert family.help.endswith("."), family.name
        assert family.plane in ("metered", "billed", "operation"), family.name
        assert family.type in ("counter", "gauge", "histogram", "info"), family.name
        assert (family.type == "counter") == family.name.endswith("_total"), family.name
        assert (family.type == "histogram") == bool(family.buckets), family.name
        assert not {"user", "session", "key", "key_id", "request_id"} & set(family.labels), family.name


def test_the_gateways_snapshot_has_the_families_labels_and_buckets_of_the_data_file() -> None:
    counts = Metrics(customers=2)
    counts.tally(("up", "big", "ok", "gold", "prod", "acme")).calls += 1
    counts.tally(("up", "big", "ok", "gold", "prod", "acme")).cost += 5
    served = counts.served("up", "big")
    served.count({"input": 3})
    for counter in (counts.degradations, counts.fallbacks, counts.unpriced):
        counter["up", "x"] = 1
    for single in (counts.retries, counts.usage_missing, counts.refusals):
        single["x"] = 1
    counts.failed("up", "upstream_503")
    served.latency.add(5)
    served.began(5, ("req_1", "", 1))
    counts.reserve.add(5)
    stats = (
        "ledger_open", "ledger_suspended", "ledger_meters", "ledger_available", "ledger_queued", "ledger_commits",
        "ledger_opened", "ledger_last_commit_us", "ledger_clock_ahead", "upstream_connections", "breakers_open",
        "waiting",
    )  # fmt: skip
    reading = read_snapshot(msgspec.json.encode(snapshot(counts, dict.fromkeys(stats, 1))))
    for name, points in reading.points.items():
        assert {len(point.labels) for point in points} == {len(families()[name].labels)}, name
    for name, spreads in reading.spreads.items():
        family = families()[name]
        assert {len(spread.labels) for spread in spreads} == {len(family.labels)}, name
        edges = OWN_EDGES if name.endswith("reserve_seconds") else EDGES
        assert family.buckets == tuple(edge for _, edge in edges), name
    own = {name for name in families() if name.startswith(("llm_", "costweir_gateway_"))}
    beside = {name for name in own if "_process_" in name} | {
        "costweir_gateway_up", "costweir_gateway_restarts_total",
    }  # fmt: skip
    assert reading.points.keys() | reading.spreads.keys() == own - beside | {
        "costweir_log_lines_dropped_total"
    }


def test_processes_are_told_of_under_the_names_of_the_data_file() -> None:
    import os

    found = Exporter([], gateway_pid=os.getpid).expose("", "").body.decode()
    told = {line.split()[2]: line.split()[3] for line in found.splitlines() if line.startswith("# TYPE")}
    promised = {name: family.type for name, family in families().items() if "process_" in name}
    assert {name: kind for name, kind in told.items() if "process_" in name} == promised
    helps = {
        line.split()[2]: line.split(maxsplit=3)[3] for line in found.splitlines() if line.startswith("# HELP")
    }
    assert all(helps[name] == families()[name].help for name in promised)


def test_a_process_that_is_not_there_is_not_told_of() -> None:
    assert "costweir_gateway_process" not in text(Reading())
    assert "process_resident_memory_bytes" in text(Reading())


@given(HOSTILE, HOSTILE)
def test_whatever_a_name_holds_both_formats_can_be_read_again(first: str, second: str) -> None:
    reading = Reading()
    reading.put("costweir_budget_ratio", Decimal("0.5"), first, second, "gold")
    reading.put("llm_tokens_total", 7, first, second, "input")
    reading.spreads["llm_latency_seconds"] = [Spread((first, second), [1] * 13, Decimal(3))]
    for accept, read in (("", read_text), (OPEN, read_open)):
        found = {family.name: family for family in read(text(reading, accept))}
        total = [one for one in found["llm_tokens"].samples if one.name == "llm_tokens_total"]
        assert [one.value for one in total] == [7]
        assert total[0].labels.get("provider", "") == clean(first).lower()
        assert total[0].labels.get("model", "") == clean(second)
        assert all(len(value) <= MOST_LETTERS for value in total[0].labels.values())
        assert [one.value for one in found["costweir_budget_ratio"].samples] == [0.5]


def test_names_that_become_the_same_are_added_up_and_of_gauges_the_largest_is_shown() -> None:
    reading = Reading()
    for provider in ("Up", "up", "UP"):
        reading.put("costweir_gateway_retries_total", 2, provider)
        reading.put("costweir_spend_capture_ratio", Decimal("0.1") * len(provider), provider)
        reading.spreads.setdefault("llm_latency_seconds", []).append(
            Spread((provider, "m"), [1] * 13, Decimal("0.5"))
        )
    reading.put("costweir_spend_capture_ratio", Decimal("0.9"), "up")
    found = text(reading)
    assert 'costweir_gateway_retries_total{provider="up"} 6.0' in found
    assert found.count("costweir_spend_capture_ratio{") == 1
    assert 'costweir_spend_capture_ratio{provider="up"} 0.9' in found
    assert 'llm_latency_seconds_count{model="m",provider="up"} 39.0' in found
    assert 'llm_latency_seconds_sum{model="m",provider="up"} 1.5' in found


def test_a_gauge_that_is_read_from_a_table_has_a_bounded_number_of_series() -> None:
    reading = Reading()
    for number in range(MOST_SERIES + 500):
        reading.put("costweir_source_quarantined_rows", number, f"s{number}")
    found = text(reading)
    assert found.count("costweir_source_quarantined_rows{") == MOST_SERIES
    assert f'source="s{MOST_SERIES + 499}"' in found
    assert 'source="s0"' not in found


def test_amounts_keep_nine_digits() -> None:
    reading = Reading()
    reading.put("llm_cost_usd_total", Decimal("1.234567891"), "up", "big", "", "", "")
    assert 'llm_cost_usd_total{model="big",provider="up"} 1.234567891\n' in text(reading)


def test_exemplars_are_written_for_those_who_asked_for_open_metrics_only() -> None:
    seen = Exemplar({"call_id": "req_1", "trace_id": "4bf9"}, 1, 1_795_000_000)
    reading = Reading({"llm_requests_total": [Point(("up", "big", "ok", "", "", ""), 3, seen)]})
    wanted = 'llm_requests_total{model="big",outcome="ok",provider="up"} 3.0'
    assert f"{wanted}\n" in text(reading)
    found = text(reading, OPEN)
    assert f'{wanted} # {{call_id="req_1",trace_id="4bf9"}} 1.0 1795000000\n' in found
    assert found.endswith("# EOF\n")


def test_known_codes_are_there_from_the_start() -> None:
    reading = Reading()
    reading.put("costweir_gateway_refusals_total", 4, "rate_limited")
    found = text(reading)
    assert 'refusals_total{code="budget_exceeded"} 0.0' in found
    assert 'refusals_total{code="rate_limited"} 4.0' in found


@pytest.mark.parametrize(
    ("accept", "begins"),
    [
        ("", "text/plain; version=0.0.4"), ("*/*", "text/plain; version=0.0.4"),
        (OPEN, "application/openmetrics-text; version=1.0.0"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0"),
        ("text/plain;version=1.0.0;escaping=allow-utf-8", "text/plain; version=1.0.0"),
    ],
)  # fmt: skip
def test_the_scraper_says_in_which_format(accept: str, begins: str) -> None:
    found = exporter().expose(accept, "")
    assert found.headers["content-type"].startswith(begins)
    assert "content-encoding" not in found.headers


@pytest.mark.parametrize("escaping", ["underscores", "allow-utf-8", "dots", "values"])
@pytest.mark.parametrize("kind", ["application/openmetrics-text;version=1.0.0", "text/plain;version=1.0.0"])
def test_every_scheme_of_escaping_gives_what_the_library_gives(kind: str, escaping: str) -> None:
    reading = Reading()
    reading.put("llm_requests_total", 3, "up", 'a"b', "ok", "gold", "prod", "")
    reading.put("costweir_build_info", 1, "1.0")
    reading.spreads["llm_latency_seconds"] = [Spread(("up", "big"), [1] * 13, Decimal(3))]
    made, accept = exporter(lambda: reading), f"{kind};escaping={escaping}"

    def lines(body: bytes) -> list[bytes]:
        return [line for line in body.splitlines() if not line.startswith(b"process_")]

    assert lines(made.expose(accept, "").body) == lines(choose_encoder(accept)[0](made))


def test_gzip_for_those_who_take_it() -> None:
    found = exporter().expose("", "br, gzip;q=1.0")
    assert found.headers["content-encoding"] == "gzip"
    assert b"# TYPE process_open_fds gauge" in gzip.decompress(found.body)


def test_a_snapshot_that_is_none_is_refused() -> None:
    for body in (b"", b"{}", b"not json", b'{"requests": 1}'):
        with pytest.raises(msgspec.DecodeError):
            read_snapshot(body)


def test_a_scrape_of_a_thousand_customers_and_a_hundred_models_is_small_and_quick() -> None:
    """The goal is 50 ms and 1 MB; what is measured here is CPU, and a slow machine gets ten times as much."""
    counts = Metrics(customers=200)
    for number in range(20_000):
        model, customer = (
            f"model-of-a-usual-name-{number % 100}",
            counts.customer(f"customer-{number % 1000}"),
        )
        who = (
            "openai",
            model,
            "ok" if number % 7 else "refused",
            f"tier_{number % 4}",
            "production",
            customer,
        )
        tally, seen = counts.tally(who), (f"req_{number:026}", "4bf92f3577b34da6a3ce929d0e0e4736", number)
        tally.calls, tally.cost, tally.seen = tally.calls + 1, tally.cost + 1_000_003, seen
        served = counts.served("openai", model)
        served.count({"input": 9})
        served.latency.add(number * 500, seen)
        served.began(number % 9_000, seen)
    found = exporter(lambda: read_snapshot(msgspec.json.encode(snapshot(counts, {}))))
    for accept in ("", OPEN):
        began = time.thread_time()
        body = found.expose(accept, "").body
        took = time.thread_time() - began
        assert took < 0.5
        assert len(body) < 1_000_000
        assert body.count(b"llm_latency_seconds_bucket{") == 100 * 13


def test_the_documentation_names_every_family() -> None:
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert [name for name in families() if f"`{name}`" not in page] == []
