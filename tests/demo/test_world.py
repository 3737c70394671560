"""The sample world is the same for the same arguments, and tells the story that it promises."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from costweir.config import load
from costweir.demo import World, write_world
from costweir.demo.cast import customers, plans
from costweir.demo.story import Stage, play
from costweir.errors import UsageError

TODAY = date(2026, 11, 20)
LAST_FULL = "2026-10"
Billed = Mapping[str, Mapping[tuple[str, ...], Decimal]]


def _hashes(out: Path) -> dict[str, str]:
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def test_the_same_arguments_give_the_same_bytes(small: Path, tmp_path: Path) -> None:
    write_world(tmp_path, today=TODAY, scale=0.1)
    assert _hashes(tmp_path) == _hashes(small)


def test_another_seed_gives_other_bills(small: Path, tmp_path: Path) -> None:
    write_world(tmp_path, today=TODAY, scale=0.1, seed=8)
    ours, theirs = _hashes(small), _hashes(tmp_path)
    bills = [name for name in ours if name.endswith((".parquet", ".csv.gz", ".jsonl.gz", ".csv"))]
    assert bills
    assert all(ours[name] != theirs[name] for name in bills)


@pytest.mark.parametrize(
    "today",
    [date(2026, 3, 1), date(2026, 1, 2), date(2024, 2, 29)],
    ids=["1 March", "2 January", "29 February"],
)
def test_a_month_that_has_not_arrived_yet_has_no_file(today: date, tmp_path: Path) -> None:
    world = write_world(tmp_path, today=today, scale=0.02)
    stage = Stage(today)
    assert len(stage.months) == 13
    current = str(stage.months[-1])
    arrived = bool(stage.days("gcp", 12))
    assert any(current in path.name for path in (world.out / "gcp").rglob("*")) == arrived
    assert max(stage.days("aws", 11)) <= stage.last_day("aws")


def test_a_world_of_almost_nothing_is_still_written(tmp_path: Path) -> None:
    world = write_world(tmp_path, today=TODAY, scale=0.001)
    truth = json.loads((world.out / "truth.json").read_text(encoding="utf-8"))
    assert 0 < truth["rows"] < 1000
    assert Decimal(truth["total"]) == sum(Decimal(row["billed_cost"]) for row in truth["by"]["day"])


@pytest.mark.parametrize("scale", [0, -1, 1000, float("nan")])
def test_a_scale_that_makes_no_world_is_refused(scale: float, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="scale"):
        write_world(tmp_path, today=TODAY, scale=scale)
    assert list(tmp_path.iterdir()) == []


def test_the_total_is_that_of_a_firm_with_forty_customers(billed: Billed, truth: Mapping[str, Any]) -> None:
    assert Decimal(1200) < billed["month"][LAST_FULL,] < Decimal(1800)
    assert 60_000 <= truth["rows"] <= 150_000


def test_one_tier_loses_money_and_the_others_do_not(world: World, billed: Billed) -> None:
    for plan in world.plans:
        revenue = Decimal(plan.price_usd) * sum(
            1
            for customer in world.customers
            if customer.plan == plan.id and customer.since <= date(2026, 10, 1)
        )
        margin = revenue - billed["plan_month"][plan.id, LAST_FULL]
        assert (margin < 0) == (plan.id == "tier_1"), (plan.id, margin)
    assert sum(1 for customer in world.customers if customer.plan) == 40


@pytest.mark.parametrize(
    "today", [date(2027, 1, 15), date(2026, 3, 3)], ids=["after December", "after February"]
)
@pytest.mark.parametrize("seed", [0, 1234])
def test_the_same_tier_loses_money_for_any_seed_and_after_a_short_month(seed: int, today: date) -> None:
    known = customers(today)
    plan_of = {customer.id: customer.plan for customer in known}
    cost = dict.fromkeys(("tier_1", "tier_2", "tier_3", ""), Decimal(0))
    for use in play(Stage(today), seed=seed, scale=Decimal(1)):
        if use.month == 11:
            cost[plan_of.get(use.customer, "")] += use.cost
    for plan in plans():
        revenue = Decimal(plan.price_usd) * sum(1 for customer in known if customer.plan == plan.id)
        assert (revenue < cost[plan.id]) == (plan.id == "tier_1")


def test_the_losing_tier_made_money_half_a_year_ago(world: World, billed: Billed) -> None:
    revenue = 49 * sum(
        1 for item in world.customers if item.plan == "tier_1" and item.since <= date(2026, 4, 1)
    )
    assert revenue - billed["plan_month"]["tier_1", "2026-04"] > 0


def test_one_customer_runs_away_for_five_days(world: World, billed: Billed) -> None:
    days = Stage(TODAY).runaway_days()
    assert len(days) == 5
    assert all(day < TODAY and (TODAY - day).days < 31 for day in days)
    month = f"{days[0]:%Y-%m}"
    usual = billed["customer_month"]["fjord-analytics", "2026-09"]
    assert billed["customer_month"]["fjord-analytics", month] > 3 * usual


def test_three_to_five_per_cent_cannot_be_charged_to_anybody(truth: Mapping[str, Any]) -> None:
    share = Decimal(truth["untagged"]["billed_cost"]) / Decimal(truth["total"])
    assert Decimal("0.03") <= share <= Decimal("0.05")


def test_something_small_is_bought_that_no_rule_knows(truth: Mapping[str, Any]) -> None:
    unknown = Decimal(truth["unknown"]["billed_cost"])
    assert truth["unknown"]["rows"] > 50
    assert 0 < unknown < Decimal(truth["total"]) / 50


def test_models_arrive_and_fade(billed: Billed) -> None:
    by_month = billed["model_month"]
    assert ("claude-sonnet-5-5", "2026-07") not in by_month
    assert by_month["claude-sonnet-5-5", LAST_FULL] > 50
    assert by_month["claude-3-haiku", "2025-11"] > 0
    assert ("claude-3-haiku", LAST_FULL) not in by_month
    assert by_month["gpt-4o", "2025-11"] > 0
    assert ("gpt-4o", LAST_FULL) not in by_month


def test_spend_grows_and_rests_at_the_weekend(billed: Billed) -> None:
    months = [billed["month"][str(month),] for month in Stage(TODAY).months[:-1]]
    assert months == sorted(months)
    days = [date(2026, 9, 1) + timedelta(days=n) for n in range(28)]
    weekend = [billed["day"][day.isoformat(),] for day in days if day.isoweekday() > 5]
    working = [billed["day"][day.isoformat(),] for day in days if day.isoweekday() <= 5]
    assert sum(weekend) / len(weekend) < sum(working) / len(working) / 2


def test_every_kind_of_charge_and_every_token_class_occurs(billed: Billed) -> None:
    assert set(billed["category"]) == {("Usage",), ("Tax",), ("Credit",), ("Adjustment",)}
    classes = {"input", "output", "cache_read", "cache_write", "image", "embedding", "other"}
    assert {name for (name,) in billed["token_class"]} == classes
    assert {name for (name,) in billed["provider"]} == {"aws", "gcp", "azure", "anthropic"}


def test_most_claude_spend_on_aws_is_billed_by_the_marketplace(billed: Billed) -> None:
    services = {name: amount for (name,), amount in billed["service"].items()}
    marketplace = sum(
        amount for name, amount in services.items() if name.endswith("(Amazon Bedrock Edition)")
    )
    assert marketplace > services["Amazon Bedrock Service"] * 2


def test_each_grouping_adds_up_to_the_total(billed: Billed, truth: Mapping[str, Any]) -> None:
    for name, groups in billed.items():
        assert sum(groups.values()) == Decimal(truth["total"]), name


def test_the_configuration_is_one_that_costweir_reads(world: World) -> None:
    settings = load(path=world.out / "costweir.toml", environ={})
    assert [plan.id for plan in settings.plans] == ["tier_1", "tier_2", "tier_3"]
    assert len(settings.customers) == 41
    assert {budget.id for budget in settings.budgets} == {budget.id for budget in world.budgets}
    assert tomllib.loads(world.config_toml)["plans"][0]["budget_usd"] == "8"


def test_the_last_pull_restates_a_month(world: World) -> None:
    assert world.pull_paths[-1] == world.out / "restated" / "aws"
    assert all(path.is_dir() for path in world.pull_paths)
