"""The rows behind `costweir prices`: texts only, and nothing is summed or dropped."""

from __future__ import annotations

import json
from datetime import date

from costweir.prices.book import Book
from costweir.prices.listing import diff_rows, prices_rows, show_rows

BOOK = Book.load()
DAY = date(2026, 11, 20)


def test_list_rows_are_json_and_hold_decimal_text() -> None:
    rows = prices_rows(BOOK, on=DAY, provider="openai", match="gpt-4o-mini")
    mini = next(row for row in rows if row["model"] == "gpt-4o-mini" and row["tier"] == "standard")
    assert (mini["input_usd"], mini["cache_read_usd"], mini["cache_write_usd"]) == ("0.15", "0.075", None)
    assert mini["effective"] is None
    assert json.loads(json.dumps(rows)) == rows


def test_show_rows_hold_every_band_and_tier() -> None:
    rows = show_rows(BOOK, "gpt-5.4", provider="openai")
    found = {(row["tier"], row["above_tokens"]): row["rate_usd"] for row in rows if row["bucket"] == "input"}
    assert found[("standard", 0)] == "2.50"
    assert found[("standard", 272000)] == "5.00"
    assert found[("batch", 272000)] == "2.50"


def test_diff_rows_name_the_bucket_and_both_sides() -> None:
    rows = diff_rows(BOOK, since=date(2025, 6, 9), until=date(2025, 6, 10))
    o3 = [row for row in rows if row["provider"] == "openai" and row["model"] == "o3"]
    assert {(row["bucket"], row["before_usd"], row["after_usd"]) for row in o3} == {
        ("input", "10.00", "2.00"),
        ("output", "40.00", "8.00"),
    }
