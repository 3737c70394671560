"""What of an attempt becomes a Call: every token once, and no cost where none is known."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from costweir.app.weir.outbox import adjustment_of, call_of
from costweir.domain.call import CALL_COLUMN_NAMES, OUTCOMES, USAGE_CERTAINTIES
from costweir.guard.ledger import Attempt, Subject
from costweir.store.engines.duckdb import DuckDBWarehouse as DuckDB

AT = datetime(2026, 11, 21, 23, 59, 59, tzinfo=UTC)


def attempt(**more: Any) -> Attempt:
    given: dict[str, Any] = {
        "attempt": 7, "request_id": "req_1", "state": "SETTLED", "subject": Subject(customer="acme", key="key_1"),
        "model": "big", "provider": "up1", "held": 2_000, "charged": 1_500, "debt": 0, "certainty": "reported",
        "price_version": "v1", "created_at": AT, "ended_at": AT,
        "usage": {"input": 10, "input_video": 2, "cache_read": 3, "output": 5, "reasoning": 4, "request": 1},
        "call": {
            "outcome": "ok", "response_model": "Anthropic/claude-sonnet-4-5-20250929", "request_model": "big",
            "duration_ms": 12,
        },
    }  # fmt: skip
    return Attempt(**given | more)


def test_a_settled_attempt() -> None:
    row = call_of(attempt(), {"up1": "openai"})
    assert row["call_id"] == "att_7"
    assert (row["provider"], row["service"], row["model"], row["request_model"]) == (
        "openai",
        "up1",
        "claude-sonnet-4-5",
        "big",
    )
    assert (row["settled_usd"], row["reserved_usd"]) == (Decimal("0.0000015"), Decimal("0.000002"))
    assert (row["usage_date"], row["usage_hour"], row["iso_dow"], row["usage_month"]) == (
        AT.date(),
        23,
        6,
        "2026-11",
    )
    tokens = {name: row[name] for name in row if name.endswith("_tokens")}
    assert tokens == {
        "uncached_input_tokens": 12, "cache_read_tokens": 3, "text_output_tokens": 5, "reasoning_tokens": 4,
    }  # fmt: skip
    assert (row["customer"], row["session_id"], row["project"]) == ("acme", "untagged", "untagged")


@pytest.mark.parametrize(
    ("given", "cost"),
    [
        ({"state": "UNCERTAIN", "charged": 2_000, "certainty": "unknown"}, Decimal("0.000002")),
        ({"state": "UNCERTAIN", "charged": 0, "certainty": "unknown", "price_version": ""}, None),
        ({"state": "RELEASED", "charged": 0, "certainty": "unknown"}, Decimal(0)),
        ({"charged": 2_000, "debt": 500}, Decimal("0.0000025")),
    ],
)
def test_what_is_unpriced_costs_null_and_never_zero(given: dict[str, Any], cost: Decimal | None) -> None:
    assert call_of(attempt(**given), {})["settled_usd"] == cost


@pytest.mark.parametrize("call", [{}, {"reason": "lease_ended"}, {"outcome": "aborted"}])
@pytest.mark.parametrize("state", ["SETTLED", "RELEASED", "UNCERTAIN"])
def test_every_row_fits_the_table(state: str, call: dict[str, object]) -> None:
    row = call_of(attempt(state=state, call=call), {})
    assert set(row) <= set(CALL_COLUMN_NAMES)
    assert row["outcome"] in OUTCOMES
    assert row["usage_certainty"] in USAGE_CERTAINTIES


def test_usage_that_came_late_is_an_adjustment_beside_the_call(tmp_path: Path) -> None:
    late = attempt(
        charged=500, call={"outcome": "error", "corrected": {"at": 1_795_305_600 * 10**9, "before": 2_000}}
    )
    row = adjustment_of(late)
    assert row is not None
    warehouse = DuckDB.open(tmp_path / "facts.duckdb")
    warehouse.migrate()
    for _ in range(2):
        # Whether the call was carried over before or not, and however often it is.
        warehouse.append([call_of(attempt(state="UNCERTAIN", charged=2_000, certainty="unknown"), {})])
        warehouse.append([call_of(late, {})])
        warehouse.adjust([row])

    found = warehouse.query("SELECT metered_cost, x_adjustments FROM calls_facts").rows
    moved = warehouse.query("SELECT metered_cost, x_change, restated_on FROM adjustments_facts").rows
    warehouse.close()
    assert found == ((Decimal("0.0000005"), 1),)
    assert moved == ((Decimal("-0.0000015"), "corrected", date(2026, 11, 22)),)
    assert adjustment_of(attempt()) is None


def test_a_call_that_had_no_price_is_priced_by_late_usage() -> None:
    late = attempt(price_version="", call={"price_version": "v2", "corrected": {"at": 0, "before": 0}})
    row = adjustment_of(late)
    assert row is not None
    assert (row["reason"], row["usd_before"], row["price_version_after"]) == ("priced", None, "v2")
    assert call_of(late, {})["settled_usd"] is None
