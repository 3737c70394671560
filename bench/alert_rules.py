"""How long the alert rules take over many budgets, of which one in fifty burns: the pure evaluation of the rules of
budgets, a whole look at a store with calls, and what a look costs when nothing is due but what the guard told. Every
figure is milliseconds of CPU over all threads, which other work on the machine does not change.

    uv run python bench/alert_rules.py [--budgets 1000] [--calls 200000] [--repeat 5]
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from costweir import config
from costweir.alerts import rulebook, watch
from costweir.alerts.rules import matters
from costweir.alerts.rules_lasting import lasting
from costweir.alerts.rules_tables import limits, outlooks, paces
from costweir.control import Budget, Control
from costweir.guard.ledger import Terms
from costweir.guard.policy import Policy
from costweir.store.engines.duckdb import DuckDBWarehouse

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
GOAL_MS = 200
BATCH = 20_000


def call(number: int, customer: str, at: datetime) -> dict[str, object]:
    """One call."""
    return {
        "call_id": f"c{number}", "started_at": at.replace(tzinfo=None), "provider": "openai", "model": "gpt-4o",
        "customer": customer, "project": "p", "feature": "f", "session_id": f"s{number % 5000}", "key_id": "k",
        "outcome": "ok", "usage_certainty": "reported", "settled_usd": Decimal("0.002"), "duration_ms": 800,
        "uncached_input_tokens": 400, "text_output_tokens": 200, "usage_date": at.date(), "usage_hour": at.hour,
        "iso_dow": at.isoweekday(), "usage_month": f"{at:%Y-%m}",
    }  # fmt: skip


def median_ms(work: Callable[[int], object], repeat: int) -> tuple[float, float]:
    """The median and the worst of some runs."""
    took: list[float] = []
    for number in range(repeat):
        began = time.process_time()
        work(number)
        took.append((time.process_time() - began) * 1000)
    return round(statistics.median(took), 1), round(max(took), 1)


def pure(budgets: int, repeat: int) -> tuple[float, float]:
    """Pace, outlook and all their rules over rows that are there already."""
    rows = [
        {"id": f"b{number}", "scope": {"customer": f"cust_{number}"}, "limit_usd": "50", "window": "month"}
        for number in range(budgets)
    ]
    found = limits(Policy.compile(Terms(budgets=rows), 0).rules, NOW)
    pick = random.Random(7)
    recent = {
        row.id: {
            f"cost_{name}": str(Decimal(pick.randrange(100)) / (1 if number % 50 == 0 else 10_000))
            for name in ("5m", "30m", "1h", "6h", "3d")
        }
        for number, row in enumerate(found)
    }  # fmt: skip
    today = NOW.date()
    daily = {
        row.id: {today - timedelta(days=day): Decimal(pick.randrange(300)) / 100 for day in range(1, 31)}
        for row in found
    }
    rules = [rule for rule in rulebook.shipped() if rule.watch and rule.watch.table in ("pace", "outlook")]

    def look(_: int) -> None:
        for rule in rules:
            watched = rule.watch
            assert watched is not None
            if watched.table == "pace":
                table = paces(found, recent, long=watched.long, short=watched.short)
            else:
                table = outlooks(found, daily, until={}, today=today)
            lasting(rule, matters(rule, table, today=today), None, NOW)

    return median_ms(look, repeat)


def whole(budgets: int, calls: int, repeat: int) -> dict[str, tuple[float, float]]:
    """A look at everything, the first one in full and later ones a minute apart, and one that a word of the guard
    brings about."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = config.load(environ={"COSTWEIR_DATA_DIR": name})
        store = DuckDBWarehouse.open(folder / "facts.duckdb")
        store.migrate()
        pick = random.Random(7)
        for start in range(0, calls, BATCH):
            store.append([
                call(number, f"cust_{number % budgets}", NOW - timedelta(seconds=pick.randrange(4 * 86_400)))
                for number in range(start, min(start + BATCH, calls))
            ])  # fmt: skip
        with Control.open(folder / "control.db") as control:
            for number in range(budgets):
                scope = {"customer": f"cust_{number}"}
                control.add(Budget(f"b{number}", {"scope": scope, "limit_usd": "50", "window": "month"}))

            def look(seconds: float) -> None:
                watch(control, store, [], settings=settings, now=NOW + timedelta(seconds=seconds))

            first = median_ms(lambda _: look(0), 1)
            minutes = median_ms(lambda number: look(60 * (number + 1)), repeat)
            words = median_ms(lambda number: look(60 * repeat + 1 + number / 10), repeat)
        store.close()
    return {"first_look_ms": first, "look_a_minute_later_ms": minutes, "look_at_the_guard_alone_ms": words}


def main() -> None:
    """Prints one JSON object; each figure is a median and the worst."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budgets", type=int, default=1000)
    parser.add_argument("--calls", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    rules = pure(given.budgets, given.repeat)
    told = {
        "budgets": given.budgets, "calls": given.calls, "rules_ms": rules, "goal_ms": GOAL_MS,
        "goal_met": rules[0] <= GOAL_MS, **whole(given.budgets, given.calls, given.repeat),
    }  # fmt: skip
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
