"""Files that do not depend on when, where or by whom they are written."""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path

import duckdb

from costweir.demo.files import csv_text, json_lines_gz, parquet, plain


def test_decimals_are_written_in_full_and_without_an_exponent() -> None:
    assert plain(Decimal("3E-7")) == "0.0000003"
    assert plain(Decimal("1.500")) == "1.5"
    assert plain(Decimal("-0.00")) == "0"
    assert plain(Decimal("1E+3")) == "1000"


def test_a_gzip_file_carries_no_time_and_no_name(tmp_path: Path) -> None:
    csv_text(tmp_path / "one.csv.gz", ["a"], [{"a": Decimal("0.10")}])
    content = (tmp_path / "one.csv.gz").read_bytes()
    assert content[4:8] == b"\0\0\0\0"
    assert content[3] & 0x08 == 0
    assert gzip.decompress(content) == b"a\n0.1\n"


def test_json_lines_have_decimals_as_exact_numbers(tmp_path: Path) -> None:
    json_lines_gz(tmp_path / "rows.jsonl.gz", [{"cost": Decimal("0.000000300"), "name": "é — 1"}])
    text = gzip.decompress((tmp_path / "rows.jsonl.gz").read_bytes()).decode()
    assert text == '{"cost":0.0000003,"name":"é — 1"}\n'


def test_parquet_keeps_nested_values_and_leaves_absent_ones_null(tmp_path: Path) -> None:
    columns = {
        "cost": "DOUBLE",
        "tags": "MAP(VARCHAR, VARCHAR)",
        "labels": 'STRUCT("key" VARCHAR)[]',
        "gone": "VARCHAR",
    }
    row = {"cost": Decimal("0.1"), "tags": {"a": "b"}, "labels": [{"key": "k"}]}
    for name in ("one", "two"):
        parquet(tmp_path / f"{name}.parquet", columns, [row])
    found = (
        duckdb.connect().execute("SELECT * FROM read_parquet(?)", [str(tmp_path / "one.parquet")]).fetchall()
    )
    assert found == [(0.1, {"a": "b"}, [{"key": "k"}], None)]
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
