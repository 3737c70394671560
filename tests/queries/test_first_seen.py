"""Who began to use which model, and whether it was approved."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import bills
import pytest

from costweir.queries.ask import ask
from costweir.queries.request import Request
from costweir.store.engines.duckdb import DuckDBWarehouse


@pytest.fixture
def store(tmp_path: Path) -> DuckDBWarehouse:
    opened = DuckDBWarehouse.open(Path(":memory:"))
    opened.migrate()
    bills.refer(opened)
    rows = [
        bills.line(usage_date=day, x_customer=customer, x_model=model, cost="2")
        for customer, model, days in (
            ("acme", "gpt-4o-mini", (date(2026, 9, 3), date(2026, 10, 9))),
            ("acme", "claude-sonnet-4-6", (date(2026, 10, 8), date(2026, 10, 8))),
            ("initech", "claude-sonnet-4-6", (date(2026, 9, 30),)),
        )
        for day in days
    ]
    bills.store(opened, tmp_path, rows)
    return opened


def seen(store: DuckDBWarehouse, **given: object) -> dict[tuple[object, object], dict[str, object]]:
    answer = ask(store, Request("first_seen", **given), today=bills.TODAY)  # type: ignore[arg-type]
    return {(row["customer"], row["model"]): dict(row) for row in answer.rows}


def test_the_first_day_is_the_first_ever_and_the_cost_is_all_since(store: DuckDBWarehouse) -> None:
    row = seen(store)["acme", "gpt-4o-mini"]

    assert (row["first_day"], row["last_day"], row["active_days"]) == ("2026-09-03", "2026-10-09", 2)
    assert row["billed_cost"] == "4.00"


def test_a_model_outside_the_list_is_flagged_with_its_cost(store: DuckDBWarehouse) -> None:
    found = seen(store)

    flags = {key: (row["listed"], row["unapproved"], row["unapproved_cost"]) for key, row in found.items()}
    assert flags == {
        ("acme", "gpt-4o-mini"): (True, False, "0.00"),
        ("acme", "claude-sonnet-4-6"): (True, True, "4.00"),
        ("initech", "claude-sonnet-4-6"): (False, False, "0.00"),
    }


def test_a_customer_can_be_asked_for_alone(store: DuckDBWarehouse) -> None:
    assert {customer for customer, _ in seen(store, where={"customer": ("initech",)})} == {"initech"}


def test_metered_calls_count_as_well(store: DuckDBWarehouse) -> None:
    store.append([bills.call(1, customer="acme", model="o3")])

    row = seen(store, basis="metered")["acme", "o3"]

    assert (row["first_day"], row["unapproved"], row["metered_cost"]) == ("2026-10-05", True, "0.25")
