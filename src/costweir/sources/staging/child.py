"""The run of the child process: files in, one folder of Parquet per slot out, and a reason for every file
left out."""

# The SQL is made of our own names, quoted identifiers and literals.
# ruff: noqa: S608

from __future__ import annotations

import errno
import hashlib
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import duckdb

from costweir.errors import Error, SourceRejected
from costweir.sources.attribution import AttributionRules
from costweir.sources.discover import Discovery, Found, discover
from costweir.sources.formats.format import Format
from costweir.sources.staging import meanings, rows, runs
from costweir.sources.staging.meanings import Asked, Key, Knows
from costweir.sources.staging.opening import Opened
from costweir.sources.staging.reading import BillRead, Reader, batches, by_batch, explained
from costweir.sources.staging.result import Progress, Rejected, Staged, StageOptions
from costweir.sources.staging.runs import SlotKey
from costweir.sources.staging.writing import Writer

#: Part of every rules hash: raise it when the mapping of columns changes what a load would give.
MAPPING_VERSION = "2"

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_WORDS = ("No space left", "Disk quota exceeded", "File too large", "max_temp_directory_size")


_NUMBERS = re.compile(r"[0-9a-f]{8}[0-9a-f-]*|\d+")


@dataclass(frozen=True, slots=True)
class Looked:
    """A file that was opened and recognised."""

    found: Found
    opened: Opened
    form: Format


@dataclass(slots=True)
class Job:
    """One run. `classifier` gives `classify`, `is_ai` and `rules_hash`."""

    into: Path
    options: StageOptions
    classifier: Knows
    classifier_hash: str
    emit: Callable[[Progress], None]
    rejected: list[Rejected] = field(default_factory=list[Rejected])
    looked: dict[int, Looked] = field(default_factory=dict[int, Looked])
    #: What is known of rejected files: the slots they would have fed, and what their neighbours are called.
    broken_slots: set[SlotKey] = field(default_factory=set[SlotKey])
    broken_names: dict[str, str] = field(default_factory=dict[str, str])
    #: Slots that would be counted twice, each with the sentence and the hint.
    refused_slots: dict[SlotKey, tuple[str, str]] = field(default_factory=dict[SlotKey, tuple[str, str]])

    def run(self, paths: Sequence[str]) -> Staged:
        """Stages every file that can be. Raises SourceRejected when there is nothing to stage."""
        work = self.into / "work"
        work.mkdir(parents=True, exist_ok=True)
        try:
            self.emit(Progress("find", "", 0, 0))
            # The database starts while the files are hashed.
            with ThreadPoolExecutor(1) as pool:
                starting = pool.submit(connect, work, self.options.memory_limit)
                found = discover(
                    paths, work=work, progress=lambda name, size: self.emit(Progress("fetch", name, 0, size))
                )
            with closing(starting.result()) as connection:
                return self._stage(found, connection, work)
        except (OSError, duckdb.Error) as error:
            raise _fatal(error, self.into) from error
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _stage(self, found: Discovery, connection: duckdb.DuckDBPyConnection, work: Path) -> Staged:
        passes = None if self.options.all_services else partial(meanings.is_passed, self.classifier)
        reader = Reader(connection, work, self.options.source, dict(self.options.rates), passes)
        for item, error in found.refused:
            self._reject(item, error)
        bills = self._read(reader, self._counting(self._look(reader, found.files)))
        bills = self._complete(connection, self._counted(reader, bills))
        if not bills:
            raise _nothing(self.rejected)
        answers = self._answers(connection, bills)
        meanings.write_table(connection, answers, work / "meaning.json")
        rules = self.options.attribution or AttributionRules.load()
        rules_hash = _digest(self.classifier_hash, rules.rules_hash, MAPPING_VERSION)
        writer = Writer(connection, self.into, self.options, rules, rules_hash)
        tallies = writer.tally(bills)
        total, done = sum(bill.rows for bill in bills), 0
        for batch, counted in by_batch(bills):
            self.emit(Progress("write", counted[0].name, done, total, done))
            writer.write(batch, counted, tallies)
            done += sum(bill.rows for bill in counted)
        self.emit(Progress("write", "", total, total, total))
        return Staged(self.into, tuple(writer.finish(item) for item in tallies), tuple(self.rejected))

    def _look(self, reader: Reader, found: Sequence[Found]) -> list[Looked]:
        looked: list[Looked] = []
        for item in found:
            try:
                opened, form = reader.look(item.local, item.bill)
            except SourceRejected as error:
                self._reject(item, error)
            except duckdb.Error as error:
                self._reject(item, _told(error, item, self.into))
            else:
                bill = replace(item.bill, header=opened.header)
                looked.append(Looked(replace(item, bill=bill), opened, form))
        return looked

    def _counting(self, looked: Sequence[Looked]) -> list[Looked]:
        """Without the runs that a newer run supersedes."""
        kept: list[Looked] = []
        for form in dict.fromkeys(item.form for item in looked):
            mine = [item for item in looked if item.form == form]
            try:
                chosen = {id(bill) for bill in form.keep([item.found.bill for item in mine])}
            except SourceRejected as error:
                for item in mine:
                    self._reject(item.found, error)
            else:
                kept.extend(item for item in mine if id(item.found.bill) in chosen)
        return kept

    def _read(self, reader: Reader, looked: Sequence[Looked]) -> list[BillRead]:
        bills: list[BillRead] = []
        total, done = sum(item.found.bill.size for item in looked), 0
        for number, item in enumerate(looked, start=1):
            self.emit(Progress("read", item.found.name, done, total))
            self.looked[number] = item
            try:
                bills.append(reader.read(item.opened, item.found.bill, form=item.form, number=number))
            except (SourceRejected, duckdb.Error) as error:
                self._broken(reader, number, error)
            done += item.found.bill.size
        return bills

    def _counted(self, reader: Reader, bills: Sequence[BillRead]) -> list[BillRead]:
        """The bills with their counts, without those that turn out to be broken."""
        counted: list[BillRead] = []
        waiting = batches(bills)
        number = 0
        while waiting:
            files, number = waiting.pop(0), number + 1
            try:
                reader.count(number, files)
            except duckdb.Error as error:
                if len(files) == 1:
                    self._broken(reader, files[0].number, error)
                else:
                    waiting[:0] = [[bill] for bill in files]
                continue
            for bill in files:
                try:
                    reader.check(bill)
                except SourceRejected as error:
                    self._broken(reader, bill.number, error)
                else:
                    counted.append(bill)
        total = sum(bill.file.size for bill in bills)
        self.emit(Progress("read", "", total, total, sum(bill.rows for bill in counted)))
        return counted

    def _broken(self, reader: Reader, number: int, error: SourceRejected | duckdb.Error) -> None:
        item = self.looked[number]
        said = error if isinstance(error, SourceRejected) else _told(error, item.found, self.into)
        self._reject(item.found, said)
        self.broken_slots |= reader.slots_of_head(item.opened, item.form)

    def _complete(self, connection: duckdb.DuckDBPyConnection, bills: list[BillRead]) -> list[BillRead]:
        """Without the files of a bill of which another file was rejected, or that was given in two
        formats."""
        sources: dict[SlotKey, set[str]] = {}
        for bill in bills:
            bill.slots = slots_of(connection, bill)
            for slot in bill.slots:
                sources.setdefault(slot, set()).add(bill.form.source)
        for slot, kinds in sources.items():
            if len(kinds) > 1:
                self.broken_slots.add(slot)
        left = self._settled(connection, bills)
        while True:
            out = [(bill, why) for bill in left if (why := self._why_incomplete(bill, sources))]
            if not out:
                return left
            for bill, (message, hint) in out:
                self.rejected.append(Rejected(bill.full_name, message, hint))
                left.remove(bill)
            for bill, _ in out:
                self.broken_slots |= bill.slots

    def _settled(self, connection: duckdb.DuckDBPyConnection, bills: Sequence[BillRead]) -> list[BillRead]:
        """Without the runs that a newer one supersedes; notes the slots of which that cannot be told."""
        settled = runs.settle(connection, bills)
        for refused in settled.refused:
            self.broken_slots.add(refused.slot)
            self.refused_slots[refused.slot] = (refused.message, refused.hint)
        for bill in bills:
            if gone := settled.dropped.get(bill.number):
                bill.slots -= gone
                bill.left_out |= gone
        return [bill for bill in bills if bill.slots or bill.number not in settled.dropped]

    def _why_incomplete(self, bill: BillRead, sources: Mapping[SlotKey, set[str]]) -> tuple[str, str] | None:
        twice = next((slot for slot in sorted(bill.slots) if len(sources[slot]) > 1), None)
        if twice is not None:
            kinds = " and as ".join(sorted(sources[twice]))
            return (
                f"The bill of {' '.join(twice)} was given as {kinds}, and adding both would count it twice.",
                "Give one of the two exports.",
            )
        said = next((slot for slot in sorted(bill.slots) if slot in self.refused_slots), None)
        if said is not None:
            return self.refused_slots[said]
        broken = next((slot for slot in sorted(bill.slots) if slot in self.broken_slots), None)
        neighbour = self.broken_names.get(_family(bill.full_name), "")
        if broken is None and not neighbour:
            return None
        which = " ".join(broken or min(bill.slots))
        part = f": {neighbour}" if neighbour else ""
        return (
            f"The bill of {which} was not loaded, because a part of it cannot be read{part}.",
            "Replace the part that cannot be read and give all files of the bill together.",
        )

    def _reject(self, item: Found, error: Error) -> None:
        self.rejected.append(Rejected(item.name, error.message, error.hint))
        self.broken_names[_family(item.name)] = item.name

    def _answers(
        self, connection: duckdb.DuckDBPyConnection, bills: Sequence[BillRead]
    ) -> list[tuple[Key, meanings.Meaning, bool]]:
        keys = ", ".join(rows.KEYS)
        union = " UNION ALL ".join(
            f"SELECT {keys}, unit_price, billing_currency "
            f"FROM {batch.counted(batch.census, counted)} WHERE problem IS NULL"
            for batch, counted in by_batch(bills)
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


def slots_of(connection: duckdb.DuckDBPyConnection, bill: BillRead) -> set[SlotKey]:
    """The slots that the readable rows of a file belong to."""
    found = connection.execute(
        f"SELECT DISTINCT {', '.join(rows.SLOT)} FROM {bill.census} WHERE problem IS NULL"
    ).fetchall()
    return {(str(row[0]), str(row[1]), str(row[2])) for row in found}


def _family(name: str) -> str:
    """What the parts of one bill have in common: the folder and the name without numbers and ids."""
    folder, _, last = name.rpartition("/")
    return f"{folder}/{_NUMBERS.sub('#', last)}"


def connect(work: Path, memory_limit: str) -> duckdb.DuckDBPyConnection:
    """A database in memory that spills to `work`, counts in UTC and knows the macros of the formats."""
    connection = duckdb.connect(config={"memory_limit": memory_limit, "temp_directory": str(work / "spill")})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET preserve_insertion_order = false")
    connection.execute("SET enable_progress_bar = false")
    connection.execute("SET autoload_known_extensions = false")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute(rows.macros())
    meanings.create_table(connection)
    return connection


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _told(error: duckdb.Error, item: Found, into: Path) -> Error:
    if _is_fatal(error):
        raise _fatal(error, into) from error
    return explained(error, item.name)


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
        return SourceRejected(
            "There is no bill file in what was given.", hint="Give files, folders, globs or URLs."
        )
    first = rejected[0]
    if len(rejected) == 1:
        return SourceRejected(first.message, hint=first.hint)
    return SourceRejected(
        f"None of the {len(rejected)} files could be read. {first.message}", hint=first.hint
    )
