"""What an operator states about prices: it wins, and what cannot be understood is refused with a hint."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from costweir.domain.usage import Usage
from costweir.errors import ConfigError
from costweir.prices.book import Book

DAY = date(2026, 11, 20)
BIG = {
    "model": "big", "effective": "2026-01-01", "input": "3.00", "output": "15.00", "cache_read": "0.30",
    "cache_write": "3.75", "request": "0",
}  # fmt: skip


def test_the_example_of_the_configuration_prices_a_call() -> None:
    book = Book.load(overrides=[BIG])
    usage = Usage(input=1000, cache_read=500, cache_write=100, output=200, request=1)
    priced = book.price(usage, model="big", provider="up1", on=DAY)
    assert priced.amount == Decimal("0.006525")
    assert book.price(usage, model="big", provider="up1", on=date(2025, 12, 31)).status == "unpriced"


def test_an_operators_price_wins_over_the_shipped_one() -> None:
    book = Book.load(overrides=[{"model": "gpt-4o", "input": "1.00", "output": "2.00", "provider": "openai"}])
    assert book.price(Usage(input=1_000_000), model="gpt-4o", provider="openai", on=DAY).amount == Decimal(1)
    assert book.price(Usage(input=1_000_000), model="gpt-4o", provider="azure", on=DAY).amount == Decimal(
        "2.5"
    )


def test_later_overlays_win_over_earlier_and_overrides_over_both(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.json"
    first.write_text(
        "prices:\n- {model: a, input: 1.10}\n- {model: b, input: 1.10}\n- {model: c, input: 1.10}\n"
    )
    second.write_text(json.dumps([{"model": "b", "input": "2"}, {"model": "c", "input": "2"}]))
    book = Book.load(overlays=[first, second], overrides=[{"model": "c", "input": "3"}])
    amounts = [book.price(Usage(input=1_000_000), model=name, on=DAY).amount for name in "abc"]
    assert amounts == [Decimal("1.1"), Decimal(2), Decimal(3)]


def test_a_json_number_stays_exact(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text('[{"model": "a", "input": 0.1234567890123456789}]')
    rate = Book.load(overlays=[path]).find("a", on=DAY)
    assert rate is not None
    assert rate.rates["input"] == Decimal("0.1234567890123456789")


def test_bands_tiers_and_aliases_can_be_stated() -> None:
    book = Book.load(
        overrides=[
            {
                "model": "a",
                "input": "1",
                "bands": [{"above": 10, "input": "2"}],
                "match": {"starts_with": "a-"},
            },
            {"model": "a", "tier": "batch", "input": "0.5"},
        ]
    )
    assert book.price(Usage(input=10), model="a-x", on=DAY).amount == Decimal("0.00001")
    assert book.price(Usage(input=11), model="a-x", on=DAY).amount == Decimal("0.000022")
    assert book.price(Usage(input=10), model="a", on=DAY, tier="batch").amount == Decimal("0.000005")


@pytest.mark.parametrize(
    ("entry", "message", "hint"),
    [
        ({"input": "1"}, "names no model", "model"),
        ({"model": "a"}, "no rate", "input"),
        ({"model": "a", "input": 3.0}, "float", "text"),
        ({"model": "a", "input": "free"}, "not an amount", "decimal text"),
        ({"model": "a", "input": "-1"}, "not an amount", "zero or more"),
        ({"model": "a", "input": "NaN"}, "not an amount", "decimal text"),
        ({"model": "a", "imput": "1"}, "unknown field 'imput'", "input"),
        ({"model": "a", "input": "1", "effective": "soon"}, "effective day", "2026-01-01"),
        ({"model": "a", "input": "1", "match": {"like": "x"}}, "match rule", "starts_with"),
        ({"model": "a", "input": "1", "bands": [{"input": "2"}]}, "threshold", "above"),
    ],
)
def test_a_price_that_cannot_be_understood_is_refused(
    entry: dict[str, object], message: str, hint: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Book.load(overrides=[entry])
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "not JSON"), ("a.yaml", "a: [", "not YAML"), ("a.json", "{}", "no list"),
        ("b.json", None, "read"),
    ],
)  # fmt: skip
def test_an_overlay_file_that_cannot_be_read_is_refused(
    tmp_path: Path, name: str, text: str | None, message: str
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        Book.load(overlays=[path])
