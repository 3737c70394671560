"""`costweir classify`: what the lines of a bill mean, without loading anything."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

import click

from costweir.cli.frame import Command, flags
from costweir.cli.output import note, show_json
from costweir.cli.session import settings
from costweir.errors import UsageError


@click.command(cls=Command)
@click.argument("source", metavar="IN.csv", type=click.Path(dir_okay=False, allow_dash=True))
@click.option(
    "--out",
    default="-",
    show_default=True,
    metavar="OUT.csv",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Where to write; - is stdout.",
)
def classify(*, source: str, out: str) -> None:
    """Append to each line of a CSV its model, token type and the rest of its meaning.

    Reads the columns cloud, service, sku_or_usage_type and unit and, if there, region, unit_price and
    currency; copies every other column and keeps the order. A lone - is stdin.
    """
    from costweir.control.kept_rules import kept_rules
    from costweir.sources.classify import Classifier, classify_csv
    from costweir.sources.meaning.overrides import mapping_file

    chosen = settings()
    classifier = Classifier.load(mapping_file(chosen.data_dir), own=kept_rules(chosen.control_path))
    collected = io.StringIO(newline="")
    try:
        with _reading(source) as lines:
            if flags().json and out == "-":
                counts = classify_csv(lines, collected, classifier=classifier)
            else:
                with _writing(out) as target:
                    counts = classify_csv(lines, target, classifier=classifier)
    except UnicodeDecodeError:
        raise UsageError(f"{_name(source)} is not UTF-8.", hint="Save it as CSV UTF-8.") from None
    except csv.Error as error:
        raise UsageError(f"{_name(source)} is not a CSV: {error}.", hint="Check its quotes.") from None
    told = asdict(counts)
    known = told.pop("rows")
    if flags().json:
        rows = list(csv.DictReader(io.StringIO(collected.getvalue())))
        show_json({"schema": "costweir.classify/1", "count": known, **told, "rows": rows})
    elif out != "-":
        note(
            f"{known} lines, {counts.high} with high confidence, {counts.unknown_model} of an unknown model."
        )


def _name(source: str) -> str:
    return "stdin" if source == "-" else source


@contextmanager
def _reading(source: str) -> Generator[TextIO]:
    if source == "-":
        lines = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", newline="")
        yield lines
        lines.detach()
    else:
        with Path(source).open(encoding="utf-8-sig", newline="") as lines:
            yield lines


@contextmanager
def _writing(out: str) -> Generator[TextIO]:
    """Writes to a neighbour first, so that a failure leaves what was there."""
    if out == "-":
        yield sys.stdout
        return
    part = Path(f"{out}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as target:
            yield target
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
