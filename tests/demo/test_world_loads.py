"""The sample world, loaded by the users' own readers, answers as the oracle does, to the last digit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from costweir.app import LocalDesk, open_desk
from costweir.config import load
from costweir.demo import World
from costweir.domain.answer import Answer
from costweir.queries.request import Request

Record = Mapping[str, Any]

#: The first test also writes and loads the world.
pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("loaded-world")]


@pytest.fixture(scope="module")
def loaded(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[LocalDesk, list[Record]]]:
    settings = load(
        path=world.out / "costweir.toml",
        environ={},
        overrides={"data_dir": str(tmp_path_factory.mktemp("data"))},
    )
    with open_desk(settings) as desk:
        assert isinstance(desk, LocalDesk)
        rows = [row for path in world.pull_paths for row in desk.pull_files([str(path)], sample=True)]
        yield desk, rows


@pytest.fixture
def desk(loaded: tuple[LocalDesk, list[Record]]) -> LocalDesk:
    return loaded[0]


@pytest.fixture
def runs(loaded: tuple[LocalDesk, list[Record]]) -> list[Record]:
    return loaded[1]


def _members(answer: Answer, dimensions: tuple[str, ...], measure: str) -> dict[tuple[str, ...], Decimal]:
    return {tuple(str(row[name]) for name in dimensions): Decimal(str(row[measure])) for row in answer.rows}


def _expected(
    truth: Record, name: str, dimensions: tuple[str, ...], measure: str = "billed_cost"
) -> dict[tuple[str, ...], Decimal]:
    return {tuple(row[part] for part in dimensions): Decimal(row[measure]) for row in truth["by"][name]}


def test_nothing_fails_and_nothing_is_quarantined(runs: list[Record]) -> None:
    assert [row for row in runs if row["status"] != "loaded"] == []
    assert sum(row["rows_quarantined"] for row in runs) == 0


def test_every_bill_has_the_rows_and_the_total_of_the_oracle(runs: list[Record], truth: Record) -> None:
    last = {(row["account"], row["period"]): row for row in runs}
    for slot in truth["slots"]:
        row = last.pop((slot["account"], slot["period"]))
        for name in ("rows_in", "rows_stored", "rows_skipped"):
            assert row[name] == slot[name], (slot, name)
        for name in ("billed_total", "file_total"):
            assert Decimal(row[name]) == Decimal(slot[name]), (slot, name)
    assert not last


def test_the_restated_month_replaces_its_first_delivery(runs: list[Record]) -> None:
    first, final = (row for row in runs if row["period"] == "2026-10" and row["source"] == "aws-cur2")
    assert first["billed_total"] != final["billed_total"]
    assert first["rows_stored"] < final["rows_stored"]


@pytest.mark.parametrize(
    ("name", "dimensions"),
    [
        ("provider", ("provider",)),
        ("month", ("month",)),
        ("provider_month", ("provider", "month")),
        ("service", ("service",)),
        ("model", ("model",)),
        ("model_month", ("model", "month")),
        ("token_class", ("token_class",)),
        ("model_token_class", ("model", "token_class")),
        ("customer", ("customer",)),
        ("customer_month", ("customer", "month")),
        ("project", ("project",)),
        ("feature", ("feature",)),
        ("day", ("day",)),
        ("provider_day", ("provider", "day")),
    ],
)
def test_spend_is_that_of_the_oracle(
    desk: LocalDesk, truth: Record, name: str, dimensions: tuple[str, ...]
) -> None:
    answer = desk.ask(Request("spend", by=dimensions))
    assert (answer.basis, answer.currency, answer.other) == ("billed", "USD", "0.00")
    assert Decimal(answer.total) == Decimal(truth["total"])
    assert _members(answer, dimensions, "billed_cost") == _expected(truth, name, dimensions)


@pytest.mark.parametrize(
    ("name", "dimensions"),
    [("model_token_class", ("model", "token_class")), ("model_month", ("model", "month"))],
)
def test_tokens_are_those_of_the_oracle(
    desk: LocalDesk, truth: Record, name: str, dimensions: tuple[str, ...]
) -> None:
    answer = desk.ask(Request("tokens", by=dimensions))
    assert _members(answer, dimensions, "tokens") == _expected(truth, name, dimensions, "tokens")


def test_credits_taxes_and_corrections_are_told_apart_as_the_oracle_does(
    desk: LocalDesk, truth: Record
) -> None:
    answer = desk.ask(Request("credits", by=("category",)))
    assert _members(answer, ("category",), "billed_cost") == _expected(truth, "category", ("category",))


def test_customers_are_found_by_tag_by_principal_and_by_resource_group(desk: LocalDesk) -> None:
    found = desk.warehouse.query(
        "SELECT x_provider, x_customer_rule, COUNT(DISTINCT x_customer) AS found FROM charges"
        " WHERE x_customer <> 'untagged' AND x_provider IN ('aws', 'azure')"
        " GROUP BY x_provider, x_customer_rule ORDER BY x_provider, x_customer_rule"
    ).rows
    rules = {(provider, rule) for provider, rule, count in found if count}
    assert rules == {("aws", "principal"), ("aws", "tag"), ("azure", "resource-group"), ("azure", "tag")}


def test_the_margin_shows_the_tier_that_loses_money(desk: LocalDesk, truth: Record) -> None:
    month = {"since": date(2026, 10, 1), "until": date(2026, 11, 1)}
    answer = desk.ask(Request("margin", by=("plan",), **month))
    costs = _members(answer, ("plan",), "billed_cost")
    for row in truth["by"]["plan_month"]:
        if row["month"] == "2026-10" and row["plan"] != "none":
            assert costs[row["plan"],] == Decimal(row["billed_cost"])
    margins = _members(answer, ("plan",), "margin_usd")
    assert {plan for (plan,), margin in margins.items() if plan.startswith("tier") and margin < 0} == {
        "tier_1"
    }


def test_what_nobody_can_be_charged_for_is_that_of_the_oracle(desk: LocalDesk, truth: Record) -> None:
    answer = desk.ask(Request("spend", where={"customer": ("untagged",)}))
    assert Decimal(answer.total) == Decimal(truth["untagged"]["billed_cost"])


def test_a_second_pull_changes_nothing(desk: LocalDesk, world: World, truth: Record) -> None:
    rows = desk.pull_files([str(world.out / "focus")], sample=True)
    assert {row["status"] for row in rows} == {"unchanged"}
    assert Decimal(desk.ask(Request("spend")).total) == Decimal(truth["total"])
