"""A large CSV is read in pieces: the same rows with the same numbers as when it is read at once, or not in pieces."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costweir.sources.staging import pieces
from costweir.sources.staging.opening import open_file
from costweir.sources.staging.pieces import in_pieces

Line = dict[str, str]
Csv = Callable[..., str]


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database that keeps the order of rows nowhere but where it is asked to."""
    with duckdb.connect() as opened:
        opened.execute("SET preserve_insertion_order = false")
        yield opened


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes even a small file large enough to be cut into pieces of so many bytes."""

    def set_size(size: int) -> None:
        monkeypatch.setattr(pieces, "PIECE_BYTES", size)
        monkeypatch.setattr(pieces, "CUT_FROM", {"none": 0, "gzip": 0})

    return set_size


class Text:
    """Reads a text both ways."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self.connection = connection
        self.folder = folder

    def in_pieces(self, text: bytes) -> list[list[Any]] | None:
        """The rows of each part, or None."""
        path = self.folder / "text.csv"
        path.write_bytes(text)
        opened = open_file(path, "text.csv", work=self.folder, connection=self.connection)
        names = ", ".join(f'"{name}"' for name in opened.header)
        parts = in_pieces(self.connection, opened, names, target=self.folder / "raw.parquet")
        assert list(self.folder.glob("raw-*.csv")) == []
        if parts is None:
            return None
        rows = [self.connection.execute(f"FROM read_parquet('{part.path}')").fetchall() for part in parts]
        assert [part.before for part in parts] == [sum(map(len, rows[:n])) for n in range(len(rows))]
        return rows

    def whole(self, text: bytes) -> list[Any]:
        """All rows by DuckDB alone, in their order."""
        path = self.folder / "text.csv"
        path.write_bytes(text)
        opened = open_file(path, "text.csv", work=self.folder, connection=self.connection)
        self.connection.execute("SET preserve_insertion_order = true")
        return self.connection.execute(f"FROM {opened.relation})").fetchall()


@pytest.fixture
def text(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> Text:
    return Text(connection, tmp_path)


def packed(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode(), compresslevel=1) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["bill.csv", "bill.csv.gz"])
def test_a_bill_in_pieces_is_the_bill_at_once(
    stager: Any, as_csv: Csv, tmp_path: Path, nova: Line, server: Line, cut: Callable[[int], None], name: str
) -> None:
    dice = random.Random(3)
    lines = [
        dice.choice([nova, server])
        | {
            "lineItem/UnblendedCost": str(Decimal(dice.randrange(10**12)).scaleb(-12)),
            "identity/LineItemId": str(n),
        }
        for n in range(900)
    ]
    bad = [7, 8, 250, 611, 899]
    for number in bad:
        lines[number] |= {"lineItem/UnblendedCost": f"cost {number}"}
    path = packed(tmp_path / name, as_csv(lines))
    at_once = stager(path)
    cut(32_000)
    staged = stager(path)

    (one,), (two,) = at_once.slots, staged.slots
    for field in ("rows_in", "rows_stored", "rows_skipped", "rows_quarantined", "billed_total", "file_total"):
        assert getattr(two.load, field) == getattr(one.load, field), field
    kept = [
        sorted((row["x_billed_usd"], row["x_model"], row["x_customer"]) for row in stager.charges(each))
        for each in (at_once, staged)
    ]
    assert kept[0] == kept[1]
    assert stager.quarantine(staged) == stager.quarantine(at_once)
    aside = {row["row_number"]: json.loads(row["raw"]) for row in stager.quarantine(staged)}
    assert {number - 1: raw["lineItem/UnblendedCost"] for number, raw in aside.items()} == {
        number: f"cost {number}" for number in bad
    }


def test_rows_keep_their_order_over_all_pieces(text: Text, cut: Callable[[int], None]) -> None:
    cut(1000)
    lines = [f"{number},x" for number in range(5000)]
    found = text.in_pieces("\n".join(["a,b", *lines]).encode())
    assert found is not None
    assert len(found) > 20
    assert [row for part in found for row in part] == [(str(number), "x") for number in range(5000)]


def test_values_in_quotation_marks_do_not_keep_a_file_whole(text: Text, cut: Callable[[int], None]) -> None:
    cut(1000)
    found = text.in_pieces(b"a,b\r\n" + b'"1, 2 ""3""",4\r\n' * 400)
    assert found is not None
    assert len(found) > 5
    assert [row for part in found for row in part] == [('1, 2 "3"', "4")] * 400


def test_values_of_several_lines_stay_whole(text: Text, cut: Callable[[int], None]) -> None:
    whole = ("a,b\n" + "".join(f'{number},"one\ntwo ""three""\n"\n' for number in range(400))).encode()
    cut(1000)
    found = text.in_pieces(whole)
    assert found is None or [row for part in found for row in part] == text.whole(whole)


@pytest.mark.parametrize(
    ("end", "why"),
    [
        ("1,2,3\n", "a line of too many columns"),
        ("1\n", "a line of too few columns"),
        ('1,"2\n', "a quotation mark that is never closed"),
        ("1,2\r\n", "a line that ends otherwise"),
        ("\ufeff1,2\n", "a byte order mark where a piece begins"),
    ],
)
def test_a_piece_that_is_not_like_the_others_has_the_file_read_at_once(
    text: Text, cut: Callable[[int], None], end: str, why: str
) -> None:
    start = "a,b\n" + "1,2\n" * 999
    cut(len(start))
    assert text.in_pieces((start + "1,2\n").encode()) is not None
    assert text.in_pieces((start + end).encode()) is None, why


def test_a_gzip_that_is_cut_off_or_goes_on_is_read_at_once(text: Text, cut: Callable[[int], None]) -> None:
    cut(400_000)
    whole = gzip.compress(("a,b\n" + "1,2\n" * 500_000).encode())
    assert sum(map(len, text.in_pieces(whole) or [])) == 500_000
    assert sum(map(len, text.in_pieces(whole + gzip.compress(b"3,4\n")) or [])) == 500_001
    for damaged in (whole[:-1], whole[:-9], whole + b"more", whole[:-8] + bytes(8)):
        assert text.in_pieces(damaged) is None


def test_what_is_small_or_packed_otherwise_is_read_at_once(text: Text) -> None:
    assert text.in_pieces(b"a,b\n1,2\n") is None


#: What CSV is made of, and little else.
_SIGNS = st.sampled_from(['"', ",", "\n", "\r\n", "\r", "1", "x", " ", "\ufeff", '""', '"1"', "1,2\n"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    signs=st.lists(_SIGNS, max_size=60).map("".join),
    size=st.integers(1, 40),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_no_text_is_read_otherwise_in_pieces(
    text: Text, cut: Callable[[int], None], signs: str, size: int, end: str
) -> None:
    whole = f"a,b{end}{signs}".encode()
    cut(size)
    found = text.in_pieces(whole)
    if found is not None:
        assert [row for part in found for row in part] == text.whole(whole)
