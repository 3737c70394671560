"""JSON bills: every digit of a number counts, and a line that is no record keeps its text."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

SAMPLE = Path(__file__).parents[2] / "samples" / "gcp" / "standard_2026-10.jsonl"
LINE = SAMPLE.read_text().splitlines()[0]


def priced(
    cost: str, quantity: str = "1", description: str = "Gemini 2.5 Flash GA Text Input - Predictions"
) -> str:
    """A line of the sample with these numbers, spelt as they are, and without list price and credits."""
    data = json.loads(LINE) | {"cost": "COST", "credits": [], "usage_start_time": "2026-10-01T07:00:00Z"}
    data |= {"usage": data["usage"] | {"amount": "AMOUNT"}, "cost_type": "regular"}
    del data["cost_at_list"]
    data["sku"]["description"] = description
    return json.dumps(data).replace('"COST"', cost).replace('"AMOUNT"', quantity)


@pytest.mark.parametrize("shape", ["lines", "array"])
@pytest.mark.parametrize(
    "cost",
    [
        "0.123456789012345678", "-0.100000000000000001", "12345678901234567.89", "1.1", "2", "0", "1e-12", "1.5E+2",
        "0.000000000000000001", "1234567890123456.789e-3",
    ],
)  # fmt: skip
def test_a_cost_keeps_all_its_digits(stager: Any, tmp_path: Path, cost: str, shape: str) -> None:
    path = tmp_path / "bill.json"
    lines = [priced(cost, "12345678901234567.123456789"), priced("0.25")]
    path.write_text("\n".join(lines) + "\n" if shape == "lines" else f"[{','.join(lines)}]")
    staged = stager(path)
    assert staged.slots[0].load.billed_total == Decimal(cost) + Decimal("0.25")
    found = {row["billed_cost"]: row["consumed_quantity"] for row in stager.charges(staged)}
    assert found[Decimal(cost)] == Decimal("12345678901234567.123456789")


def test_the_amounts_of_credits_keep_all_their_digits(stager: Any, tmp_path: Path) -> None:
    path = tmp_path / "bill.json"
    credit = '"credits": [{"name": "c", "amount":-0.100000000000000001}, {"name": "d", "amount" : -0.2}]'
    path.write_text("\n".join([priced("1").replace('"credits": []', credit), priced("2")]))
    assert stager(path).slots[0].load.billed_total == Decimal("2.699999999999999999")


def test_numbers_inside_a_text_stay_as_they_are(stager: Any, tmp_path: Path) -> None:
    path = tmp_path / "bill.json"
    text = 'Gemini 2.5 Flash "x":12345678901234567890, "y": 0.12345678901234567890 {"z":1234567890123456789}'
    path.write_text("\n".join([priced("1", description=text), priced("2", description=text + "\\")]))
    found = {row["charge_description"] for row in stager.charges(stager(path, all_services=True))}
    assert found == {text, text + "\\"}


def test_a_line_that_is_no_record_is_set_aside_with_its_text(stager: Any, tmp_path: Path) -> None:
    path = tmp_path / "bill.jsonl"
    cut = priced("7")[:300]
    path.write_text(
        "\n".join([priced("1"), cut, "", "[1, 2]", "no json", priced("2"), priced('"much"')]) + "\n"
    )
    staged = stager(path)
    (slot,) = staged.slots
    assert (slot.load.rows_in, slot.load.rows_stored, slot.load.rows_quarantined) == (6, 2, 4)
    assert slot.load.billed_total == Decimal(3)
    aside = stager.quarantine(staged)
    assert [(row["row_number"], row["reason"]) for row in aside] == [
        (2, "the line is no JSON record"),
        (3, "the line is no JSON record"),
        (4, "the line is no JSON record"),
        (6, "the cost is missing or unreadable"),
    ]
    assert [json.loads(row["raw"])["line"] for row in aside] == [cut, "[1, 2]", "no json", None]


def test_a_line_longer_than_the_limit_is_set_aside(stager: Any, tmp_path: Path) -> None:
    path = tmp_path / "bill.jsonl"
    path.write_text("\n".join([priced("1"), priced("2", description="x" * 3_000_000), priced("4")]) + "\n")
    staged = stager(path)
    assert staged.slots[0].load.billed_total == Decimal(5)
    assert [row["reason"] for row in stager.quarantine(staged)] == ["the line is too long"]
