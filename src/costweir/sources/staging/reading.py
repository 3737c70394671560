"""The first pass over a file: open it, recognise it, bring text into Parquet, and count what is in it."""

# The SQL is made of our own names, quoted identifiers and literals.
# ruff: noqa: S608

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import duckdb

from costweir.errors import SourceRejected
from costweir.sources.formats import recognise
from costweir.sources.formats.format import BillFile, Format, literal, quoted
from costweir.sources.staging import rows
from costweir.sources.staging.opening import Opened, open_file

#: A file with more lines than this that are no rows at all is not a bill with a few bad lines.
MALFORMED_LIMIT = 10_000
_RAW_LIMIT = 4096


@dataclass(slots=True)
class BillRead:
    """A file after the first pass: its format, SQL for its mapped rows, and its census table."""

    file: BillFile
    form: Format
    number: int
    relation: str = ""
    #: SQL for the mapped rows, and for those of them whose strings have a meaning.
    view: str = ""
    known: str = ""
    columns: tuple[str, ...] = ()
    malformed: list[tuple[int, str, str]] = field(default_factory=list[tuple[int, str, str]])
    rows: int = 0
    #: Number of the slot that most of its readable rows belong to; lines that name no slot go there.
    home: int = 0
    slots: set[tuple[str, str, str]] = field(default_factory=set[tuple[str, str, str]])

    @property
    def census(self) -> str:
        """The counts of the first pass."""
        return f"census_{self.number}"

    @property
    def full_name(self) -> str:
        """Its URL or path."""
        return self.file.url or str(self.file.path)

    @property
    def name(self) -> str:
        """What the file is called in messages and on rows."""
        return self.file.path.name


    def leave_out(self, connection: duckdb.DuckDBPyConnection, gone: set[tuple[str, str, str]]) -> None:
        """Takes the rows of the slots `gone` out of everything that is counted and written of this file."""
        self.slots -= gone
        tests = [
            " AND ".join(f"{name} = {literal(value)}" for name, value in zip(rows.SLOT, slot, strict=True))
            for slot in sorted(gone)
        ]
        out = f"coalesce({' OR '.join(f'({test})' for test in tests)}, false)"
        connection.execute(f"DELETE FROM {self.census} WHERE {out}")
        self.view, self.known = (f"(SELECT * FROM {view} WHERE NOT {out})" for view in (self.view, self.known))


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one file at a time. `source` is what the user asked for, `rates` are US dollars for one unit."""

    connection: duckdb.DuckDBPyConnection
    work: Path
    source: str
    rates: dict[str, Decimal]

    def look(self, local: Path, file: BillFile) -> tuple[Opened, Format]:
        """Opens a file and says which format it is. Raises SourceRejected."""
        opened = open_file(local, file.url or str(file.path), work=self.work, connection=self.connection)
        return opened, recognise(opened.header, self.source, file.url or str(file.path))

    def read(self, opened: Opened, file: BillFile, *, form: Format, number: int) -> BillRead:
        """Maps and counts the rows of a file. Raises SourceRejected when it cannot be read to its end."""
        bill = BillRead(file, form, number)
        expressions = dict(form.columns(opened.header))
        bill.columns = rows.named_columns(opened.header, expressions)
        bill.relation = opened.relation if opened.kind == "parquet" else self._converted(opened, bill)
        rate = rows.usd_rate(self.rates)
        known = rows.only_known(form, expressions, bill.relation, columns=bill.columns)
        bill.view, bill.known = (
            f"(SELECT *, {rate} AS usd_rate FROM ({rows.mapped(form, expressions, relation)}))"
            for relation in (bill.relation, known)
        )
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {bill.census} AS {rows.census(bill.view)}")
        self._check(bill, opened)
        return bill

    def slots_of_head(self, opened: Opened, form: Format) -> set[tuple[str, str, str]]:
        """The slots that the first rows of a broken CSV belong to, from what of it can be unpacked; else
        none."""
        if opened.kind != "csv" or not opened.head:
            return set()
        head = self.work / "head.csv"
        head.write_text(opened.head.rpartition("\n")[0] + "\n", encoding="utf-8")
        relation = opened.relation.replace(literal(str(opened.path)), literal(str(head)))
        relation = relation.replace("compression = 'gzip'", "compression = 'none'")
        mapped = rows.mapped(
            form,
            form.columns(opened.header),
            f"(SELECT *, 0 AS file_row_number FROM {relation}, ignore_errors = true))",
        )
        try:
            found = self.connection.execute(
                f"SELECT DISTINCT {', '.join(rows.SLOT)} FROM ({mapped}) WHERE {' AND '.join(_FILLED)}"
            ).fetchall()
        except duckdb.Error:
            return set()
        return {(str(provider), str(account), str(period)) for provider, account, period in found}

    def _converted(self, opened: Opened, bill: BillRead) -> str:
        """Brings the columns that are used into a Parquet file in row order, and notes the lines that are no
        rows."""
        target = self.work / f"raw_{bill.number}.parquet"
        if opened.kind == "json":
            self._copy(bill, opened.relation, target)
        else:
            rejects = f"store_rejects = true, rejects_limit = {MALFORMED_LIMIT + 1}"
            read = self._copy(bill, f"{opened.relation}, {rejects})", target)
            found = self._rejects()
            if read == 0 and found and all(kind == "MISSING COLUMNS" for _, kind, _ in found):
                # Some tools leave out the last, empty columns of every row.
                self._copy(bill, f"{opened.relation}, null_padding = true, {rejects})", target)
                found = self._rejects()
            self._note(bill, found, len(opened.header))
        if opened.temporary is not None:
            opened.temporary.unlink()
        return f"read_parquet({literal(str(target))}, file_row_number = true)"

    def _copy(self, bill: BillRead, relation: str, target: Path) -> int:
        chosen = ", ".join(map(quoted, bill.columns))
        self.connection.execute("SET preserve_insertion_order = true")
        try:
            copied = self.connection.execute(
                f"COPY (SELECT {chosen} FROM {relation}) TO {literal(str(target))} "
                "(FORMAT parquet, COMPRESSION lz4_raw, ROW_GROUP_SIZE 24576)"
            ).fetchone()
        finally:
            self.connection.execute("SET preserve_insertion_order = false")
        return int(copied[0]) if copied else 0

    def _rejects(self) -> list[tuple[int, str, str]]:
        found = self.connection.execute(
            "SELECT line, any_value(error_type::VARCHAR), any_value(csv_line) FROM reject_errors "
            "GROUP BY line ORDER BY line"
        ).fetchall()
        self.connection.execute("DROP TABLE reject_errors")
        self.connection.execute("DROP TABLE reject_scans")
        return [(int(line), str(kind), str(text)) for line, kind, text in found]

    @staticmethod
    def _note(bill: BillRead, found: list[tuple[int, str, str]], width: int) -> None:
        if len(found) > MALFORMED_LIMIT:
            raise SourceRejected(
                f"{bill.name} has more than {MALFORMED_LIMIT} lines that do not fit its {width} columns.",
                hint="The delimiter of the rows may differ from that of the header; export the file again.",
            )
        for line, kind, text in found:
            reason = _MALFORMED.get(kind, f"the line cannot be read: {kind.lower()}")
            raw = json.dumps({"line": text[: _RAW_LIMIT - 16]}, ensure_ascii=False)[:_RAW_LIMIT]
            bill.malformed.append((line - 1, reason, raw))

    def _check(self, bill: BillRead, opened: Opened) -> None:
        counted = self.connection.execute(
            f"SELECT problem, sum(n)::BIGINT AS n FROM {bill.census} GROUP BY problem ORDER BY n DESC"
        ).fetchall()
        bill.rows = sum(int(row[1]) for row in counted) + len(bill.malformed)
        if bill.rows == 0:
            raise SourceRejected(
                f"{bill.name} has a header and no rows.", hint="A bill has at least one row."
            )
        if any(row[0] is None for row in counted):
            return
        reason = str(counted[0][0]) if counted else bill.malformed[0][1]
        kinds = ", ".join(f"{name} {opened.header[name]}" for name in bill.columns[:6])
        raise SourceRejected(
            f"No row of {bill.name} can be read as {bill.form.source}: {reason}.",
            hint=f"Compare the types and values with the provider's export; the file has {kinds}."
            if opened.kind == "parquet"
            else "Compare the delimiter, the dates and the numbers with the provider's own export.",
        )


_FILLED = tuple(f"{name} IS NOT NULL" for name in rows.SLOT)

_MALFORMED = {
    "MISSING COLUMNS": "the line has too few columns",
    "TOO MANY COLUMNS": "the line has too many columns",
    "UNQUOTED VALUE": "a quotation mark on the line is never closed",
    "LINE SIZE OVER MAXIMUM": "the line is too long",
    "INVALID ENCODING": "the line is not UTF-8",
    "INVALID UNICODE": "the line is not UTF-8",
}


def explained(error: duckdb.Error, name: str) -> SourceRejected:
    """DuckDB's complaint about a file as one sentence with a hint."""
    text = rows.one_line(error)
    if "GZIP" in text or "gzip" in text:
        return SourceRejected(
            f"{name} is cut off: its gzip data ends before the end of the file.",
            hint="Download the file again from where the provider wrote it.",
        )
    if "arquet" in text or "magic bytes" in text or "thrift" in text.lower():
        return SourceRejected(
            f"{name} is a damaged Parquet file.", hint=f"Download it again. The reader says: {text}"
        )
    return SourceRejected(f"{name} cannot be read.", hint=f"The reader says: {text}")
