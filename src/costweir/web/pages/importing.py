"""A file of customers or plans, line by line against what is kept: what it would add and change, and what of it cannot
be taken. Nothing is written here."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from costweir.control.edits import version_of
from costweir.errors import UsageError
from costweir.web.pages.entries import Entry, Filled, Kind, fill, values_of
from costweir.web.pages.table import safe

State = Literal["refused", "changed", "added", "same"]
MOST_LINES = 5_000
#: A column of our own lists that says nothing to keep.
IGNORED = frozenset({"set_in"})


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the file. `number` is its place in the file, the header is 1; `version` is that of the entry it
    changes; `changes` are (field, before, after)."""

    number: int
    id: str
    state: State
    reason: str = ""
    changes: tuple[tuple[str, str, str], ...] = ()
    entry: Entry | None = None
    version: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a file would do."""

    lines: tuple[Line, ...]
    counts: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def writes(self) -> tuple[Line, ...]:
        """The lines that change something."""
        return tuple(line for line in self.lines if line.state in ("added", "changed"))

    @property
    def digest(self) -> str:
        """Differs when the same file would do something else, because what is kept has changed meanwhile."""
        seen = [
            (line.number, line.state, line.id, line.version, line.changes, line.reason) for line in self.lines
        ]
        return hashlib.sha256(json.dumps(seen).encode()).hexdigest()


def preview(kind: Kind, text: str, *, kept: Sequence[Entry], plans: Collection[str]) -> Preview:
    """Reads the file against what is kept. Raises UsageError where it cannot be read as a list of this kind.

    A column that the file lacks stays as it is, an empty cell clears it, and who is not in the file stays.
    """
    header, rows = _read(kind, text)
    known = {entry.id: entry for entry in kept}
    lines: list[Line] = []
    seen: dict[str, int] = {}
    for number, cells in rows:
        if len(cells) != len(header):
            reason = f"It has {len(cells)} cells, and the header has {len(header)}."
            lines.append(Line(number, cells[0].strip()[:80], "refused", reason))
            continue
        values = {
            name: original(cell) for name, cell in zip(header, cells, strict=True) if name not in IGNORED
        }
        name = values["id"].strip()
        if name in seen:
            lines.append(Line(number, name, "refused", f"Line {seen[name]} has this id already."))
            continue
        seen[name] = number
        lines.append(_line(kind, number, values, before=known.get(name), plans=plans))
    return Preview(tuple(lines), Counter(line.state for line in lines))


def _line(
    kind: Kind, number: int, values: Mapping[str, str], *, before: Entry | None, plans: Collection[str]
) -> Line:
    held = values_of(kind, before)
    filled = fill(kind, {**held, **values}, before=before, plans=plans)
    name = values["id"].strip()
    if filled.entry is None:
        return Line(number, name, "refused", _reasons(filled))
    after = values_of(kind, filled.entry)
    after["name"] = after["name"] or name
    changes = tuple(
        (item.label, held[item.name], after[item.name])
        for item in kind.fields
        if item.name != "id" and held[item.name] != after[item.name]
    )
    if before is not None and not changes:
        return Line(number, name, "same")
    if before is not None and before.origin == "config":
        return Line(number, name, "refused", "It is set in costweir.toml; change it there.")
    version = version_of(before.to_json() if before else None)
    return Line(number, name, "changed" if before else "added", "", changes, filled.entry, version)


def _reasons(filled: Filled) -> str:
    return " ".join(filled.faults.values())


def _read(kind: Kind, text: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header and the rows that are not blank, with the place of each in the file."""
    first = text.lstrip("\ufeff").split("\n", 1)[0]
    separator = next((sign for sign in ("\t", ";") if sign in first and "," not in first), ",")
    reader = csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), delimiter=separator, strict=True)
    try:
        found = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise UsageError(
            f"Line {reader.line_num} cannot be read as CSV: {error}.", hint="Save the sheet as CSV again."
        ) from None
    if not found:
        raise UsageError("The file is empty.", hint=f"Its first line names the columns: {_names(kind)}.")
    header = [cell.strip().lower() for cell in found[0][1]]
    _check_header(kind, header)
    if len(found) - 1 > MOST_LINES:
        raise UsageError(f"The file has more than {MOST_LINES:,} lines.", hint="Import it in parts.")
    return header, found[1:]


def _check_header(kind: Kind, header: Sequence[str]) -> None:
    names = {item.name for item in kind.fields}
    strange = [name for name in header if name not in names | IGNORED]
    if "id" not in header:
        raise UsageError("The first line has no column id.", hint=f"It names the columns: {_names(kind)}.")
    if strange:
        raise UsageError(
            f"There is no column {strange[0]!r} in a list of {kind.many}.",
            hint=f"Columns are {_names(kind)}.",
        )
    if len(set(header)) != len(header):
        raise UsageError("A column is there twice.", hint="Give each column once.")


def _names(kind: Kind) -> str:
    return ", ".join(item.name for item in kind.fields)


def original(cell: str) -> str:
    """A cell as it was before our own export neutralised it."""
    return cell[1:] if cell.startswith("'") and safe(cell[1:]) == cell else cell
