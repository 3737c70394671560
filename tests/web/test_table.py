"""One table, three readers: page, CSV, Markdown."""

from __future__ import annotations

import csv
import io
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costweir.web.pages.table import (
    Cell,
    Column,
    Table,
    safe,
    sort_rows,
    spark,
    to_csv,
    to_markdown,
    with_bars,
)

COLUMNS = (
    Column("Who", "who", numeric=False, sort="who"),
    Column("Cost", "cost", sort="cost"), Column("Trend", wide=True),
)  # fmt: skip
ROWS = (
    (Cell("Ann", "a-1"), Cell("$2.00", "2.001"), Cell(spark="M0 0")),
    (Cell("Bob | Co", "b-2"), Cell("−$1.50", "-1.5"), Cell()),
    (Cell("Cy", "c-3"), Cell("$10.00", "10"), Cell()),
)
TABLE = Table("Costs", COLUMNS, ROWS, (Cell("Total", "Total"), Cell("$10.50", "10.501"), Cell()))


def test_csv_has_ids_full_precision_and_the_total_and_leaves_pictures_out() -> None:
    rows = list(csv.reader(io.StringIO(to_csv(TABLE))))
    assert rows == [["who", "cost"], ["a-1", "2.001"], ["b-2", "-1.5"], ["c-3", "10"], ["Total", "10.501"]]


def test_markdown_is_what_is_shown() -> None:
    lines = to_markdown(TABLE, title="Costs").splitlines()
    assert lines[2:5] == ["| Who | Cost |", "| --- | ---: |", "| Ann | $2.00 |"]
    assert lines[5] == "| Bob \\| Co | −$1.50 |"


def test_sorting_is_by_the_exact_value_and_not_by_its_text() -> None:
    assert [row[0].text for row in sort_rows(ROWS, COLUMNS, "-cost")] == ["Cy", "Ann", "Bob | Co"]
    assert [row[0].text for row in sort_rows(ROWS, COLUMNS, "nothing")] == ["Ann", "Bob | Co", "Cy"]


@pytest.mark.parametrize(
    ("text", "out"),
    [
        ("=1+1", "'=1+1"), ("+cmd", "'+cmd"), ("@x", "'@x"), ("-2+3", "'-2+3"), ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("-12.5", "-12.5"), ("+3", "+3"), ("plain", "plain"), ("", ""), ("-", "'-"), ("-1e5", "'-1e5"),
    ],
)  # fmt: skip
def test_formulas_are_neutralised_and_numbers_are_not(text: str, out: str) -> None:
    assert safe(text) == out


@given(st.text(max_size=20))
def test_a_cell_comes_back_from_the_csv(text: str) -> None:
    table = Table("x", (Column("Who", "who"),), ((Cell(text, text),),))
    back = list(csv.reader(io.StringIO(to_csv(table), newline="")))[1:]
    assert back == [[safe(text)]] or (text == "" and back == [[]])
    assert not back or not back[0] or back[0][0][:1] not in ("=", "@", "\t", "\r")


def test_bars_fill_the_width_with_the_largest_and_never_turn_negative() -> None:
    rows = [(Cell(), Cell()) for _ in range(3)]
    done = with_bars(rows, 1, [Decimal(4), Decimal(-2), Decimal(1)])
    assert [row[1].bar for row in done] == ["100.0%", "0.0%", "25.0%"]


def test_a_trend_of_equal_days_is_a_flat_line_and_of_one_day_is_none() -> None:
    path, dot = spark([Decimal(3)] * 3)
    assert path == "M1 2 42 2 83 2"
    assert dot == ("83", "2")
    assert spark([Decimal(3)]) == ("", ("", ""))
