"""The figures of real stores: every group can be read, and each amount is what `costweir ask` says."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from costweir import config
from costweir.app.desk import LocalDesk
from costweir.app.exposing import store_figures
from costweir.queries.request import Request
from costweir.telemetry import figures
from costweir.telemetry.metrics import Reading, families

sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))

from bills import store, world

SOURCE = '[[sources]]\nid = "claude"\nkind = "anthropic"\napi_key_env = "NOBODY"\n'


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDesk]:
    folder = tmp_path_factory.mktemp("figures")
    (folder / "costweir.toml").write_text(SOURCE)
    overrides = {"data_dir": str(folder / "data")}
    settings = config.load(path=folder / "costweir.toml", environ={}, overrides=overrides)
    with LocalDesk(settings) as opened:
        store(opened.warehouse, folder, world(size=300))
        opened.settings = settings  # type: ignore[attr-defined]
        yield opened


def last_day(desk: LocalDesk) -> date:
    rows = desk.ask(Request("spend", by=("day",), basis="billed")).rows
    return date.fromisoformat(max(str(row["day"]) for row in rows))


def values(reading: Reading, name: str) -> dict[tuple[str, ...], Decimal]:
    return {point.labels: Decimal(point.value) for point in reading.points.get(name, [])}


def test_every_group_can_be_read_and_has_the_labels_of_the_data_file(desk: LocalDesk) -> None:
    held = store_figures(desk, desk.settings)  # type: ignore[attr-defined]
    while due := held.due():
        for figure in due:
            held.refresh(figure)
    found = held.reading()
    failures = values(found, "costweir_figures_failures_total")
    # No gateway ever ran here, so there is no ledger to be read.
    assert {labels for labels, count in failures.items() if count} <= {("budgets",)}
    for name, points in found.points.items():
        assert {len(point.labels) for point in points} <= {len(families()[name].labels)}, name
    assert values(found, "costweir_run_failures") == {("claude",): 0}
    assert values(found, "costweir_incidents_open") == {("critical",): 0, ("warning",): 0, ("info",): 0}


def test_amounts_are_those_of_the_catalogue(desk: LocalDesk) -> None:
    today = last_day(desk)
    answer = desk.ask(Request("spend", by=("provider",), since=today.replace(day=1), basis="billed"))
    wanted = {(str(row["provider"]), "month"): Decimal(str(row["billed_cost"])) for row in answer.rows}
    assert wanted
    assert values(figures.billed(desk.ask, today), "costweir_billed_usd") == wanted


def test_the_last_whole_day_is_what_the_catalogue_says_of_that_day(desk: LocalDesk) -> None:
    today = last_day(desk) + timedelta(days=1)
    found = values(figures.billed_day(desk.ask, today), "costweir_billed_usd")
    assert found
    for (provider, _), cost in found.items():
        rows = desk.ask(
            Request(
                "spend",
                by=("day",),
                where={"provider": (provider,)},
                since=today - timedelta(days=10),
                basis="billed",
            )
        ).rows
        assert cost in {Decimal(str(row["billed_cost"])) for row in rows}


def test_freshness_and_shares_are_those_of_data_health(desk: LocalDesk) -> None:
    answer = desk.ask(Request("data_health", by=("source",)))
    found = figures.health(desk.ask)
    assert values(found, "costweir_source_quarantined_rows") == {
        (str(row["source"]),): Decimal(str(row["rows_quarantined"])) for row in answer.rows
    }
    assert {labels[0] for labels in values(found, "costweir_source_complete_to_timestamp_seconds")} == set(
        answer.complete_to
    )
    shares = figures.shares(desk.ask, last_day(desk))
    assert all(-1 <= share <= 2 for share in values(shares, "costweir_untagged_ratio").values())
    assert values(figures.capture(desk.ask, last_day(desk)), "costweir_spend_capture_ratio")
