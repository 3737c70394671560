"""`costweir mappings`: what lines of a bill mean when no rule knows them, also for bills that are stored already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import click

from costweir.cli.frame import Group, flags
from costweir.cli.output import columns, note, show_json, show_rows
from costweir.cli.session import settings

_CLOUDS = ("aws", "gcp", "azure", "openai", "anthropic", "other")
_CLASSES = ("input", "output", "cache_read", "cache_write", "image", "audio", "embedding", "other")
_MOVES = columns(
    "provider", "account", "period", "closed", "unit", "lines", "cost", "currency", "was", ("will_be", "becomes"),
    ("tokens_before", "tokens before"), ("tokens_after", "tokens after"),
)  # fmt: skip


@click.group(cls=Group)
def mappings() -> None:
    """Say what lines of a bill mean, and bring what is stored in step."""


@mappings.command("list")
def list_() -> None:
    """List the mappings that were set here; those of mappings.yaml stand in that file."""
    from costweir.app.steward import open_steward

    with open_steward(settings()) as steward:
        rows = [{**row, **_meaning(row["meaning"])} for row in steward.listed()]
    shown = columns(
        "id", "cloud", "text", "service", "unit", "model", "token_type", ("tokens_per_unit", "tokens per unit"),
        ("set_by", "by"), ("set_at", "on"), "evidence",
    )  # fmt: skip
    show_rows("mappings", rows, shown, empty="No mapping is set.")


@mappings.command("set")
@click.argument("text")
@click.option("--cloud", type=click.Choice(_CLOUDS), required=True, help="Whose bill it is.")
@click.option("--model", required=True, metavar="ID", help="The vendor's API id in lower case.")
@click.option("--service", metavar="TEXT", help="Only lines of this service.")
@click.option("--unit", metavar="TEXT", help="Only lines in this unit.")
@click.option("--token-type", type=click.Choice(_CLASSES), help="What is counted; as the rules read it.")
@click.option(
    "--tokens-per-unit",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many tokens a unit is; as the unit says.",
)
@click.option("--tier", metavar="NAME", help="standard, batch, flex, priority ...; as the rules read it.")
@click.option("--evidence", default="", metavar="TEXT", help="Where that is known from.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
def set_(*, text: str, cloud: str, evidence: str, dry_run: bool, **given: Any) -> None:
    """Give all lines with this TEXT a meaning, those of closed months too.

    TEXT is the usage type, SKU text or meter name, as `costweir ask unknown_skus --by line_text` shows it. Amounts stay
    as they are: money moves from one model to another, and `costweir ask restatements` shows that.
    """
    from costweir.app.steward import open_steward

    meaning = {
        name: given[name] for name in ("model", "token_type", "tokens_per_unit", "tier") if given[name]
    }
    wish: dict[str, Any] = {"cloud": cloud, "text": text, "evidence": evidence, "meaning": meaning}
    wish |= {name: given[name] for name in ("service", "unit") if given[name] is not None}
    with open_steward(settings()) as steward:
        told = steward.set(wish, look=dry_run)
    _show(told, dry_run=dry_run)


@mappings.command()
@click.argument("id_", metavar="ID")
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
def remove(*, id_: str, dry_run: bool) -> None:
    """Forget a mapping, and give its lines back the meaning that the rules read."""
    from costweir.app.steward import open_steward

    with open_steward(settings()) as steward:
        told = steward.remove(id_, look=dry_run)
    _show(told, dry_run=dry_run)


@mappings.command()
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
def apply(*, dry_run: bool) -> None:
    """Bring what is stored in step with the mappings: after a change of mappings.yaml, or after a crash."""
    from costweir.app.steward import open_steward

    with open_steward(settings()) as steward:
        told = steward.apply(look=dry_run)
    _show(told, dry_run=dry_run)


def _show(told: Mapping[str, object], *, dry_run: bool) -> None:
    moved = cast("Sequence[Mapping[str, Any]]", told["rows"])
    if flags().json:
        show_json({"schema": "costweir.mappings/1", "dry_run": dry_run, **told})
        return
    rows = [
        {
            **{name: value for name, value in row.items() if name not in ("before", "after", "billed")},
            "cost": row["billed"]["amount"], "currency": row["billed"]["currency"],
            "was": _short(row["before"]), "will_be": _short(row["after"]),
        }
        for row in moved
    ]  # fmt: skip
    show_rows("mappings", rows, _MOVES, empty="No stored line means anything else by that.")
    if moved:
        verb = "would mean something else" if dry_run else "mean something else now"
        closed = f", {told['closed_slots']} of them closed" if told["closed_slots"] else ""
        note(f"{told['lines']} lines of {told['slots']} bills{closed} {verb}; no total changes.")


def _meaning(meaning: object) -> dict[str, object]:
    return dict(cast("Mapping[str, object]", meaning))


def _short(meaning: Mapping[str, str]) -> str:
    return f"{meaning['model']} {meaning['token_type']}"
