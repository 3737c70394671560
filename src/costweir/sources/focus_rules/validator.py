"""Says how far a file keeps FOCUS 1.2: every rule of the published model that a machine can check, in one
scan.

The file is only read. Rules that need a person, a price list or an invoice are counted, never claimed to
hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from costweir.errors import NotFound, SourceRejected
from costweir.sources.focus_rules.checks import ROW_CHECKS, Compiler, among, literal, name, sentence

if TYPE_CHECKING:
    import duckdb

#: Words that files write where a cell is empty.
PLACEHOLDERS = ("NULL", "null", "None", "N/A", "n/a", "NA", "Not Applicable", "NaN", "-")
_NAMES: Mapping[str, re.Pattern[str]] = {
    "pascal": re.compile(r"(x_)?[A-Z][A-Za-z0-9_]*"),
    "alphanumeric": re.compile(r"(x_)?[A-Za-z0-9]*"),
    "length": re.compile(r".{0,50}"),
}
#: How many conditions one statement tests.
_BATCH = 80


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that the file does not keep. `count` is in rows, or in columns for rules about columns; `row`
    is the first such row (1 = the first after the header, 0 when it is about the file) and `example` its
    cell."""

    rule_id: str
    column: str
    text: str
    count: int
    row: int
    example: str

    def to_json(self) -> dict[str, str | int]:
        """All fields."""
        return {
            "rule_id": self.rule_id,
            "column": self.column,
            "text": self.text,
            "count": self.count,
            "row": self.row,
            "example": self.example,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome for one file. `violations` break a MUST, `advice` a SHOULD or a rule that the model states
    more broadly than its sentence. `rules_checked` were tested, `rules_skipped` are about columns that the
    file may lack, `rules_by_hand` cannot be tested by a machine; the rest of `rules_total` group, repeat or
    allow."""

    path: str
    focus: str
    rows: int
    columns: int
    rules_total: int
    rules_checked: int
    rules_skipped: int
    rules_by_hand: int
    violations: tuple[Finding, ...]
    advice: tuple[Finding, ...]
    columns_absent: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether no MUST is broken."""
        return not self.violations

    def to_json(self) -> dict[str, object]:
        """All fields, `ok` included; the findings as objects."""
        return {
            "path": self.path,
            "focus": self.focus,
            "ok": self.ok,
            "file_rows": self.rows,
            "file_columns": self.columns,
            "rules_total": self.rules_total,
            "rules_checked": self.rules_checked,
            "rules_skipped": self.rules_skipped,
            "rules_by_hand": self.rules_by_hand,
            "violations": [finding.to_json() for finding in self.violations],
            "advice": [finding.to_json() for finding in self.advice],
            "columns_absent": list(self.columns_absent),
        }


@cache
def rule_data() -> Mapping[str, Any]:
    """The reduced rule model: `rules`, `columns`, `currencies`, and the ids of what is not tested."""
    return json.loads((files("costweir.sources.focus_rules") / "rules.json").read_text("utf-8"))


def validate(path: Path) -> Report:
    """Checks a FOCUS file (CSV, CSV.gz or Parquet) against the FOCUS 1.2 rules.

    NotFound when there is no such file; SourceRejected when it cannot be read as a table. Memory does not
    grow with the file.
    """
    if not path.is_file():
        raise NotFound(f"There is no file {path}.", hint="Check the path.")
    if path.stat().st_size == 0:
        raise SourceRejected(f"{path.name} is empty.", hint="Give a FOCUS file as UTF-8 CSV or Parquet.")
    import duckdb

    with TemporaryDirectory(prefix="costweir-") as folder:
        try:
            with duckdb.connect(config={"memory_limit": "512MB", "temp_directory": folder}) as connection:
                types = _open(connection, path, Path(folder) / "cells.parquet")
                return _Check(connection, types).report(path)
        except (duckdb.IOException, duckdb.InvalidInputException, duckdb.ConversionException) as error:
            reason = str(error).strip().splitlines()[0]
            raise SourceRejected(
                f"{path.name} cannot be read as a table: {reason}",
                hint="Give a FOCUS file as UTF-8 CSV or Parquet.",
            ) from error


def _open(connection: duckdb.DuckDBPyConnection, path: Path, copy: Path) -> dict[str, str]:
    """Makes the views `given` and `focus` (placeholders read as empty), all cells as text; returns the types.

    `focus` reads a copy by column: every rule reads it, and a text file would be parsed again each time.
    """
    source = literal(path)
    with path.open("rb") as head:
        parquet = head.read(4) == b"PAR1"
    if parquet:
        reader = f"read_parquet({source})"
    else:
        reader = f"read_csv({source}, header = true, all_varchar = true, nullstr = '', sample_size = 20480)"
    described = connection.execute(f"DESCRIBE SELECT * FROM {reader}").fetchall()  # noqa: S608
    types = {str(row[0]): str(row[1]) for row in described}
    if not parquet:
        types = dict.fromkeys(types, "")
    cells = ", ".join(f"{_as_text(column, kind)} AS {name(column)}" for column, kind in types.items())
    connection.execute(f"CREATE VIEW given AS SELECT {cells} FROM {reader}")  # noqa: S608
    cells = ", ".join(
        f"CASE WHEN {among(name(column), PLACEHOLDERS)} THEN NULL ELSE {name(column)} END AS {name(column)}"
        for column in types
    )
    target, layout = literal(copy), "FORMAT parquet, ROW_GROUP_SIZE 16384"
    connection.execute(f"COPY (SELECT {cells} FROM given) TO {target} ({layout})")  # noqa: S608
    connection.execute(f"CREATE VIEW focus AS SELECT * FROM read_parquet({target})")  # noqa: S608
    return types


def _as_text(column: str, kind: str) -> str:
    cell = name(column)
    if kind.startswith("TIMESTAMP"):
        utc = f"{cell} AT TIME ZONE 'UTC'" if "TIME ZONE" in kind else cell
        return f"strftime({utc}, '%Y-%m-%dT%H:%M:%SZ')"
    if kind.startswith(("MAP", "STRUCT")):
        return f"CAST(to_json({cell}) AS VARCHAR)"
    return cell if kind in ("", "VARCHAR") else f"CAST({cell} AS VARCHAR)"


class _Check:
    """One validation: the rules against the views of one connection."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, types: Mapping[str, str]) -> None:
        self._connection = connection
        self._columns = list(types)
        data = rule_data()
        declared = {column: kind for column, kind in types.items() if kind}
        self._compiler = Compiler(self._columns, declared, data["currencies"])
        self._known: Sequence[str] = data["columns"]

    def report(self, path: Path) -> Report:
        data = rule_data()
        tested = [rule for rule in data["rules"] if self._is_tested(rule)]
        by_rows = [rule for rule in tested if rule["check"][0] in ROW_CHECKS]
        rows, found = self._row_findings(by_rows)
        for rule in tested:
            if rule["check"][0] not in ROW_CHECKS:
                found.extend((rule, finding) for finding in self._file_findings(rule))
        return Report(
            path=str(path),
            focus=data["focus"],
            rows=rows,
            columns=len(self._columns),
            rules_total=sum(
                len(data[part]) for part in ("rules", "composite", "optional", "covered", "by_hand")
            ),
            rules_checked=len(tested),
            rules_skipped=len(data["rules"]) - len(tested),
            rules_by_hand=len(data["by_hand"]),
            violations=tuple(finding for rule, finding in found if rule["level"] == "must"),
            advice=tuple(finding for rule, finding in found if rule["level"] == "should"),
            columns_absent=tuple(column for column in self._known if column not in self._columns),
        )

    def _is_tested(self, rule: Mapping[str, Any]) -> bool:
        if rule["check"][0] == "present":
            # a column that depends on what the provider offers may be left out; a file cannot say
            # what it offers
            return "when" not in rule or rule["column"] in self._columns
        return rule["check"][0] in ("column_names", "placeholders") or rule["column"] in self._columns

    def _row_findings(
        self, rules: Sequence[Mapping[str, Any]]
    ) -> tuple[int, list[tuple[Mapping[str, Any], Finding]]]:
        broken = [self._broken(rule) for rule in rules]
        rows, counts = 0, list[int]()
        for start in range(0, max(len(broken), 1), _BATCH):
            tests = "".join(f", count(*) FILTER (WHERE {test})" for test in broken[start : start + _BATCH])
            answer = self._connection.execute(f"SELECT count(*){tests} FROM focus").fetchone()  # noqa: S608
            assert answer is not None  # noqa: S101 - an aggregate always has a row
            rows, counts = int(answer[0]), [*counts, *(int(count) for count in answer[1:])]
        found = [
            (rule, self._example(rule, test, count))
            for rule, test, count in zip(rules, broken, counts, strict=True)
            if count
        ]
        return rows, found

    def _broken(self, rule: Mapping[str, Any]) -> str:
        broken = f"NOT ({self._compiler.keeps(rule['check'])})"
        return f"{self._compiler.applies(rule['if'])} AND {broken}" if "if" in rule else broken

    def _example(self, rule: Mapping[str, Any], test: str, count: int) -> Finding:
        numbered = "SELECT row_number() OVER () AS n, * FROM focus"
        cell = name(rule["column"])
        query = f"SELECT n, {cell} FROM ({numbered}) WHERE {test} LIMIT 1"  # noqa: S608
        first = self._connection.execute(query).fetchone()
        row, value = (int(first[0]), first[1]) if first is not None else (0, None)
        return self._finding(rule, rule["column"], count, row, "" if value is None else str(value))

    def _finding(
        self, rule: Mapping[str, Any], column: str, count: int, row: int = 0, example: str = ""
    ) -> Finding:
        text = sentence(rule["check"], rule.get("if"))
        return Finding(rule["id"], column, text, count, row, example[:200])

    def _file_findings(self, rule: Mapping[str, Any]) -> Iterator[Finding]:
        check = rule["check"]
        match check[0]:
            case "present":
                if rule["column"] not in self._columns:
                    yield self._finding(rule, rule["column"], 1)
            case "distinct":
                yield from self._distinct(rule)
            case "placeholders":
                yield from self._placeholders(rule)
            case "column_names":
                wrong = self._misnamed(check[1])
                if wrong:
                    yield self._finding(rule, wrong[0], len(wrong), example=", ".join(wrong[:5]))
            case unknown:
                raise ValueError(f"rules.json has a check {unknown!r} that is not known here")

    def _misnamed(self, kind: str) -> list[str]:
        own = [column for column in self._columns if column not in self._known]
        if kind == "prefix":
            return [column for column in own if not column.startswith("x_")]
        if kind == "order":
            places = [self._columns.index(column) for column in self._known if column in self._columns]
            return [column for column in own if self._columns.index(column) < max(places, default=0)]
        return [column for column in self._columns if not _NAMES[kind].fullmatch(column)]

    def _distinct(self, rule: Mapping[str, Any]) -> Iterator[Finding]:
        _, one, other, wanted = rule["check"]
        if other not in self._columns:
            return
        groups = (
            f"SELECT {name(one)} AS g FROM focus WHERE {name(one)} IS NOT NULL "  # noqa: S608
            f"GROUP BY {name(one)} HAVING count(DISTINCT {name(other)}) > {int(wanted)}"
        )
        answer = self._connection.execute(f"SELECT count(*), min(g) FROM ({groups})").fetchone()  # noqa: S608
        if answer is not None and answer[0]:
            yield self._finding(rule, one, int(answer[0]), example=str(answer[1]))

    def _placeholders(self, rule: Mapping[str, Any]) -> Iterator[Finding]:
        known = [column for column in self._columns if column in self._known]
        if not known:
            return
        tests = ", ".join(f"count(*) FILTER (WHERE {among(name(column), PLACEHOLDERS)})" for column in known)
        answer = self._connection.execute(f"SELECT {tests} FROM given").fetchone()  # noqa: S608
        counts = dict(zip(known, (int(count) for count in answer or ()), strict=True))
        hit = [column for column, count in counts.items() if count]
        if hit:
            yield self._finding(rule, hit[0], sum(counts.values()), example=f"in {', '.join(hit)}")
