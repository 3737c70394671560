"""The sample world: thirteen months of a fictional firm's AI bills, written as the providers' own files.

Economy: 40 customers pay about 4,300 US dollars a month on three plans; AI costs about 1,600 in the last full
month. Team and Business cost about a sixth of their price. Starter loses money, because four of its customers
run long documents at a flat price. Nothing here reads `truth.json`, which is written for tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from costweir.demo.aws import write_aws
from costweir.demo.azure import write_azure
from costweir.demo.cast import Budget, Customer, Plan, budgets, customers, plans
from costweir.demo.files import write_bytes, write_json
from costweir.demo.focus import write_focus
from costweir.demo.gcp import write_gcp
from costweir.demo.oracle import Oracle
from costweir.demo.story import Stage, Use, play
from costweir.errors import UsageError


@dataclass(frozen=True, slots=True)
class World:
    """What was written. Each of `pull_paths` is one pull, in this order; the last one restates a month."""

    out: Path
    seed: int
    today: date
    pull_paths: tuple[Path, ...]
    customers: tuple[Customer, ...]
    plans: tuple[Plan, ...]
    budgets: tuple[Budget, ...]
    config_toml: str


def write_world(out: Path, *, seed: int = 7, today: date | None = None, scale: float = 1.0) -> World:
    """Writes the bills, `costweir.toml` and `truth.json` below `out`.

    The bytes depend on nothing but `seed`, `today` (UTC, the default is the present day) and `scale`, which
    multiplies the number of usage lines and with it the spend; the story's figures are those of scale 1. Raises
    UsageError for a scale that is not between 0 and 1000.
    """
    if not 0 < scale < 1000:
        raise UsageError(
            f"A world of scale {scale} cannot be written.", hint="Give a scale above 0 and below 1000."
        )
    stage = Stage(today or datetime.now(UTC).date())
    uses: dict[str, dict[int, list[Use]]] = {"aws": {}, "gcp": {}, "azure": {}, "anthropic": {}}
    for use in play(stage, seed=seed, scale=Decimal(str(scale))):
        uses[use.stream.provider].setdefault(use.month, []).append(use)
    oracle = Oracle()
    aws, restated = write_aws(out, stage, uses["aws"], oracle)
    gcp = write_gcp(out, stage, uses["gcp"], oracle)
    azure = write_azure(out, stage, uses["azure"], oracle)
    focus = write_focus(out, stage, uses["anthropic"], oracle)
    world = World(
        out=out,
        seed=seed,
        today=stage.today,
        pull_paths=(aws, gcp, azure, focus, restated),
        customers=customers(stage.today),
        plans=plans(),
        budgets=budgets(),
        config_toml=_config(stage.today),
    )
    write_bytes(out / "costweir.toml", world.config_toml.encode())
    truth = {"seed": seed, "today": stage.today.isoformat(), "months": [str(month) for month in stage.months]}
    write_json(out / "truth.json", truth | oracle.to_json({item.id: item.plan for item in world.customers}))
    return world


def _config(today: date) -> str:
    plan_rows = [
        f'{{ id = "{plan.id}", name = "{plan.name}", price_usd = "{plan.price_usd}",'
        f' budget_usd = "{plan.budget_usd}", session_usd = "{plan.session_usd}",'
        f" session_calls = {plan.session_calls}, tokens_per_minute = {plan.tokens_per_minute} }}"
        for plan in plans()
    ]
    customer_rows = [
        f'{{ id = "{customer.id}", name = "{customer.name}",'
        + (f' plan = "{customer.plan}",' if customer.plan else "")
        + f" since = {customer.since.isoformat()} }}"
        for customer in customers(today)
    ]
    budget_rows = [
        f'{{ id = "{budget.id}", scope = {_inline(budget.scope)}, limit_usd = "{budget.limit_usd}",'
        f' window = "{budget.window}", mode = "{budget.mode}" }}'
        for budget in budgets()
    ]
    lists = {"plans": plan_rows, "customers": customer_rows, "budgets": budget_rows}
    text = "# The plans, customers and budgets of the sample firm.\n"
    for name, rows in lists.items():
        text += f"{name} = [\n" + "".join(f"  {row},\n" for row in rows) + "]\n"
    return text


def _inline(scope: Mapping[str, str]) -> str:
    return "{ " + ", ".join(f'{key} = "{value}"' for key, value in scope.items()) + " }" if scope else "{}"
