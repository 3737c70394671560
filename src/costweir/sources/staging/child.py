"""The run of the child process: files in, one folder of Parquet per slot out, and a reason for every file left out."""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from costweir.errors import Error, SourceRejected
from costweir.sources.attribution import AttributionRules
from costweir.sources.discover import Found, discover
from costweir.sources.formats.format import Format, literal
from costweir.sources.staging import meanings, rows
from costweir.sources.staging.meanings import Asked, Key, Knows
from costweir.sources.staging.opening import Opened
from costweir.sources.staging.reading import BillRead, Reader, explained
from costweir.sources.staging.result import Progress, Rejected, Staged, StageOptions
from costweir.sources.staging.writing import SlotTally, Writer

#: Part of every rules hash: raise it when the mapping of columns changes what a load would give.
MAPPING_VERSION = "1"

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_WORDS = ("No space left", "Disk quota exceeded", "File too large", "max_temp_directory_size")


@dataclass(slots=True)
class Job:
    """One run. `classifier` gives `classify`, `is_ai` and `rules_hash`."""

    into: Path
    options: StageOptions
    classifier: Knows
    classifier_hash: str
    emit: Callable[[Progress], None]
    rejected: list[Rejected] = field(default_factory=list[Rejected])
    poisoned: set[tuple[str, str, str]] = field(default_factory=set[tuple[str, str, str]])

    def run(self, paths: Sequence[str]) -> Staged:
        """Stages every file that can be. Raises SourceRejected when there is nothing to stage."""
        work = self.into / "work"
        work.mkdir(parents=True, exist_ok=True)
        try:
            self.emit(Progress("find", "", 0, 0))
            found = discover(paths, work=work)
            connection = connect(work, self.options.memory_limit)
            try:
                return self._stage(found, connection, work)
            finally:
                connection.close()
        except (OSError, duckdb.Error) as error:
            raise _fatal(error, self.into) from error
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _stage(self, found: list[Found], connection: duckdb.DuckDBPyConnection, work: Path) -> Staged:
        reader = Reader(connection, work, self.options.source, dict(self.options.rates))
        looked = self._look(reader, found)
        bills = self._read(reader, looked)
        if not bills:
            raise _nothing(self.rejected)
        answers = self._answers(connection, bills)
        meanings.write_table(connection, answers, work / "meaning.json")
        rules = self.options.attribution or AttributionRules.load()
        rules_hash = _digest(self.classifier_hash, rules.rules_hash, MAPPING_VERSION)
        writer = Writer(connection, self.into, self.options, rules, rules_hash)
        tallies = writer.tally(bills)
        total, done = sum(bill.rows for bill in bills), 0
        for bill in bills:
            self.emit(Progress("write", bill.name, done, total, done))
            writer.write(bill, tallies)
            done += bill.rows
        self.emit(Progress("write", "", total, total, total))
        return Staged(self.into, tuple(writer.finish(item) for item in tallies), tuple(self.rejected))

    def _look(self, reader: Reader, found: Sequence[Found]) -> list[tuple[Found, Opened, Format]]:
        looked: list[tuple[Found, Opened, Format]] = []
        for item in found:
            try:
                opened, form = reader.look(item.local, item.bill)
            except SourceRejected as error:
                self._reject(item, error)
            except duckdb.Error as error:
                self._reject(item, _told(error, item, self.into))
            else:
                looked.append((item, opened, form))
        return looked

    def _read(self, reader: Reader, looked: Sequence[tuple[Found, Opened, Format]]) -> list[BillRead]:
        bills: list[BillRead] = []
        total, done, counted = sum(item.bill.size for item, _, _ in looked), 0, 0
        for number, (item, opened, form) in enumerate(looked, start=1):
            self.emit(Progress("read", item.local.name, done, total, counted))
            try:
                bill = reader.read(opened, item.bill, form=form, number=number)
            except SourceRejected as error:
                self._reject(item, error)
            except duckdb.Error as error:
                self._reject(item, _told(error, item, self.into))
            else:
                bills.append(bill)
                counted += bill.rows
            done += item.bill.size
        self.emit(Progress("read", "", total, total, counted))
        return bills

    def _reject(self, item: Found, error: Error) -> None:
        self.rejected.append(Rejected(item.bill.url or str(item.bill.path), error.message, error.hint))

    def _answers(
        self, connection: duckdb.DuckDBPyConnection, bills: Sequence[BillRead]
    ) -> list[tuple[Key, meanings.Meaning, bool]]:
        keys = ", ".join(rows.KEYS)
        union = " UNION ALL ".join(
            f"SELECT {keys}, unit_price, billing_currency FROM {bill.census} WHERE problem IS NULL" for bill in bills
        )
        asked = connection.execute(
            f"SELECT {keys}, max(unit_price), min(billing_currency) FROM ({union}) GROUP BY {keys}"
        )
        answers: list[tuple[Key, meanings.Meaning, bool]] = []
        while batch := asked.fetchmany(10_000):
            for row in batch:
                question = Asked(tuple(row[: len(rows.KEYS)]), row[-2], row[-1] or "")
                about_ai = meanings.is_ai(self.classifier, question)
                if about_ai or self.options.all_services:
                    answers.append((question.key, meanings.ask(self.classifier, question), about_ai))
        return answers


def connect(work: Path, memory_limit: str) -> duckdb.DuckDBPyConnection:
    """A database in memory that spills to `work`, counts in UTC and knows the macros of the formats."""
    connection = duckdb.connect(config={"memory_limit": memory_limit, "temp_directory": str(work / "spill")})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET preserve_insertion_order = false")
    connection.execute("SET enable_progress_bar = false")
    connection.execute("SET autoload_known_extensions = false")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute(rows.macros())
    # The views of the second pass name it before it is filled.
    meanings.create_table(connection)
    return connection


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _told(error: duckdb.Error, item: Found, into: Path) -> Error:
    if _is_fatal(error):
        raise _fatal(error, into) from error
    return explained(error, item.bill.url or item.local.name)


def _is_fatal(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return isinstance(error, duckdb.OutOfMemoryException) or any(word in str(error) for word in _FULL_WORDS)


def _fatal(error: BaseException, into: Path) -> Error:
    if isinstance(error, duckdb.OutOfMemoryException) and "max_temp_directory_size" not in str(error):
        return Error(
            "The memory limit is too low for these files.",
            hint=f"Give a higher memory limit. The reader says: {rows.one_line(error)}",
        )
    if _is_fatal(error):
        return Error(
            f"The disk that holds {into} is full; nothing was loaded.",
            hint="Free some space, or put the data directory on a larger disk, and run it again.",
        )
    return Error("The files could not be staged.", hint=f"The reader says: {rows.one_line(error)}")


def _nothing(rejected: Sequence[Rejected]) -> SourceRejected:
    if not rejected:
        return SourceRejected("There is no bill file in what was given.", hint="Give files, folders, globs or URLs.")
    first = rejected[0]
    if len(rejected) == 1:
        return SourceRejected(first.message, hint=first.hint)
    return SourceRejected(f"None of the {len(rejected)} files could be read. {first.message}", hint=first.hint)


