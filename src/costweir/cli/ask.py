"""`costweir ask`: one question of the catalogue, and its Answer as every other face shows it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING

import click

from costweir.cli.frame import Command, flags
from costweir.cli.output import Column, note, show_csv, show_json, show_table
from costweir.cli.session import open_desk
from costweir.cli.values import DAY, FILTER
from costweir.errors import DataIncomplete

if TYPE_CHECKING:
    from costweir.domain.answer import Answer

BASES = ("billed", "effective", "list", "contracted", "metered")


@click.command(cls=Command)
@click.argument("question", metavar="ID")
@click.option(
    "--by", multiple=True, metavar="DIM", help="Group by this dimension; may be given several times."
)
@click.option(
    "--where", multiple=True, type=FILTER, metavar="DIM=VALUE", help="Keep only these; may be repeated."
)
@click.option("--since", type=DAY, metavar="DAY", help="First day, such as 2026-11-01.")
@click.option("--until", type=DAY, metavar="DAY", help="First day after.")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Keep the N largest rows; the rest is `other`."
)
@click.option("--basis", type=click.Choice(BASES), help="Which cost.")
@click.option("--currency", metavar="CODE", default="", help="Only amounts in this currency.")
def ask(  # noqa: PLR0913 - one parameter for each flag
    *,
    question: str,
    by: tuple[str, ...],
    where: tuple[tuple[str, str], ...],
    since: date | None,
    until: date | None,
    limit: int | None,
    basis: str | None,
    currency: str,
) -> None:
    """Answer a question; `costweir questions` lists them.

    Values of one dimension are alternatives, different dimensions have to hold together. The exit code is
    4 when the answer is incomplete.
    """
    from costweir.queries.request import Request

    request = Request(
        question,
        by=by,
        where=_grouped(where),
        since=since,
        until=until,
        limit=limit,
        basis=basis or "",
        currency=currency,
    )
    with open_desk() as desk:
        answer = desk.ask(request)
    show_answer(answer)
    if not answer.complete:
        raise DataIncomplete(
            f"The answer stands, but it is not complete: {_why(answer)}.",
            hint="`costweir runs` and `costweir quarantine` show what is missing.",
        )


def _grouped(where: tuple[tuple[str, str], ...]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for dimension, value in where:
        found[dimension] = (*found.get(dimension, ()), value)
    return found


def _why(answer: Answer) -> str:
    reasons = [item.text for item in answer.excluded] or list(answer.notes) or ["a source is late"]
    return "; ".join(reason.rstrip(".") for reason in reasons)


def show_answer(answer: Answer) -> None:
    """Prints an Answer: rows, then what is left over, then the total. What qualifies it goes to stderr."""
    if flags().json:
        show_json(answer.to_json())
        return
    fields = list(answer.rows[0]) if answer.rows else []
    if flags().csv:
        show_csv(answer.rows, fields)
        return
    cost = f"{answer.basis}_cost"
    if cost not in fields:
        fields.append(cost)
    label = fields[0] if fields[0] != cost else ""
    foot: list[dict[str, object]] = []
    if answer.other != "0.00":
        foot.append({label: "other", cost: answer.other})
    foot.append({label: "total", cost: answer.total})
    headings = ([] if label else [Column("")]) + [
        Column(name, f"{name.replace('_', ' ')} ({answer.currency})" if name == cost else "")
        for name in fields
    ]
    note(f"{answer.question} ({_days(answer)})")
    show_table([*answer.rows, *foot], headings)
    if sys.stdout.isatty():
        note("Rounded for reading; a pipe, --csv and --json have every digit.")
    if not answer.as_of:
        note("Nothing was loaded yet. Try `costweir demo`, or `costweir pull files PATH`.")
    for item in answer.excluded:
        amount = f" ({item.amount} {item.currency})" if item.amount else ""
        note(f"excluded: {item.text}{amount}")
    for text in answer.notes:
        note(f"note: {text}")


def _days(answer: Answer) -> str:
    since, until = answer.period.since, answer.period.until
    return f"{since or 'the first day'} until {until or 'now'}"
