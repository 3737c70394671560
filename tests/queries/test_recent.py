"""What calls cost, and how they went, in windows that end now."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import bills
import pytest

from costweir.domain.answer import Answer
from costweir.queries.ask import ask
from costweir.queries.request import Request
from costweir.store.engines.duckdb import DuckDBWarehouse

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def store() -> Iterator[DuckDBWarehouse]:
    opened = DuckDBWarehouse.open(Path(":memory:"))
    opened.migrate()
    yield opened
    opened.close()


def call(number: int, ago: timedelta, **given: Any) -> dict[str, Any]:
    return bills.call(number, started_at=(NOW - ago).replace(tzinfo=None), **given)


def asked(store: DuckDBWarehouse, question: str, *by: str, **given: Any) -> Answer:
    return ask(store, Request(question, by, **given), now=NOW)


def test_every_window_holds_what_ended_in_it(store: DuckDBWarehouse) -> None:
    ages = [
        timedelta(minutes=4), timedelta(minutes=20), timedelta(minutes=50), timedelta(hours=5), timedelta(hours=20),
        timedelta(days=2), timedelta(days=9),
    ]  # fmt: skip
    store.append([call(number, ago, settled_usd=Decimal(1)) for number, ago in enumerate(ages)])

    [row] = asked(store, "recent").rows

    windows = [row[f"cost_{name}"] for name in ("5m", "30m", "1h", "6h", "1d", "3d")]
    assert windows == ["1.00", "2.00", "3.00", "4.00", "5.00", "6.00"]
    assert (row["metered_cost"], row["calls_5m"], row["calls_1h"], row["calls"]) == ("7.00", 1, 3, 7)


def test_a_long_call_counts_when_it_ended(store: DuckDBWarehouse) -> None:
    ended = (NOW - timedelta(minutes=1)).replace(tzinfo=None)
    store.append([call(1, timedelta(minutes=40), ended_at=ended)])
    [row] = asked(store, "recent").rows
    assert row["cost_5m"] == "0.25"


def test_windows_end_with_the_days_that_are_asked_for(store: DuckDBWarehouse) -> None:
    store.append([call(1, timedelta(hours=12, minutes=30)), call(2, timedelta(minutes=1))])
    [row] = asked(store, "recent", until=date(2026, 11, 20)).rows
    assert (row["metered_cost"], row["cost_1h"], row["cost_5m"]) == ("0.25", "0.25", "0.00")
    [whole] = ask(store, Request("recent"), today=date(2026, 11, 19)).rows
    assert whole["cost_1h"] == "0.50"


def test_failures_are_told_apart_by_whose_they_are(store: DuckDBWarehouse) -> None:
    kinds = [None, "upstream_503", "connect", "upstream_429", "upstream_400", "closed"]
    store.append(
        [
            call(number, timedelta(minutes=1), outcome="error" if kind else "ok", error_type=kind, duration_ms=12_000)
            for number, kind in enumerate(kinds)
        ]
        + [call(9, timedelta(minutes=10), outcome="error", error_type="upstream_500", duration_ms=1)]
    )  # fmt: skip

    [row] = asked(store, "traffic").rows

    assert (row["calls"], row["calls_5m"], row["failed_5m"], row["provider_failed_5m"]) == (7, 6, 4, 3)
    assert row["provider_failed_share"] == "0.5"
    assert (row["slower_than_10s_5m"], row["slower_than_30s_5m"]) == (6, 0)
    assert (row["tokens_5m"], row["tokens_15m"]) == ("720", "840")


def test_a_share_of_nothing_is_nothing(store: DuckDBWarehouse) -> None:
    store.append([call(1, timedelta(hours=2))])
    [row] = asked(store, "traffic").rows
    assert (row["calls_5m"], row["failed_share"], row["slower_than_10s_share"]) == (0, None, None)
