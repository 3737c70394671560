"""Small files with one header are read by one query, and nothing about any of them changes by that."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from costweir.sources.staging import reading

Line = dict[str, str]
Csv = Callable[..., str]


def of_month(line: Line, month: int, cost: str = "1") -> Line:
    start = f"2026-{month:02}-01T00:00:00Z"
    return line | {
        "bill/BillingPeriodStartDate": start,
        "lineItem/UsageStartDate": start,
        "lineItem/UnblendedCost": cost,
    }


@pytest.fixture
def bills(tmp_path: Path, as_csv: Csv, nova: Line, server: Line) -> Path:
    """Six months, each in a file of its own with one unreadable row and one line too short."""
    folder = tmp_path / "bills"
    folder.mkdir()
    for month in range(1, 7):
        lines = [of_month(nova, month, f"{month}.5"), of_month(server, month), of_month(nova, month, "much")]
        (folder / f"{month}.csv").write_text(as_csv(lines) + "short,line\n")
    return folder


def content(stager: Any, bills: Path) -> tuple[list[Any], list[Any], list[Any]]:
    staged = stager(bills)
    counts = [
        (slot.load.slot, slot.load.rows_in, slot.load.rows_stored, slot.load.rows_quarantined, slot.files)
        for slot in staged.slots
    ]
    charges = [(row["x_file"], row["x_period"], row["billed_cost"]) for row in stager.charges(staged)]
    aside = [(row["file"], row["row_number"], row["reason"], row["raw"]) for row in stager.quarantine(staged)]
    return sorted(counts, key=str), sorted(charges), sorted(aside)


def test_read_together_or_one_by_one_gives_the_same(
    stager: Any, bills: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = content(stager, bills)
    monkeypatch.setattr(reading, "BATCH_BYTES", 0)
    assert content(stager, bills) == together
    assert together[1] == [(f"{n}.csv", f"2026-{n:02}", Decimal(f"{n}.5")) for n in range(1, 7)]
    assert [row[:3] for row in together[2]][:2] == [
        ("1.csv", 3, "the cost is missing or unreadable"),
        ("1.csv", 4, "the line has too few columns"),
    ]


def test_six_files_with_one_header_take_one_query(stager: Any, bills: Path) -> None:
    staged = stager(bills)
    assert len({path.name for slot in staged.slots for path in slot.charges.iterdir()}) == 1


def test_a_damaged_file_takes_no_other_with_it(stager: Any, bills: Path, tmp_path: Path) -> None:
    folder = tmp_path / "parquet"
    folder.mkdir()
    for month in range(1, 5):
        target = folder / f"bill{'abcd'[month - 1]}.parquet"
        rows = f"read_csv('{bills}/{month}.csv', all_varchar = true, ignore_errors = true)"
        duckdb.sql(f"SELECT * FROM {rows}").write_parquet(str(target))
    broken = folder / "billb.parquet"
    data = bytearray(broken.read_bytes())
    data[4:400] = b"\xff" * 396
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "billb.parquet").write_bytes(data)
    broken.unlink()

    staged = stager(folder, tmp_path / "other")

    assert sorted(slot.load.slot.period for slot in staged.slots) == ["2026-01", "2026-03", "2026-04"]
    assert [Path(item.file).name for item in staged.rejected] == ["billb.parquet"]


def test_a_file_without_a_readable_row_is_left_out_alone(
    stager: Any, bills: Path, as_csv: Csv, nova: Line, tmp_path: Path
) -> None:
    (tmp_path / "none.csv").write_text(as_csv([of_month(nova, 9, "much")]))
    staged = stager(bills, tmp_path / "none.csv")
    assert len(staged.slots) == 6
    assert [Path(item.file).name for item in staged.rejected] == ["none.csv"]
    assert all(row["file"] != "none.csv" for row in stager.quarantine(staged))
