"""The catalogue as data: one SQL file a question, whose header says what it answers and what it may be
asked."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal, cast

from costweir.errors import UsageError
from costweir.queries.dimensions import DIMENSION_TABLE

#: What every question can be given.
PARAMS = ("by", "where", "since", "until", "limit", "basis", "currency")
#: How the value of a measure is written: money and quantity as exact decimal strings, the rest as they are.
MeasureKind = Literal["money", "quantity", "int", "text", "bool", "day"]

_HEADER = re.compile(r"\A-- ---\n(?P<yaml>(?:--.*\n)+?)-- ---\n")


@dataclass(frozen=True, slots=True)
class Ratio:
    """A measure computed from two others: `of / per * times`; empty where `per` is below `at_least` or zero.

    `per` may be `total`, the answer's total.
    """

    of: str
    per: str
    times: int = 1
    at_least: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """One question of the catalogue. `version` changes whenever its SQL or header does.

    `by` is how it is split when nobody says, `splits` and `filters` what it may be split and filtered by,
    `only` a condition that narrows it, `needs` the facts it reads at least, `answers` the requirements it
    meets.
    """

    id: str
    title: str
    basis: tuple[str, ...]
    by: tuple[str, ...]
    dimensions: tuple[str, ...]
    filters: tuple[str, ...]
    params: tuple[str, ...]
    measures: Mapping[str, MeasureKind]
    ratios: Mapping[str, Ratio]
    needs: str
    only: str
    limit: int | None
    answers: tuple[str, ...]
    notes: str
    sql: str
    version: str

    def to_json(self) -> dict[str, object]:
        """`id, title, dimensions, params` of the contract, and more that a face wants to know."""
        return {
            "id": self.id, "title": self.title,
            "dimensions": list(self.dimensions), "params": list(self.params),
            "by": list(self.by), "filters": list(self.filters), "basis": list(self.basis),
            "measures": [*self.measures, *self.ratios], "answers": list(self.answers),
        }  # fmt: skip


@cache
def catalogue() -> tuple[Question, ...]:
    """Every question, in the order of their ids."""
    folder = resources.files("costweir.queries") / "catalogue"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name
    )
    return tuple(_read(file.name.removesuffix(".sql"), file.read_text(encoding="utf-8")) for file in files)


def find_question(name: str) -> Question:
    """The question of that id. Raises UsageError that names the nearest one."""
    known = {question.id: question for question in catalogue()}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    ask = f"Did you mean {near[0]}? " if near else ""
    raise UsageError(f"There is no question {name!r}.", hint=f"{ask}Questions: {', '.join(known)}.")


@cache
def part(name: str) -> str:
    """The SQL of a part that several questions share."""
    folder = resources.files("costweir.queries") / "parts"
    return (folder / f"{name}.sql").read_text(encoding="utf-8")


def _read(name: str, text: str) -> Question:
    import yaml

    match = _HEADER.match(text)
    if match is None:
        raise ValueError(f"catalogue/{name}.sql has no header")
    head = cast("dict[str, object]", yaml.safe_load(re.sub(r"^-- ?", "", match["yaml"], flags=re.MULTILINE)))
    if head.get("id") != name:
        raise ValueError(f"catalogue/{name}.sql says it is {head.get('id')!r}")
    dimensions = _dimensions(head.get("dimensions"))
    ratios = cast("dict[str, dict[str, object]]", head.get("ratios") or {})
    return Question(
        id=name,
        title=str(head["title"]),
        basis=_texts(head["basis"]),
        by=_texts(head.get("by")),
        dimensions=dimensions,
        filters=_dimensions(head["filters"]) if "filters" in head else dimensions,
        params=_texts(head["params"]) if "params" in head else PARAMS,
        measures=cast("dict[str, MeasureKind]", head.get("measures") or {}),
        ratios={key: _ratio(value) for key, value in ratios.items()},
        needs=str(head["needs"]),
        only=str(head.get("only") or ""),
        limit=cast("int | None", head.get("limit")),
        answers=_texts(head.get("answers")),
        notes=str(head.get("notes") or ""),
        sql=text[match.end() :],
        version=hashlib.sha256(text.encode()).hexdigest()[:12],
    )


def _ratio(value: Mapping[str, object]) -> Ratio:
    times, least = cast("int", value.get("times", 1)), cast("int", value.get("at_least", 0))
    return Ratio(str(value["of"]), str(value["per"]), times, least)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in cast("list[object]", value or []))


def _dimensions(value: object) -> tuple[str, ...]:
    """`all` (known on either), `billed` (known on charges), `metered` (known on calls), or a list of names."""
    if value == "all":
        return tuple(name for name, item in DIMENSION_TABLE.items() if item.charges or item.calls)
    if value == "billed":
        return tuple(name for name, item in DIMENSION_TABLE.items() if item.charges)
    if value == "metered":
        return tuple(name for name, item in DIMENSION_TABLE.items() if item.calls)
    return _texts(value)
