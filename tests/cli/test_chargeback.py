"""The chargeback of a month ties to the spend of the month, in every form."""

from __future__ import annotations

import csv
import io
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.contract import bills

from costweir.store.engines.duckdb import DuckDBWarehouse

RULES = """
[[shared_costs]]
name = "platform"
match = { customer = "northlight" }
by = "spend"

[[shared_costs]]
name = "rest"
match = { customer = "untagged" }
by = { acme = "1", globex = "2" }
"""


@pytest.fixture
def world(home: Path, tmp_path: Path) -> Path:
    """One month of four customers, and a day of the next."""
    (home / "data").mkdir()
    store = DuckDBWarehouse.open(home / "data" / "facts.duckdb")
    store.migrate()
    rows = [
        bills.line(x_customer=customer, cost=cost, usage_date=date(2026, 10, 31))
        for customer, cost in (
            ("acme", "30"), ("globex", "10"), ("northlight", "1.000000000000000001"), ("untagged", "0.10"),
        )
    ]  # fmt: skip
    rows.append(bills.line(x_customer="acme", cost="99", usage_date=date(2026, 11, 1)))
    bills.store(store, tmp_path, rows)
    store.close()
    (home / "data" / "costweir.toml").write_text(RULES, encoding="utf-8")
    return home


def test_every_customer_carries_its_part_and_the_total_is_the_spend(cli: Cli, world: Path) -> None:
    found = cli("chargeback", "--month", "2026-10", "--json").json
    spend = cli("ask", "spend", "--since", "2026-10-01", "--until", "2026-11-01", "--json").json

    assert found["schema"] == "costweir.chargeback/1"
    assert (found["month"], found["currency"], found["total"]) == ("2026-10", "USD", spend["total"])
    rows = {row["customer"]: row for row in found["rows"]}
    assert rows["acme"]["shared"] == {"platform": "0.750000000000000001", "rest": "0.033333333333333333"}
    assert rows["globex"]["shared"] == {"platform": "0.25", "rest": "0.066666666666666667"}
    assert sum(Decimal(row["total_cost"]) for row in found["rows"]) == Decimal(found["total"])
    assert [rule["amount"] for rule in found["rules"]] == ["1.000000000000000001", "0.10"]


def test_the_csv_has_a_column_for_each_rule(cli: Cli, world: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(cli("chargeback", "--month", "2026-10", "--csv").out)))

    assert list(rows[0]) == [
        "customer",
        "direct_cost",
        "shared_platform_cost",
        "shared_rest_cost",
        "total_cost",
    ]
    for row in rows:
        parts = [Decimal(value) for name, value in row.items() if name not in ("customer", "total_cost")]
        assert sum(parts) == Decimal(row["total_cost"])


def test_without_rules_every_cost_is_direct(cli: Cli, world: Path) -> None:
    (world / "data" / "costweir.toml").unlink()

    done = cli("chargeback", "--month", "2026-10")

    assert "No shared_costs are configured" in done.err
    assert "northlight" in done.out


@pytest.mark.parametrize(
    "text",
    [
        '[[shared_costs]]\nname = "a"\nmatch = {}\nby = "spend"\n',
        '[[shared_costs]]\nname = "a"\nmatch = { customer = "x" }\nby = "weight"\n',
        '[[shared_costs]]\nname = "a"\nmatch = { customer = "x" }\nby = { acme = 0.5 }\n',
    ],
)
def test_a_rule_that_cannot_hold_is_refused(cli: Cli, world: Path, text: str) -> None:
    (world / "data" / "costweir.toml").write_text(text, encoding="utf-8")

    done = cli("chargeback", "--month", "2026-10", "--json")

    assert (done.code, done.error["code"]) == (2, "config")
    assert "shared_costs" in done.error["message"]


def test_a_month_that_is_none_is_a_usage_error(cli: Cli, world: Path) -> None:
    assert cli("chargeback", "--month", "2026-13").code == 2
