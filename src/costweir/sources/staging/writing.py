"""The second pass: gives every slot its run, and writes its charges and its quarantine as Parquet (law
L7)."""

# The SQL is made of our own names, quoted identifiers and literals.
# ruff: noqa: S608

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import cast

import duckdb

from costweir.errors import Error
from costweir.sources.attribution import AttributionRules
from costweir.sources.formats.format import literal
from costweir.sources.staging import rates, rows
from costweir.sources.staging.opening import NO_RECORD
from costweir.sources.staging.reading import Batch, BillRead
from costweir.sources.staging.result import StagedSlot, StageOptions
from costweir.store.warehouse import Load, Slot

_CHARGES = "FORMAT parquet, COMPRESSION lz4_raw, ROW_GROUP_SIZE 24576"
#: Rows that one thread maps at a time; all threads shall have some.
_GATHERED_ROWS = 8192


@dataclass(slots=True)
class SlotTally:
    """What is known of a slot so far, over all its files."""

    slot: Slot
    number: int
    run_id: str
    source: str
    rows_in: int = 0
    stored: int = 0
    quarantined: int = 0
    #: currency -> [sum of the files, sum of what is stored]
    money: dict[str, list[Decimal]] = field(default_factory=dict[str, "list[Decimal]"])
    usd: list[Decimal] = field(default_factory=lambda: [Decimal(0), Decimal(0)])
    without_rate: int = 0
    days: list[date] = field(default_factory=list[date])
    files: list[BillRead] = field(default_factory=list[BillRead])

    def totals(self) -> tuple[Decimal, Decimal, str]:
        """Billed total, file total and their currency: the only one, else USD when every row has a rate,
        else 0."""
        if len(self.money) == 1:
            ((currency, (whole, stored)),) = self.money.items()
            return stored, whole, currency
        if self.without_rate:
            return Decimal(0), Decimal(0), ""
        return self.usd[1], self.usd[0], ""


def run_id(now: datetime) -> str:
    """A name for a run that sorts by time: `run_`, 48 bits of milliseconds and 40 random bits in
    hexadecimal."""
    return f"run_{int(now.timestamp() * 1000):012x}{secrets.token_hex(5)}"


@dataclass(slots=True)
class Writer:
    """Writes the slots of a set of files that were read. `rules_hash` says by which rules."""

    connection: duckdb.DuckDBPyConnection
    into: Path
    options: StageOptions
    rules: AttributionRules
    rules_hash: str
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def tally(self, bills: Sequence[BillRead]) -> list[SlotTally]:
        """The slots that the files feed. Needs the table `meaning`; leaves the table `slots` behind."""
        found: dict[Slot, SlotTally] = {}
        for bill in bills:
            self._count(bill, found)
        self.connection.execute(
            "CREATE OR REPLACE TEMP TABLE slots (slot_no INTEGER, run_id VARCHAR, provider VARCHAR, "
            "account VARCHAR, period VARCHAR)"
        )
        for item in found.values():
            key = item.slot
            self.connection.execute(
                "INSERT INTO slots VALUES (?, ?, ?, ?, ?)",
                [item.number, item.run_id, key.provider, key.account, key.period],
            )
        return list(found.values())

    def _count(self, bill: BillRead, found: dict[Slot, SlotTally]) -> None:
        lines = self.connection.execute(rows.slot_totals(bill.census)).fetchall()
        counted = [(Slot(*map(str, line[:3])), str(line[3]), line[4:]) for line in lines]
        good: dict[Slot, int] = {}
        for slot, _, numbers in counted:
            readable = int(numbers[0]) - int(numbers[1])
            if readable:
                good[slot] = good.get(slot, 0) + readable
        most = max(good, key=lambda slot: good[slot])
        for slot, currency, numbers in counted:
            # Unreadable rows alone must not make a slot, or they would replace what is stored for another
            # month.
            home = found.setdefault(
                slot if slot in good else most, self._fresh(slot if slot in good else most, bill, found)
            )
            self._add(home, currency, numbers)
            if bill not in home.files:
                home.files.append(bill)
        home = found[most]
        home.rows_in += len(bill.malformed)
        home.quarantined += len(bill.malformed)
        bill.home = home.number

    def _fresh(self, slot: Slot, bill: BillRead, found: dict[Slot, SlotTally]) -> SlotTally:
        return SlotTally(slot, len(found) + 1, run_id(self.now), bill.form.source)

    @staticmethod
    def _add(home: SlotTally, currency: str, numbers: Sequence[object]) -> None:
        rows_in, unreadable, stored, billed, kept, usd, usd_kept, without, first, last = numbers
        home.rows_in += cast("int", rows_in)
        home.quarantined += cast("int", unreadable)
        home.stored += cast("int", stored)
        home.without_rate += cast("int", without)
        if currency != "None":
            sums = home.money.setdefault(currency, [Decimal(0), Decimal(0)])
            sums[0] += cast("Decimal", billed)
            sums[1] += cast("Decimal", kept)
        home.usd[0] += cast("Decimal", usd)
        home.usd[1] += cast("Decimal", usd_kept)
        home.days.extend(cast("date", day) for day in (first, last) if day is not None)

    def write(self, batch: Batch, bills: Sequence[BillRead], tallies: Sequence[SlotTally]) -> None:
        """Writes the charges of those files of a batch into the folders of their slots, and keeps their
        unreadable rows."""
        numbers = {bill.number for bill in bills}
        fed = [item for item in tallies if any(bill.number in numbers for bill in item.files)]
        names = [bill.name for bill in batch.bills]
        gathered = self._gathered(batch)
        raw = f"read_parquet({literal(str(gathered))})" if gathered else batch.known
        known = batch.counted(batch.mapped(raw), bills)
        select = rows.charges(known, self.rules, source=bills[0].form.source, files=names)
        if len(fed) == 1:
            folder = self.charges_of(fed[0])
            folder.mkdir(parents=True, exist_ok=True)
            target = folder / f"part-{batch.number:05d}.parquet"
            self.connection.execute(
                f"COPY (SELECT * EXCLUDE slot_no FROM ({select})) TO {literal(str(target))} ({_CHARGES})"
            )
        else:
            target = self.into / "charges"
            self.connection.execute(
                f"COPY ({select}) TO {literal(str(target))} ({_CHARGES}, "
                "PARTITION_BY (slot_no), OVERWRITE_OR_IGNORE true, "
                f"FILENAME_PATTERN 'part-{batch.number:05d}-{{i}}')"
            )
        if gathered:
            gathered.unlink()
        if any(bill.malformed for bill in bills) or any(item.quarantined for item in fed):
            self._keep_unreadable(batch, bills)

    def _gathered(self, batch: Batch) -> Path | None:
        """The raw rows that are kept, in a file of their own, where they are few among many; else None.

        A filter leaves a few rows in each block, and the hundreds of expressions of a charge cost as much for
        a block of few rows as for a full one. Of a file that was sifted hardly any others are left.
        """
        if any(bill.sifted for bill in batch.bills):
            return None
        kept = self._one(
            f"SELECT coalesce(sum(n), 0)::BIGINT FROM {batch.census} SEMI JOIN meaning "
            f"USING ({', '.join(rows.KEYS)})"
        )
        if 2 * kept > sum(bill.rows for bill in batch.bills):
            return None
        target = self.into / "work" / f"kept_{batch.number}.parquet"
        self.connection.execute(
            f"COPY (SELECT * FROM {batch.known}) TO {literal(str(target))} "
            f"(FORMAT parquet, COMPRESSION lz4_raw, ROW_GROUP_SIZE {_GATHERED_ROWS})"
        )
        return target

    def _keep_unreadable(self, batch: Batch, bills: Sequence[BillRead]) -> None:
        self.connection.execute(
            "CREATE TEMP TABLE IF NOT EXISTS unreadable "
            "(slot_no INTEGER, file VARCHAR, row_number BIGINT, reason VARCHAR, raw VARCHAR)"
        )
        select = rows.quarantined(
            batch.counted(batch.view, bills),
            batch.relation,
            columns=bills[0].columns,
            files=[bill.name for bill in batch.bills],
            no_record=NO_RECORD if bills[0].kind == "json" else "",
        )
        home = rows.by_index([str(bill.home) for bill in batch.bills])
        self.connection.execute(
            f"INSERT INTO unreadable SELECT coalesce(slot_no, {home}), file, row_number, reason, raw "
            f"FROM ({select})"
        )
        for bill in bills:
            for number, reason, raw in bill.malformed:
                self.connection.execute(
                    "INSERT INTO unreadable VALUES (?, ?, ?, ?, ?)",
                    [bill.home, bill.name, number, reason, raw],
                )

    def charges_of(self, item: SlotTally) -> Path:
        """The folder of a slot's charges while they are written; DuckDB names the folders of a partition
        so."""
        return self.into / "charges" / f"slot_no={item.number}"

    def finish(self, item: SlotTally) -> StagedSlot:
        """Checks that what was written is what was counted, and says what the slot holds."""
        # A name without "=" keeps readers from taking the folder for a column.
        folder = self.into / "charges" / f"slot-{item.number}"
        if self.charges_of(item).is_dir():
            self.charges_of(item).rename(folder)
        self._empty_file(folder)
        written = self._one(
            f"SELECT coalesce(sum(num_rows), 0)::BIGINT FROM parquet_file_metadata({_glob(folder)})"
        )
        quarantine = self._quarantine(item)
        if written != item.stored:
            raise Error(
                f"{item.stored} rows of {item.slot.provider} {item.slot.account} {item.slot.period} "
                f"were counted and {written} written.",
                hint="This is a defect of Costweir; please report it with the format of the file.",
            )
        billed, whole, currency = item.totals()
        hashes = sorted({bill.file.content_hash for bill in item.files})
        load = Load(
            run_id=item.run_id,
            source=item.source,
            slot=item.slot,
            loaded_at=self.now,
            rows_in=item.rows_in,
            rows_stored=item.stored,
            rows_skipped=item.rows_in - item.stored - item.quarantined,
            rows_quarantined=item.quarantined,
            billed_total=billed,
            file_total=whole,
            currency=currency,
            content_hash=hashlib.sha256("\n".join(hashes).encode()).hexdigest(),
            rules_hash=self._rules_hash(item),
            first_day=min(item.days, default=None),
            last_day=max(item.days, default=None),
            sample=self.options.sample,
        )
        names = tuple(sorted({bill.file.url or str(bill.file.path) for bill in item.files}))
        return StagedSlot(load, folder, quarantine, names)

    def _rules_hash(self, item: SlotTally) -> str:
        """The rules with the currency rates that the slot used: a corrected rate makes the bill load again."""
        used = rates.applied(self.options.rates, list(item.money), item.slot.period)
        return hashlib.sha256(f"{self.rules_hash}\n{used}".encode()).hexdigest() if used else self.rules_hash

    def _empty_file(self, folder: Path) -> None:
        if folder.is_dir() and any(folder.iterdir()):
            return
        folder.mkdir(parents=True, exist_ok=True)
        columns = ", ".join(f"NULL::{rows.TYPES[c.kind]} AS {c.name}" for c in rows.CHARGE_COLUMNS)
        target = literal(str(folder / "part-none.parquet"))
        self.connection.execute(f"COPY (SELECT {columns} LIMIT 0) TO {target} ({_CHARGES})")

    def _quarantine(self, item: SlotTally) -> Path | None:
        if not item.quarantined:
            return None
        target = self.into / f"quarantine-{item.number}.parquet"
        self.connection.execute(
            "COPY (SELECT file, row_number, reason, raw FROM unreadable WHERE slot_no = "
            f"{item.number} ORDER BY file, row_number) TO {literal(str(target))} (FORMAT parquet)"
        )
        kept = self._one(f"SELECT count(*) FROM read_parquet({literal(str(target))})")
        if kept != item.quarantined:
            raise Error(
                f"{item.quarantined} rows were set aside and {kept} written.",
                hint="This is a defect of Costweir; please report it with the format of the file.",
            )
        return target

    def _one(self, sql: str) -> int:
        row = self.connection.execute(sql).fetchone()
        return int(row[0]) if row else 0


def _glob(folder: Path) -> str:
    return literal(str(folder / "*.parquet"))
