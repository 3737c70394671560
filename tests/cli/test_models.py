"""Approved models from the command line to the answer, with real bills in a real store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Cli
from tests.cli.test_server import start
from tests.contract import bills

from costweir.control import Control
from costweir.store.engines.duckdb import DuckDBWarehouse

TODAY = datetime.now(UTC).date()
Load = Callable[..., None]


@pytest.fixture
def load(home: Path, tmp_path: Path) -> Load:
    """Stores charges: (customer, model, days ago)."""

    def put(*lines: tuple[str, str, int]) -> None:
        (home / "data").mkdir(exist_ok=True)
        store = DuckDBWarehouse.open(home / "data" / "facts.duckdb")
        store.migrate()
        rows = [
            bills.line(x_customer=customer, x_model=model, usage_date=TODAY - timedelta(days=ago), cost="2")
            for customer, model, ago in lines
        ]
        bills.store(store, tmp_path, rows)
        store.close()

    return put


def outside(cli: Cli) -> dict[str, str]:
    """What is used outside the lists: model and cost, by `model_approvals`."""
    done = cli("ask", "model_approvals", "--json")
    assert done.code in (0, 4), done.err
    return {f"{row['customer']} {row['model']}": row["billed_cost"] for row in done.json["rows"]}


def test_an_approval_answers_which_models_are_outside_it(cli: Cli, load: Load) -> None:
    load(("acme", "gpt-5", 40), ("acme", "gpt-5-mini", 40), ("acme", "o3", 3), ("globex", "o3", 3))
    assert outside(cli) == {}

    assert cli("models", "approve", "acme", "GPT-5*").code == 0
    assert outside(cli) == {"acme o3": "2.00"}

    assert cli("models", "approve", "acme", "o3").code == 0
    assert outside(cli) == {}


def test_a_pattern_covers_models_that_are_loaded_later(cli: Cli, load: Load) -> None:
    load(("acme", "gpt-4o", 40))
    cli("models", "approve", "acme", "gpt-5*")
    assert outside(cli) == {"acme gpt-4o": "2.00"}

    load(("acme", "gpt-5-nano", 40))

    assert outside(cli) == {}


def test_the_configuration_file_makes_lists_too(cli: Cli, load: Load, home: Path) -> None:
    load(("acme", "gpt-5", 40), ("acme", "o3", 40))
    file = home / "data" / "costweir.toml"
    file.write_text('[[approved_models]]\ncustomer = "acme"\nmodels = ["gpt-*"]\n', encoding="utf-8")

    assert outside(cli) == {"acme o3": "2.00"}
    assert cli("models", "list", "--json").json["rows"] == [
        {"customer": "acme", "pattern": "gpt-*", "origin": "config", "in_use": ["gpt-5"]}
    ]
    refused = cli("models", "unapprove", "acme", "gpt-*", "--json")
    assert (refused.code, refused.error["code"]) == (1, "conflict")

    file.unlink()
    assert outside(cli) == {}


def test_taking_the_last_entry_off_says_what_that_means(cli: Cli, load: Load) -> None:
    load(("acme", "o3", 3))
    cli("models", "approve", "acme", "gpt-5")

    done = cli("models", "unapprove", "acme", "gpt-5")

    assert done.code == 0
    assert "may use every model" in done.err
    assert outside(cli) == {}
    assert cli("models", "unapprove", "acme", "gpt-5", "--json").error["code"] == "not_found"


def test_a_dry_run_changes_nothing(cli: Cli, home: Path) -> None:
    done = cli("models", "approve", "acme", "gpt-5", "--dry-run", "--json")

    assert done.json["rows"] == [{"customer": "acme", "pattern": "gpt-5"}]
    assert cli("models", "list", "--json").json["rows"] == []


def test_every_change_is_a_link_of_the_audit_chain(cli: Cli, home: Path) -> None:
    for words in (("approve", "acme", "o3"), ("approve", "acme", "o3"), ("unapprove", "acme", "o3")):
        cli("models", *words)

    with Control.open(home / "data" / "control.db") as control:
        rows = [row.to_json() for row in control.audit.listed()]
        assert control.audit.verify().ok

    told: list[Any] = [(row["action"], row["subject"], row["before"], row["after"]) for row in rows]
    assert told == [
        ("approval.drop", "customer:acme", {"models": ["o3"]}, {"models": []}),
        ("approval.add", "customer:acme", {"models": []}, {"models": ["o3"]}),
    ]


def test_a_model_is_new_for_as_many_days_as_one_says(cli: Cli, load: Load) -> None:
    load(("acme", "gpt-5", 70), ("acme", "gpt-5", 1), ("acme", "o3", 10), ("globex", "o3", 50))
    cli("models", "approve", "acme", "gpt-5")

    rows = cli("models", "seen", "--json").json["rows"]
    told = [(row["customer"], row["model"], row["new"], row["unapproved"]) for row in rows]

    assert told == [
        ("acme", "o3", True, True),
        ("globex", "o3", False, False),
        ("acme", "gpt-5", False, False),
    ]
    assert rows[0]["first_day"] == (TODAY - timedelta(days=10)).isoformat()
    assert [
        row["model"] for row in cli("models", "seen", "--new", "--days", "5", "--json").json["rows"]
    ] == []
    assert len(cli("models", "seen", "--unapproved", "--json").json["rows"]) == 1
    assert len(cli("models", "seen", "--customer", "globex", "--json").json["rows"]) == 1


def test_an_approval_reaches_a_running_server_at_once(cli: Cli, load: Load, home: Path) -> None:
    load(("acme", "gpt-5", 40), ("acme", "o3", 3))

    with start(home / "data") as process:
        before = outside(cli)
        assert cli("models", "approve", "acme", "gpt-*").code == 0
        after = outside(cli)
        rows = cli("models", "list", "--json").json["rows"]
        seen = cli("models", "seen", "--unapproved", "--json").json["rows"]
        charged = cli("chargeback", "--month", f"{TODAY:%Y-%m}", "--json")
        changes = cli("prices", "changes", "--json")
        preview = cli("prices", "rerate", "--preview", "--json")
        process.terminate()

    assert (before, after) == ({}, {"acme o3": "2.00"})
    assert rows == [{"customer": "acme", "pattern": "gpt-*", "origin": "user", "in_use": ["gpt-5"]}]
    assert [row["model"] for row in seen] == ["o3"]
    assert sum(Decimal(row["total_cost"]) for row in charged.json["rows"]) == Decimal(charged.json["total"])
    assert (changes.code, preview.code) == (0, 0)
