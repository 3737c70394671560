"""Price changes and re-rating from the command line, with real bills and calls in a real store."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Cli
from tests.contract import bills

from costweir.store.engines.duckdb import DuckDBWarehouse

TODAY = datetime.now(UTC).date()


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


PRICES = f"""
[[prices]]
model = "house-model"
effective = "2025-01-01"
input = "3.00"
output = "15.00"

[[prices]]
model = "house-model"
effective = "{ago(5)}"
input = "2.00"
output = "15.00"
"""


@pytest.fixture
def world(home: Path, tmp_path: Path) -> Path:
    """Two customers with bills on one model, a third whose use is older, and two calls."""
    (home / "data").mkdir()
    store = DuckDBWarehouse.open(home / "data" / "facts.duckdb")
    store.migrate()
    lines: list[dict[str, Any]] = [
        bills.line(x_customer=customer, x_model="house-model", usage_date=day, cost="6", x_tokens=Decimal(tokens))
        for customer, day, tokens in (
            ("acme", ago(10), 2_000_000), ("globex", ago(9), 500_000), ("initech", ago(60), 9_000_000),
        )
    ]  # fmt: skip
    bills.store(store, tmp_path, lines)
    started = datetime.combine(ago(3), time(12))
    given: dict[str, Any] = {"started_at": started, "model": "house-model", "settled_usd": None}
    store.append([bills.call(1, **given), bills.call(2, **{**given, "model": "nobody-knows-it"})])
    store.close()
    (home / "data" / "costweir.toml").write_text(PRICES, encoding="utf-8")
    return home


def test_a_change_names_who_used_the_model_and_about_how_much_it_is(cli: Cli, world: Path) -> None:
    done = cli("prices", "changes", "--since", str(ago(20)), "--json")

    assert done.code == 0, done.err
    [row] = done.json["rows"]
    assert done.json["schema"] == "costweir.prices/1"
    assert "As many tokens as in the last 30 days" in done.json["assumption"]
    assert (row["change"], row["model"], row["customers"], row["spent_usd"]) == (
        "changed", "house-model", 2, "12.00",
    )  # fmt: skip
    assert (row["before"], row["after"]) == ({"input_usd": "3.00"}, {"input_usd": "2.00"})
    assert row["rates"] == ["input 3.00 to 2.00"]
    assert row["estimated_monthly_usd"] == "-2.50"
    assert {touch["customer"]: touch["estimated_monthly_usd"] for touch in row["touches"]} == {
        "acme": "-2.00", "globex": "-0.50",
    }  # fmt: skip


def test_changes_that_touch_nobody_are_counted_and_shown_on_request(cli: Cli, world: Path) -> None:
    (world / "data" / "costweir.toml").write_text(PRICES.replace("house", "other"), encoding="utf-8")

    few = cli("prices", "changes", "--since", str(ago(20)))
    assert few.out == ""
    assert "--all shows them" in few.err

    rows = cli("prices", "changes", "--since", str(ago(20)), "--all", "--json").json["rows"]
    assert [row["touches"] for row in rows if row["model"] == "other-model"] == [[]]


def test_a_preview_shows_what_calls_would_cost(cli: Cli, world: Path) -> None:
    done = cli("prices", "rerate", "--preview", "--json")

    assert done.code == 0, done.err
    rows = {row["model"]: row for row in done.json["rows"]}
    known, unknown = rows["house-model"], rows["nobody-knows-it"]
    assert (known["before_usd"], known["after_usd"], known["still_unpriced_calls"]) == ("0.00", "0.0005", 0)
    assert (unknown["unpriced_calls"], unknown["still_unpriced_calls"], unknown["missing"]) == (
        1,
        1,
        ["model"],
    )


def test_applying_puts_adjustments_beside_the_calls_once(cli: Cli, world: Path) -> None:
    seen = cli("prices", "rerate", "--preview", "--json").json
    done = cli("prices", "rerate", "--apply", "--json")

    assert done.code == 0, done.err
    assert [row["model"] for row in done.json["rows"]] == ["house-model"]
    assert (done.json["delta_usd"], done.json["preview"]) == (seen["delta_usd"], False)
    assert done.json["run_id"].startswith("rerate_")
    assert cli("prices", "rerate", "--apply", "--json").json["rows"] == []
    changes = cli("ask", "call_adjustments", "--by", "model", "--by", "change", "--json").json
    assert changes["total"] == done.json["delta_usd"]
    assert "calls.rerate" in {row["action"] for row in cli("audit", "list", "--json").json["rows"]}


def test_without_preview_nothing_is_done_and_that_is_said(cli: Cli, world: Path) -> None:
    done = cli("prices", "rerate", "--json")

    assert (done.code, done.error["code"]) == (2, "usage")
    assert "--preview" in done.error["hint"]


def test_the_preview_can_be_of_some_days_and_models(cli: Cli, world: Path) -> None:
    rows = cli("prices", "rerate", "--preview", "--model", "house-model", "--json").json["rows"]
    assert [row["model"] for row in rows] == ["house-model"]
    assert cli("prices", "rerate", "--preview", "--until", str(ago(3)), "--json").json["rows"] == []
