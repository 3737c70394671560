"""What is printed: exact JSON, harmless CSV, tables that are never cut off in a pipe."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costweir.cli import output
from costweir.cli.frame import Command, run
from costweir.cli.output import columns, csv_cell, is_number, show_rows

ROWS = [
    {"name": "acme", "cost": "3842.17", "note": None},
    {"name": "=HYPERLINK(1)", "cost": "-0.0000021", "note": "x" * 300},
    {"name": "zeta", "cost": Decimal(10), "note": True, "day": date(2026, 11, 1)},
]
SHOWN = columns("name", ("cost", "cost (USD)"), "note")


@pytest.fixture
def printed(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def show(*words: str, rows: list[dict[str, object]] | None = None) -> str:
        command = Command(
            "x", callback=lambda: show_rows("x", ROWS if rows is None else rows, SHOWN, empty="None.")
        )
        assert run(command, words) == 0
        return capfd.readouterr().out

    return show


def test_json_is_one_object_with_the_schema_and_every_field(printed: Callable[..., str]) -> None:
    shown = json.loads(printed("--json"))

    assert shown["schema"] == "costweir.x/1"
    assert shown["rows"][2] == {"name": "zeta", "cost": "10", "note": True, "day": "2026-11-01"}


def test_csv_has_the_shown_columns_first_and_then_the_others(printed: Callable[..., str]) -> None:
    lines = list(csv.reader(io.StringIO(printed("--csv"))))

    assert lines[0] == ["name", "cost", "note", "day"]
    assert lines[1] == ["acme", "3842.17", "", ""]
    assert lines[3] == ["zeta", "10", "yes", "2026-11-01"]


def test_a_formula_in_a_cell_is_text_in_the_csv_and_a_negative_amount_stays_a_number(
    printed: Callable[..., str],
) -> None:
    lines = list(csv.reader(io.StringIO(printed("--csv"))))

    assert lines[2][0] == "'=HYPERLINK(1)"
    assert lines[2][1] == "-0.0000021"


@pytest.mark.parametrize(
    "text", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "-", "+", "-.5", "-1.", "+١"]
)
def test_what_a_spreadsheet_could_run_gets_a_quote(text: str) -> None:
    assert csv_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-1", "-0.50", "+12", "12", "", "acme", "a=b"])
def test_numbers_and_plain_text_stay_as_they_are(text: str) -> None:
    assert csv_cell(text) == text


@given(st.text())
def test_no_csv_cell_starts_like_a_formula_unless_it_is_a_number(text: str) -> None:
    cell = csv_cell(text)

    assert cell[:1] not in ("=", "+", "-", "@", "\t", "\r") or is_number(cell)
    assert cell.removeprefix("'") == text.removeprefix("'") or cell == f"'{text}"


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6))
def test_every_plain_decimal_is_a_number(value: Decimal) -> None:
    assert is_number(format(value, "f"))


def test_a_piped_table_is_plain_aligned_and_never_cut_off(printed: Callable[..., str]) -> None:
    lines = printed().splitlines()

    assert "x" * 300 in lines[2]
    assert "\x1b" not in "".join(lines)
    ends = [
        line.index(cost) + len(cost)
        for line, cost in zip(lines[1:], ["3842.17", "-0.0000021", "10"], strict=True)
    ]
    assert len(set(ends)) == 1
    assert lines[0].split("  ")[0] == "name"


def test_control_characters_in_a_bill_do_not_reach_the_terminal(printed: Callable[..., str]) -> None:
    shown = printed(rows=[{"name": "\x1b[2Jowned\nrow", "cost": "1", "note": "[bold]x[/bold]"}])

    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 2
    assert "[bold]x[/bold]" in shown


def test_an_empty_list_says_so_on_stderr_and_nothing_on_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    command = Command("x", callback=lambda: show_rows("x", [], SHOWN, empty="Nothing."))
    assert run(command, []) == 0
    assert capfd.readouterr() == ("", "Nothing.\n")
    assert run(command, ["--quiet"]) == 0
    assert capfd.readouterr() == ("", "")
    assert run(command, ["--csv"]) == 0
    assert capfd.readouterr().out == "name,cost,note\n"


TERMINAL = """
import pty, os, sys
pid, terminal = pty.fork()
if pid == 0:
    os.environ.update(TERM="xterm-256color", COLUMNS="60", LINES="20")
    os.execv(sys.executable, [sys.executable, "-m", "costweir", "config", "show"])
seen = b""
while True:
    try:
        part = os.read(terminal, 65536)
    except OSError:
        break
    if not part:
        break
    seen += part
os.waitpid(pid, 0)
sys.stdout.write(seen.decode())
"""


def test_on_a_terminal_the_table_is_drawn_and_fits(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", TERMINAL], capture_output=True, text=True)

    lines = done.stdout.replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()
    assert "─" in done.stdout
    assert max(len(line) for line in lines) <= 60


def test_numbers_are_right_aligned_and_texts_left() -> None:
    table = output._plain_table(["a", "n"], [["x", "1"], ["yyy", "100"]], [False, True])  # pyright: ignore

    assert table == "a      n\nx      1\nyyy  100\n"


def test_data_goes_to_stdout_and_notes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    def both() -> None:
        output.note("a note")
        output.write("data\n")

    assert run(Command("x", callback=both), []) == 0
    assert capfd.readouterr() == ("data\n", "a note\n")
    assert run(Command("x", callback=both), ["--quiet"]) == 0
    assert capfd.readouterr() == ("data\n", "")


def test_json_and_csv_exclude_each_other(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(Command("x", callback=click.echo), ["--json", "--csv"]) == 2
    assert "exclude each other" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("billed_cost", "4342.9821475106", "4342.98"),
        ("billed_cost", "-0.5", "-0.5"),
        ("billed_cost", "0.0000021", "0.0000021"),
        ("billed_cost", "0.00", "0.00"),
        ("margin_share", "0.493746127976", "49.4%"),
        ("input_usd", "0.625", "0.625"),
        ("unit_cost_usd", "0.12345678", "0.1235"),
        ("tokens", 5942605652, "5942605652"),
        ("model", "gpt-5.4", "gpt-5.4"),
        ("note", None, ""),
    ],
)
def test_a_terminal_shows_rounded_amounts_and_never_a_false_zero(
    field: str, value: object, shown: str
) -> None:
    assert output.readable(field, value) == shown
