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

from costweir.errors import SourceRejected
from costweir.sources.staging import pieces, sieve
from costweir.sources.staging.opening import open_file
from costweir.sources.staging.pieces import in_pieces, is_large
from costweir.sources.staging.sieve import Sieve

Line = dict[str, str]
Csv = Callable[..., str]
SAMPLES = sorted((Path(__file__).parents[2] / "samples").glob("*/*.csv*"))


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
        for left in self.folder.glob("raw-*"):
            left.unlink()
        opened = open_file(path, "text.csv", work=self.folder, connection=self.connection)
        names = ", ".join(f'"{name}"' for name in opened.header)
        if not is_large(opened):
            return None
        parts = in_pieces(self.connection, opened, names, target=self.folder / "raw.parquet")
        assert len(list(self.folder.glob("raw-*"))) == len(parts or ())
        if parts is None:
            return None
        rows = [
            self.connection.execute(f"FROM read_parquet('{part.path}') ORDER BY ALL").fetchall()
            for part in parts
        ]
        assert [part.before for part in parts] == [sum(map(len, rows[:n])) for n in range(len(rows))]
        assert all([row[0] for row in part] == list(range(len(part))) for part in rows)
        return [[row[1:] for row in part] for part in rows]

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


def told(stager: Any, staged: Any) -> dict[str, Any]:
    """Everything that a bill came to, in an order of its own."""
    fields = (
        "slot", "source", "rows_in", "rows_stored", "rows_skipped", "rows_quarantined", "billed_total", "file_total",
        "currency", "content_hash", "rules_hash", "first_day", "last_day",
    )  # fmt: skip
    return {
        "loads": sorted(str([getattr(slot.load, name) for name in fields]) for slot in staged.slots),
        "kept": sorted(str(row | {"x_run_id": ""}) for row in stager.charges(staged)),
        "aside": sorted(str(row) for row in stager.quarantine(staged)),
    }


@pytest.fixture
def sifted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows were kept of each piece that was sifted."""
    kept: list[int] = []
    sift = Sieve.sift

    def noted(self: Sieve, cursor: duckdb.DuckDBPyConnection, text: str) -> Any:
        found = sift(self, cursor, text)
        kept.extend([len(found.kept)] if found else [])
        return found

    monkeypatch.setattr(Sieve, "sift", noted)
    return kept


def a_bill(nova: Line, server: Line, *, ai: int) -> list[Line]:
    """1,500 lines, one of `ai` about AI, of two accounts and two currencies, and some that cannot be read."""
    dice = random.Random(3)
    lines = [
        (nova if dice.randrange(ai) == 0 else server)
        | {
            "lineItem/UnblendedCost": str(Decimal(dice.randrange(10**12)).scaleb(-12)),
            "lineItem/ResourceId": f"line {number}",
            "lineItem/LineItemDescription": dice.choice(["", 'per "hour", on demand', "x"]),
            "bill/PayerAccountId": dice.choice(["111122223333", "111122223333", "444455556666"]),
            "lineItem/CurrencyCode": "EUR" if dice.randrange(50) == 0 else "USD",
            "lineItem/UsageStartDate": f"2026-10-{dice.randrange(1, 29):02}T00:00:00Z",
        }
        for number in range(1500)
    ]
    lines[7]["lineItem/UnblendedCost"] = "cost 7"
    lines[8]["lineItem/UsageStartDate"] = "soon"
    lines[611]["bill/PayerAccountId"] = ""
    lines[1499]["lineItem/CurrencyCode"] = ""
    return lines


@pytest.mark.parametrize("name", ["bill.csv", "bill.csv.gz"])
@pytest.mark.parametrize(("ai", "sifts"), [(20, True), (2, False), (5000, True)])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_bill_in_pieces_is_the_bill_at_once(
    stager: Any,
    as_csv: Csv,
    tmp_path: Path,
    nova: Line,
    server: Line,
    cut: Callable[[int], None],
    sifted: list[int],
    name: str,
    ai: int,
    sifts: bool,
    end: str,
) -> None:
    text = "\n".join(as_csv(a_bill(nova, server, ai=ai)).splitlines()) + "\n"
    mark = "\ufeff" if name.endswith(".gz") else ""
    path = packed(tmp_path / name, mark + text.replace("\n", end))
    at_once = told(stager, stager(path))
    cut(60_000)
    staged = stager(path)

    assert told(stager, staged) == at_once
    assert len(sifted) > 3 if sifts else not sifted
    aside = {
        row["row_number"]: json.loads(row["raw"])["lineItem/ResourceId"] for row in stager.quarantine(staged)
    }
    assert aside == {8: "line 7", 9: "line 8", 612: "line 611", 1500: "line 1499"}


def test_rows_that_are_not_about_ai_are_kept_where_all_services_are(
    stager: Any,
    as_csv: Csv,
    tmp_path: Path,
    nova: Line,
    server: Line,
    cut: Callable[[int], None],
    sifted: list[int],
) -> None:
    path = packed(tmp_path / "bill.csv", as_csv(a_bill(nova, server, ai=20)))
    cut(60_000)
    staged = stager(path, all_services=True)
    assert sum(slot.load.rows_stored for slot in staged.slots) == 1496
    assert not sifted


def test_a_value_of_several_lines_among_many_rows_changes_nothing(
    stager: Any,
    as_csv: Csv,
    tmp_path: Path,
    nova: Line,
    server: Line,
    cut: Callable[[int], None],
    sifted: list[int],
) -> None:
    lines = a_bill(nova, server, ai=20)
    lines[5]["lineItem/LineItemDescription"] = "one\ntwo"
    path = packed(tmp_path / "bill.csv", as_csv(lines))
    at_once = told(stager, stager(path))
    cut(60_000)
    assert told(stager, stager(path)) == at_once
    assert sifted


def test_copies_are_found_by_the_rows_that_were_only_counted(
    stager: Any,
    as_csv: Csv,
    tmp_path: Path,
    nova: Line,
    server: Line,
    cut: Callable[[int], None],
    sifted: list[int],
) -> None:
    lines = [line for line in a_bill(nova, server, ai=20) if line["lineItem/CurrencyCode"]]
    path = packed(tmp_path / "one.csv", as_csv(lines))
    other = packed(tmp_path / "two.csv", as_csv(lines[3:]))
    cut(60_000)
    with pytest.raises(SourceRejected, match="nearly the same rows"):
        stager(path, other)
    assert sifted
    # The servers of another day are other rows, and both files count.
    elsewhere = [
        line | {"lineItem/UsageStartDate": "2026-10-30T00:00:00Z"}
        if line["lineItem/ProductCode"] == "AmazonEC2"
        else line
        for line in lines
    ]
    packed(other, as_csv(elsewhere))
    staged = stager(path, other)
    assert sum(slot.load.rows_in for slot in staged.slots) == 2 * len(lines)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_format_gives_the_same_in_pieces(
    stager: Any, cut: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, sifted: list[int], sample: Path
) -> None:
    at_once = told(stager, stager(sample))
    cut(4000)
    monkeypatch.setattr(sieve, "FEW_GROUPS", 0)
    monkeypatch.setattr(sieve, "FEW_KEPT", 0)
    assert told(stager, stager(sample)) == at_once
    # The rows of one leave out their last columns, which is found out when it is read at once.
    assert sifted or sample.name == "cur_legacy_test_cur.csv"


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


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["3,4", ""])
def test_the_last_piece_may_be_a_line_without_an_end(
    text: Text, cut: Callable[[int], None], end: str, last: str
) -> None:
    start = f"a,b{end}" + f"1,2{end}" * 999
    cut(len(start))
    found = text.in_pieces((start + last).encode())
    assert found is not None
    assert [len(part) for part in found] == [999, 1 if last else 0]


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
