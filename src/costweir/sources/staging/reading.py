"""The first pass over a file: open it, recognise it, bring text into Parquet, and count what is in it."""

# The SQL is made of our own names, quoted identifiers and literals.
# ruff: noqa: S608

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import duckdb

from costweir.errors import SourceRejected
from costweir.sources.formats import recognise
from costweir.sources.formats.format import BillFile, Format, Header, literal, quoted
from costweir.sources.staging import rows
from costweir.sources.staging.meanings import Key
from costweir.sources.staging.opening import Opened, open_file, records
from costweir.sources.staging.pieces import PLACE, RAW, Part, in_pieces, is_large
from costweir.sources.staging.sieve import Sieve

SlotKey = tuple[str, str, str]

#: A file with more lines than this that are no rows at all is not a bill with a few bad lines.
MALFORMED_LIMIT = 10_000
_RAW_LIMIT = 4096
#: Files of together about this size are read by one query.
BATCH_BYTES = 64 << 20


@dataclass(slots=True)
class BillRead:
    """A file after the first pass: its format, its rows as a Parquet file, and what was counted in it."""

    file: BillFile
    form: Format
    number: int
    header: Header = field(default_factory=dict[str, str])
    kind: str = ""
    #: The Parquet files with its rows, in their order, and whether each is a piece of the file.
    parts: tuple[Part, ...] = ()
    cut: bool = False
    #: What was counted of the file and left out of the parts, and how to bring all of its rows into parts.
    sieve: Sieve | None = None
    again: Callable[[], tuple[Part, ...]] | None = None
    columns: tuple[str, ...] = ()
    malformed: list[tuple[int, str, str]] = field(default_factory=list[tuple[int, str, str]])
    rows: int = 0
    #: Number of the slot that most of its readable rows belong to; lines that name no slot go there.
    home: int = 0
    slots: set[SlotKey] = field(default_factory=set[SlotKey])
    #: The slots that another run feeds, so that the rows of this file do not count there.
    left_out: set[SlotKey] = field(default_factory=set[SlotKey])
    #: The files that are read with it, and its place among them.
    batch: Batch | None = None
    place: int = 0

    @property
    def census(self) -> str:
        """SQL for the counts of the first pass."""
        return f"(SELECT * FROM {self.of.census} WHERE {self._mine} AND {self._counts})"

    @property
    def view(self) -> str:
        """SQL for its mapped rows."""
        return f"(SELECT * FROM {self.of.view} WHERE {self._mine} AND {self._counts})"

    @property
    def sifted(self) -> bool:
        """Whether most rows that are not kept were left out of the parts."""
        return self.again is not None and self.sieve is not None and not self.sieve.idle

    def every_row(self) -> str:
        """SQL for its mapped rows with those that were only counted, for which the file is read once more."""
        if self.again is not None:
            self.parts, self.again = self.again(), None
            if not self.parts:
                raise SourceRejected(
                    f"{self.name} changed while it was read.", hint="Load it when nothing writes it."
                )
            self.of.relation = _joined([self])
        return self.view

    @property
    def of(self) -> Batch:
        """The files that are read with it."""
        if self.batch is None:
            raise AssertionError(self.full_name)
        return self.batch

    @property
    def _mine(self) -> str:
        return f"file_index = {self.place}"

    @property
    def _counts(self) -> str:
        return f"NOT {_in_slots(self.left_out)}"

    @property
    def size(self) -> int:
        """Bytes of its rows as Parquet."""
        return sum(part.path.stat().st_size for part in self.parts)

    @property
    def full_name(self) -> str:
        """Its URL or path."""
        return self.file.url or str(self.file.path)

    @property
    def name(self) -> str:
        """What the file is called in messages and on rows."""
        return self.file.path.name


def _in_slots(slots: set[SlotKey]) -> str:
    tests = [
        " AND ".join(f"{name} = {literal(value)}" for name, value in zip(rows.SLOT, slot, strict=True))
        for slot in sorted(slots)
    ]
    return f"coalesce({' OR '.join(f'({test})' for test in tests)}, false)" if tests else "false"


@dataclass(slots=True)
class Batch:
    """Files of one format with one header, which one query reads: planning it costs more than a small
    file."""

    number: int
    bills: list[BillRead]
    relation: str = ""
    expressions: Mapping[str, str] = field(default_factory=dict[str, str])
    #: SQL for US dollars for one unit of the billing currency.
    rate: str = "NULL"

    @property
    def census(self) -> str:
        """The table with the counts of the first pass."""
        return f"census_{self.number}"

    @property
    def view(self) -> str:
        """SQL for the mapped rows."""
        return self.mapped(self.relation)

    @property
    def known(self) -> str:
        """SQL for the raw rows whose strings have a meaning."""
        first = self.bills[0]
        return rows.only_known(first.form, self.expressions, self.relation, columns=first.columns)

    def mapped(self, relation: str) -> str:
        """SQL for the mapped rows of a relation with the raw columns."""
        select = rows.mapped(self.bills[0].form, self.expressions, relation)
        return f"(SELECT *, {self.rate} AS usd_rate FROM ({select}))"

    def counted(self, view: str, bills: Sequence[BillRead]) -> str:
        """SQL for those rows of `view` that belong to `bills` and count there."""
        tests: list[str] = []
        if len(bills) < len(self.bills):
            tests.append(f"file_index IN ({', '.join(str(bill.place) for bill in bills)})")
        tests += [
            f"NOT (file_index = {bill.place} AND {_in_slots(bill.left_out)})"
            for bill in bills
            if bill.left_out
        ]
        return f"(SELECT * FROM {view} WHERE {' AND '.join(tests)})" if tests else view


def batches(bills: Sequence[BillRead]) -> list[list[BillRead]]:
    """The files that are read together: small ones of one format with one header. A large file stays alone,
    so that each query holds the rows of few slots."""
    result: list[list[BillRead]] = []
    groups: dict[tuple[object, ...], list[BillRead]] = {}
    for bill in bills:
        size = BATCH_BYTES if bill.cut else bill.size
        key = (bill.form.source, bill.form.provider, bill.kind, tuple(bill.header.items()))
        group = groups.get(key)
        if size > BATCH_BYTES // 4 or group is None or sum(b.size for b in group) > BATCH_BYTES:
            result.append([bill])
            if size <= BATCH_BYTES // 4:
                groups[key] = result[-1]
        else:
            group.append(bill)
    return result


def by_batch(bills: Sequence[BillRead]) -> list[tuple[Batch, list[BillRead]]]:
    """Each batch with those of its files that are among `bills`."""
    found: dict[int, tuple[Batch, list[BillRead]]] = {}
    for bill in bills:
        found.setdefault(bill.of.number, (bill.of, []))[1].append(bill)
    return list(found.values())


def _joined(bills: Sequence[BillRead]) -> str:
    """SQL for the raw rows of files: `file_index` says of which, and `file_row_number` which of its rows each is.

    A file that was cut is alone.
    """
    parts = [part for bill in bills for part in bill.parts]
    paths = ", ".join(literal(str(part.path)) for part in parts)
    read = f"read_parquet([{paths}], file_row_number = true, hive_partitioning = false)"
    if not any(bill.cut for bill in bills):
        return f"(SELECT *, file_index::INTEGER AS file_index FROM {read})"
    before = f"{[part.before for part in parts]}[file_index::BIGINT + 1]"
    return (
        f"(SELECT * EXCLUDE ({PLACE}, file_row_number), {before} + {PLACE} AS file_row_number, 0 AS file_index "
        f"FROM {read})"
    )


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads files. `source` is what the user asked for, `rates` are US dollars for one unit.

    `passes` says of which strings a row is only counted, where not all rows are kept.
    """

    connection: duckdb.DuckDBPyConnection
    work: Path
    source: str
    rates: dict[str, Decimal]
    passes: Callable[[Key], bool] | None = None

    def look(self, local: Path, file: BillFile) -> tuple[Opened, Format]:
        """Opens a file and says which format it is. Raises SourceRejected."""
        opened = open_file(local, file.url or str(file.path), work=self.work, connection=self.connection)
        return opened, recognise(opened.header, self.source, file.url or str(file.path))

    def read(self, opened: Opened, file: BillFile, *, form: Format, number: int) -> BillRead:
        """Brings text into Parquet. Raises SourceRejected when a file cannot be read to its end."""
        bill = BillRead(file, form, number, opened.header, opened.kind)
        bill.columns = rows.named_columns(opened.header, dict(form.columns(opened.header)))
        if opened.kind == "parquet":
            bill.parts = (Part(opened.path),)
        elif is_large(opened):
            self._cut(opened, bill)
        if not bill.parts:
            bill.parts = self._converted(opened, bill)
        if opened.temporary is not None:
            opened.temporary.unlink()
        return bill

    def count(self, number: int, bills: Sequence[BillRead]) -> Batch:
        """Maps and counts the rows of files with one header. Raises duckdb.Error for a file that is broken."""
        batch = Batch(number, list(bills))
        for place, bill in enumerate(bills):
            bill.batch, bill.place = batch, place
        batch.expressions = dict(bills[0].form.columns(bills[0].header))
        batch.rate = rows.usd_rate(self.rates)
        batch.relation = _joined(bills)
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {batch.census} AS {rows.census(batch.view)}")
        for bill in bills:
            if bill.sieve is not None:
                counted = bill.sieve.census(bill.place)
                self.connection.execute(f"INSERT INTO {batch.census} BY NAME {counted}")
        return batch

    def slots_of_head(self, opened: Opened, form: Format) -> set[SlotKey]:
        """The slots that the first rows of a broken CSV belong to, from what of it can be unpacked; else
        none."""
        if opened.kind != "csv" or not opened.head:
            return set()
        head = self.work / "head.csv"
        head.write_text(opened.head.rpartition("\n")[0] + "\n", encoding="utf-8")
        relation = opened.titled(head)
        mapped = rows.mapped(
            form,
            form.columns(opened.header),
            f"(SELECT *, 0 AS file_row_number, 0 AS file_index FROM {relation}, ignore_errors = true))",
        )
        try:
            found = self.connection.execute(
                f"SELECT DISTINCT {', '.join(rows.SLOT)} FROM ({mapped}) WHERE {' AND '.join(_FILLED)}"
            ).fetchall()
        except duckdb.Error:
            return set()
        return {(str(provider), str(account), str(period)) for provider, account, period in found}

    def _cut(self, opened: Opened, bill: BillRead) -> None:
        """Reads a large CSV in pieces, if it can be, and without the rows that are only counted."""
        chosen = ", ".join(map(quoted, bill.columns))

        def parts(name: str, sieve: Sieve | None) -> tuple[Part, ...]:
            target = self.work / f"{name}_{bill.number}.parquet"
            return in_pieces(self.connection, opened, chosen, target=target, sieve=sieve) or ()

        # What was unpacked for reading is gone when the rows that were left out are asked for.
        if self.passes is not None and opened.temporary is None:
            bill.sieve = Sieve(self.connection, bill.number, bill.form, bill.header, self.passes)
            bill.again = lambda: parts("all", None)
        bill.parts = parts("raw", bill.sieve)
        bill.cut = bool(bill.parts)
        if not bill.parts:
            bill.sieve = bill.again = None

    def _converted(self, opened: Opened, bill: BillRead) -> tuple[Part, ...]:
        """Brings the columns that are used into a Parquet file in row order, and notes the lines that are no
        rows."""
        target = self.work / f"raw_{bill.number}.parquet"
        chosen = ", ".join(map(quoted, bill.columns))
        rejects = f"store_rejects = true, rejects_limit = {MALFORMED_LIMIT + 1}"
        if opened.kind == "json":
            lines = "read_csv" in opened.relation
            source = f"{opened.relation}, {rejects})" if lines else f"{opened.relation})"
            self._copy(records(source, bill.columns), target)
            self._note(bill, self._rejects() if lines else [], 1)
        else:
            read = self._copy(f"SELECT {chosen} FROM {opened.relation}, {rejects})", target)
            found = self._rejects()
            if read == 0 and found and all(kind == "MISSING COLUMNS" for _, kind, _ in found):
                # Some tools leave out the last, empty columns of every row.
                self._copy(f"SELECT {chosen} FROM {opened.relation}, null_padding = true, {rejects})", target)
                found = self._rejects()
            self._note(bill, found, len(opened.header))
        return (Part(target),)

    def _copy(self, select: str, target: Path) -> int:
        self.connection.execute("SET preserve_insertion_order = true")
        try:
            copied = self.connection.execute(f"COPY ({select}) TO {literal(str(target))} ({RAW})").fetchone()
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

    def check(self, bill: BillRead) -> None:
        """Counts the rows of a file. Raises SourceRejected when there is none that can be read."""
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
        kinds = ", ".join(f"{name} {bill.header[name]}" for name in bill.columns[:6])
        raise SourceRejected(
            f"No row of {bill.name} can be read as {bill.form.source}: {reason}.",
            hint=f"Compare the types and values with the provider's export; the file has {kinds}."
            if bill.kind == "parquet"
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
