"""What cannot be read: one clear sentence, a hint, and nothing half loaded."""

from __future__ import annotations

import gzip
import json
import random
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costweir.errors import ConfigError, SourceRejected
from costweir.sources.staging import pieces

Line = dict[str, str]
Csv = Callable[..., str]


@pytest.fixture(autouse=True, params=["at once", "in pieces"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything here holds for small files, which are read at once, and for large ones."""
    if request.param == "in pieces":
        monkeypatch.setattr(pieces, "PIECE_BYTES", 100_000)
        monkeypatch.setattr(pieces, "CUT_FROM", {"none": 0, "gzip": 0})


def refused(stager: Any, *paths: Path, **options: Any) -> SourceRejected:
    """Stages what must not be staged; checks that sentence and hint are there and nothing is left."""
    with pytest.raises(SourceRejected) as caught:
        stager(*paths, **options)
    error = caught.value
    assert error.message.endswith(".")
    assert error.hint
    assert list(stager.into.glob("*/charges/*/*.parquet")) == []
    return error


def many(line: Line, count: int) -> list[Line]:
    """Lines that do not pack to nothing."""
    dice = random.Random(7)
    return [line | {"identity/LineItemId": f"{dice.getrandbits(256):x}"} for _ in range(count)]


class TestWholeFiles:
    def test_a_truncated_gzip(self, stager: Any, as_csv: Csv, tmp_path: Path, nova: Line) -> None:
        path = tmp_path / "bill.csv.gz"
        packed = gzip.compress(as_csv(many(nova, 3000)).encode())
        path.write_bytes(packed[: len(packed) * 2 // 3])
        assert "is cut off" in refused(stager, path).message

    def test_a_gzip_that_ends_inside_its_trailer(
        self, stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
    ) -> None:
        path = tmp_path / "bill.csv.gz"
        path.write_bytes(gzip.compress(as_csv(many(nova, 300)).encode())[:-3])
        assert refused(stager, path)

    def test_a_zip_bomb(self, stager: Any, tmp_path: Path) -> None:
        path = tmp_path / "bomb.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("b.csv", "w") as out:
            for _ in range(100):
                out.write(b"a,b\n" * (1 << 18))
        assert "unpacks to more than 250 times its size" in refused(stager, path).message
        assert sum(item.stat().st_size for item in stager.into.rglob("*") if item.is_file()) == 0

    def test_a_gzip_bomb(self, stager: Any, tmp_path: Path) -> None:
        path = tmp_path / "bomb.csv.gz"
        with gzip.open(path, "wb", compresslevel=9) as out:
            for _ in range(100):
                out.write(b"a,b\n" * (1 << 18))
        assert "unpacks to more than 250 times its size" in refused(stager, path).message

    def test_an_archive_of_two_files(self, stager: Any, tmp_path: Path) -> None:
        path = tmp_path / "two.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.csv", "a,b\n1,2\n")
            archive.writestr("b.csv", "a,b\n1,2\n")
        assert "holds 2 files" in refused(stager, path).message

    def test_a_damaged_archive(self, stager: Any, tmp_path: Path) -> None:
        path = tmp_path / "bill.zip"
        path.write_bytes(b"PK\x03\x04" + bytes(200))
        assert "damaged or encrypted zip" in refused(stager, path).message

    def test_an_empty_file(self, stager: Any, tmp_path: Path) -> None:
        (tmp_path / "bill.csv").touch()
        assert "is empty" in refused(stager, tmp_path / "bill.csv").message

    def test_a_header_without_rows(self, stager: Any, as_csv: Csv, tmp_path: Path, nova: Line) -> None:
        path = tmp_path / "bill.csv"
        path.write_text(as_csv([nova]).splitlines()[0] + "\n")
        assert "has a header and no rows" in refused(stager, path).message

    def test_text_that_is_no_table(self, stager: Any, tmp_path: Path) -> None:
        path = tmp_path / "bill.csv"
        path.write_text("Dear customer\nplease find attached\n")
        assert "is not a bill" in refused(stager, path).message

    def test_a_table_that_is_no_bill(self, stager: Any, tmp_path: Path) -> None:
        path = tmp_path / "bill.csv"
        path.write_text("name,age\nAda,36\n")
        error = refused(stager, path)
        assert "its columns are name, age" in error.message
        assert "FOCUS" in error.hint

    def test_json_that_is_no_list_of_records(self, stager: Any, tmp_path: Path) -> None:
        path = tmp_path / "bill.json"
        path.write_text("[1, 2, 3]")
        assert "is JSON, but" in refused(stager, path).message

    def test_a_truncated_parquet(self, stager: Any, tmp_path: Path) -> None:
        path = tmp_path / "bill.parquet"
        duckdb.sql(f"COPY (SELECT range AS a, range AS b FROM range(1000)) TO '{path}' (FORMAT parquet)")
        path.write_bytes(path.read_bytes()[:-20])
        assert "is a damaged Parquet file" in refused(stager, path).message

    def test_a_parquet_with_wrong_types(self, stager: Any, tmp_path: Path, nova: Line) -> None:
        path = tmp_path / "bill.parquet"
        columns = ", ".join(f'{value!r} AS "{name}"' for name, value in nova.items())
        wrong = columns.replace("'0.09' AS \"lineItem/UnblendedCost\"", '[true] AS "lineItem/UnblendedCost"')
        duckdb.sql(f"COPY (SELECT {wrong}) TO '{path}' (FORMAT parquet)")
        error = refused(stager, path)
        assert (
            "No row of bill.parquet can be read as aws-cur: the cost is missing or unreadable"
            in error.message
        )
        assert "types" in error.hint

    def test_rows_with_another_delimiter_than_the_header(
        self, stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
    ) -> None:
        path = tmp_path / "bill.csv"
        head, *rest = as_csv(many(nova, 3)).splitlines()
        path.write_text("\n".join([head, *(line.replace(",", ";") for line in rest)]))
        error = refused(stager, path)
        assert "bill.csv" in error.message
        assert "delimiter" in error.hint

    @pytest.mark.parametrize("renamed", ["lineItem/UnblendedCost", "lineItem/UsageStartDate"])
    def test_a_missing_or_renamed_column_is_named(
        self, stager: Any, as_csv: Csv, tmp_path: Path, nova: Line, renamed: str
    ) -> None:
        path = tmp_path / "bill.csv"
        line = {("cost" if name == renamed else name): value for name, value in nova.items()}
        path.write_text(as_csv([line]))
        assert f"looks like aws-cur, but the column {renamed} is missing" in refused(stager, path).message


class TestForcedSource:
    def test_says_which_format_it_looks_like(
        self, stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
    ) -> None:
        path = tmp_path / "bill.csv"
        path.write_text(as_csv([nova]))
        error = refused(stager, path, source="focus")
        assert "is not focus" in error.message
        assert "missing; it looks like aws-cur" in error.message
        assert "--source aws-cur" in error.hint

    def test_a_source_that_does_not_exist_is_a_wrong_setting(
        self, stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
    ) -> None:
        path = tmp_path / "bill.csv"
        path.write_text(as_csv([nova]))
        with pytest.raises(ConfigError, match="no source 'aws'") as caught:
            stager(path, source="aws")
        assert "aws-cur2" in caught.value.hint


class TestRows:
    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"lineItem/UsageStartDate": "soon"}, "the date of the charge is missing or unreadable"),
            (
                {"lineItem/UsageStartDate": "1926-10-05T00:00:00Z"},
                "the date of the charge is outside 2015 to 2100",
            ),
            ({"lineItem/UsageStartDate": "2126-10-05"}, "the date of the charge is outside 2015 to 2100"),
            ({"lineItem/UnblendedCost": "12,50 EUR"}, "the cost is missing or unreadable"),
            ({"lineItem/UnblendedCost": ""}, "the cost is missing or unreadable"),
            ({"lineItem/UnblendedCost": "NaN"}, "the cost is missing or unreadable"),
            ({"lineItem/CurrencyCode": ""}, "the currency is missing"),
            ({"bill/PayerAccountId": ""}, "the billing account is missing"),
            ({"bill/BillingPeriodStartDate": "x"}, "the billing month is missing or unreadable"),
        ],
    )
    def test_one_unreadable_row_is_set_aside_and_the_rest_is_kept(
        self, stager: Any, as_csv: Csv, tmp_path: Path, nova: Line, change: Line, reason: str
    ) -> None:
        path = tmp_path / "bill.csv"
        path.write_text(as_csv([nova, nova | change, nova]))

        staged = stager(path)

        (slot,) = staged.slots
        assert (slot.load.rows_in, slot.load.rows_stored, slot.load.rows_quarantined) == (3, 2, 1)
        assert slot.load.billed_total == Decimal("0.18")
        (row,) = stager.quarantine(staged)
        assert (row["file"], row["row_number"], row["reason"]) == ("bill.csv", 2, reason)
        raw = json.loads(row["raw"])
        for name, value in change.items():
            assert (raw[name] or "") == value

    def test_lines_that_are_no_rows_are_set_aside_with_their_text(
        self, stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
    ) -> None:
        path = tmp_path / "bill.csv"
        head, *rest = as_csv(many(nova, 5)).splitlines()
        rest[1] = "only,three,fields"
        rest[3] += ",one,more"
        path.write_text("\n".join([head, *rest]) + "\n")

        staged = stager(path)

        load = staged.slots[0].load
        assert (load.rows_in, load.rows_stored, load.rows_quarantined) == (5, 3, 2)
        few, more = stager.quarantine(staged)
        assert (few["row_number"], few["reason"]) == (2, "the line has too few columns")
        assert json.loads(few["raw"]) == {"line": "only,three,fields"}
        assert (more["row_number"], more["reason"]) == (4, "the line has too many columns")

    def test_malformed_lines_of_a_large_packed_file_are_all_found(
        self, stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
    ) -> None:
        path = tmp_path / "bill.csv.gz"
        head, *rest = as_csv(many(nova, 60_000)).splitlines()
        for number in range(0, 60_000, 1000):
            rest[number] = "broken,line"
        path.write_bytes(gzip.compress("\n".join([head, *rest]).encode(), compresslevel=1))

        staged = stager(path)

        load = staged.slots[0].load
        assert (load.rows_in, load.rows_stored, load.rows_quarantined) == (60_000, 59_940, 60)
        assert {row["row_number"] for row in stager.quarantine(staged)} == set(range(1, 60_001, 1000))

    def test_raw_text_is_cut_at_four_kilobytes(
        self, stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
    ) -> None:
        path = tmp_path / "bill.csv"
        bad = nova | {"lineItem/LineItemDescription": "x" * 20_000, "lineItem/UnblendedCost": "?"}
        path.write_text(as_csv([nova, bad]))
        (row,) = stager.quarantine(stager(path))
        assert len(row["raw"]) == 4096

    def test_an_unreadable_row_of_another_month_does_not_replace_that_month(
        self, stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
    ) -> None:
        path = tmp_path / "bill.csv"
        stray = nova | {"bill/BillingPeriodStartDate": "2026-03-01T00:00:00Z", "lineItem/UnblendedCost": "?"}
        path.write_text(as_csv([nova, stray]))

        (slot,) = stager(path).slots

        assert slot.load.slot.period == "2026-10"
        assert slot.load.rows_quarantined == 1


class TestIncompleteBills:
    def test_a_bill_is_not_loaded_when_one_of_its_parts_is_cut_off(
        self, stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
    ) -> None:
        packed = gzip.compress(as_csv(many(nova, 3000)).encode())
        (tmp_path / "x-1.csv.gz").write_bytes(packed)
        (tmp_path / "y.csv.gz").write_bytes(packed[: len(packed) // 2])
        other = nova | {"bill/PayerAccountId": "999900001111"}
        (tmp_path / "z.csv").write_text(as_csv([other]))

        staged = stager(tmp_path)

        assert [slot.load.slot.account for slot in staged.slots] == ["999900001111"]
        found = {Path(item.file).name: item.message for item in staged.rejected}
        assert set(found) == {"x-1.csv.gz", "y.csv.gz"}
        assert "aws 111122223333 2026-10 was not loaded, because a part of it" in found["x-1.csv.gz"]

    def test_a_part_that_says_nothing_takes_its_numbered_neighbours_along(
        self, stager: Any, as_csv: Csv, tmp_path: Path, nova: Line
    ) -> None:
        (tmp_path / "part-1.csv").write_text(as_csv([nova]))
        (tmp_path / "part-2.csv").touch()
        with pytest.raises(SourceRejected, match="None of the 2 files"):
            stager(tmp_path)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_row_is_stored_skipped_or_set_aside(
    stager: Any, as_csv: Csv, tmp_path: Path, nova: Line, claude: Line, server: Line, data: st.DataObject
) -> None:
    start = datetime(2026, 10, 1, tzinfo=UTC)
    line = st.builds(
        lambda base, cost, hours, account, currency: (
            base
            | {
                "lineItem/UnblendedCost": cost,
                "lineItem/UsageStartDate": (start + timedelta(hours=hours)).isoformat()
                if hours < 800
                else "never",
                "bill/PayerAccountId": account,
                "lineItem/CurrencyCode": currency,
            }
        ),
        st.sampled_from([nova, claude, server]),
        st.one_of(st.decimals(-1000, 1000, places=9).map(str), st.sampled_from(["", "x", "1e-12"])),
        st.integers(0, 900),
        st.sampled_from(["1", "2", ""]),
        st.sampled_from(["USD", "USD", "EUR", ""]),
    )
    rows = [nova, *data.draw(st.lists(line, max_size=30))]
    path = tmp_path / "bill.csv"
    path.write_text(as_csv(rows))

    staged = stager(path)

    loads = [slot.load for slot in staged.slots]
    assert sum(load.rows_in for load in loads) == len(rows)
    for load in loads:
        assert load.rows_in == load.rows_stored + load.rows_skipped + load.rows_quarantined
        assert min(load.rows_stored, load.rows_skipped, load.rows_quarantined) >= 0
    assert len(stager.charges(staged)) == sum(load.rows_stored for load in loads)
    assert len(stager.quarantine(staged)) == sum(load.rows_quarantined for load in loads)
