"""`costweir mappings`, with and without a running server."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.app.live import line
from tests.cli.test_token import costweir, data, shown

TEXT = "frobnicator 9 pulses"
SET = ("mappings", "set", TEXT, "--cloud", "other", "--model", "frobnicator-9", "--evidence", "ticket 7")
__all__ = ["data"]


@pytest.fixture
def home(data: Path) -> Path:
    """A data directory with an odd line of October and a known one of November."""
    odd = {
        "ProviderName": "Quill",
        "ServiceName": "Quill AI",
        "ChargeDescription": TEXT,
        "PricingUnit": "Units",
    }
    bill = data / "bill.jsonl"
    facts = {"ServiceCategory": "AI and Machine Learning"}
    rows = [line(date(2026, 10, 5), "2.50") | odd | facts, line(date(2026, 11, 3), "1.00") | odd | facts]
    bill.write_text("".join(json.dumps(row) + "\n" for row in rows))
    shown(data, "pull", "files", str(bill))
    return data


def models(home: Path) -> dict[str, str]:
    return {row["model"]: row["billed_cost"] for row in shown(home, "ask", "spend", "--by", "model")["rows"]}


def test_a_line_is_mapped_once_for_every_month_and_the_mapping_can_go_again(home: Path) -> None:
    assert models(home) == {"unknown": "3.50"}
    dry = shown(home, *SET, "--dry-run")
    assert (dry["dry_run"], dry["lines"], dry["slots"]) == (True, 2, 2)
    assert {row["period"]: row["after"]["model"] for row in dry["rows"]} == {
        "2026-10": "frobnicator-9", "2026-11": "frobnicator-9",
    }  # fmt: skip
    assert (models(home), shown(home, "mappings", "list")["rows"]) == ({"unknown": "3.50"}, [])

    done = shown(home, *SET)
    assert (done["dry_run"], done["lines"]) == (False, 2)
    assert models(home) == {"frobnicator-9": "3.50"}
    (kept,) = shown(home, "mappings", "list")["rows"]
    assert (kept["id"], kept["model"], kept["evidence"]) == (
        done["mapping"]["id"],
        "frobnicator-9",
        "ticket 7",
    )
    assert shown(home, "mappings", "apply")["lines"] == 0
    again = shown(home, "pull", "files", str(home / "bill.jsonl"))
    assert {row["status"] for row in again["rows"]} == {"loaded"}
    assert models(home) == {"frobnicator-9": "3.50"}

    assert shown(home, "mappings", "remove", kept["id"], "--dry-run")["lines"] == 2
    assert shown(home, "mappings", "remove", kept["id"])["lines"] == 2
    assert models(home) == {"unknown": "3.50"}


def test_people_read_how_many_lines_move_and_that_no_total_does(home: Path) -> None:
    told = costweir(home, *SET)
    assert told.returncode == 0
    assert "2 lines of 2 bills, 1 of them closed mean something else now; no total changes." in told.stderr
    assert "unknown" in told.stdout
    assert "frobnicator-9" in told.stdout


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("mappings", "remove", "map_none"), "not_found"),
        (("mappings", "set", TEXT, "--cloud", "other", "--model", "Frob 9"), "invalid"),
    ],
)
def test_what_cannot_be_done_says_why(home: Path, words: tuple[str, ...], code: str) -> None:
    told = costweir(home, *words, "--json")
    error: dict[str, Any] = json.loads(told.stderr.splitlines()[-1])["error"]
    assert (error["code"], bool(error["hint"])) == (code, True)
