"""The warehouse port. It keeps law L2: loading a bill period again replaces it, in one step that cannot be
half done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal, Protocol

#: What a query may return in a cell, before it becomes text for the wire.
Value = str | int | bool | Decimal | date | datetime | None
#: What a query may take as a parameter.
Parameter = str | int | bool | Decimal | date | datetime | None


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """The replace key: one provider's bill for one account and one invoice month (`YYYY-MM`).

    The reader is not part of it, so that a CUR and a FOCUS export of the same bill replace each other instead
    of being added up.
    """

    provider: str
    account: str
    period: str


@dataclass(frozen=True, slots=True)
class Load:
    """What is stored for one slot: where it came from and the counts that prove nothing was dropped (law L7).

    `rows_in = rows_stored + rows_skipped + rows_quarantined`. `billed_total` is the sum of the stored rows
    and `file_total` the plain sum of the file for this slot, both in `currency` ("" when the rows mix
    currencies; the totals are then in USD where every row has a rate, else per-row sums without meaning are
    avoided and are 0).
    """

    run_id: str
    source: str
    slot: Slot
    loaded_at: datetime
    rows_in: int
    rows_stored: int
    rows_skipped: int
    rows_quarantined: int
    billed_total: Decimal
    file_total: Decimal
    currency: str
    content_hash: str
    rules_hash: str = ""
    first_day: date | None = None
    last_day: date | None = None
    sample: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """Lines of one slot that get another meaning: `found` are their columns of `remapping.FOUND` as they are stored,
    `meaning` the columns of `remapping.MEANT` as they shall be. `tokens_per_unit` is empty where the unit is not
    tokens, and `lines` how many there are."""

    found: Mapping[str, Value]
    meaning: Mapping[str, Value]
    tokens_per_unit: int | None
    lines: int


@dataclass(frozen=True, slots=True)
class Remap:
    """A change of meaning in one slot, under the id that its adjustments are found by."""

    run_id: str
    slot: Slot
    at: datetime
    moves: Sequence[Move]


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a query with their column names."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]

    def records(self) -> list[dict[str, Value]]:
        """The rows as dictionaries."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do, as data. Shared code reads this and never asks for an engine's name."""

    dialect: str
    max_decimal_digits: int
    transactions: bool
    many_processes: bool
    reads_parquet: bool


class Reader(Protocol):
    """Something that answers SELECTs."""

    def query(self, sql: str, params: Mapping[str, Parameter] | None = None) -> Table:
        """Runs one SELECT in the restricted dialect; parameters are written `$name`."""
        ...


class Warehouse(Reader, Protocol):
    """The verbs that an engine implements. Every method may be called from several threads."""

    @property
    def capabilities(self) -> Capabilities:
        """What this engine can do."""
        ...

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written, known after `migrate`."""
        ...

    def migrate(self) -> None:
        """Brings the schema to this version, forward only. Raises Conflict when the store is from a newer
        version."""
        ...

    def claim(self, slot: Slot) -> AbstractContextManager[None]:
        """Keeps other processes from loading the same slot until the end of the `with`, so that what was decided on
        what is stored still holds when it is stored. Raises StoreLocked when another load takes too long."""
        ...

    def replace(self, load: Load, *, charges: Path, quarantine: Path | None = None) -> None:
        """Replaces everything stored for `load.slot` by the staged Parquet, its quarantined rows, its roll-up
        and its `loads` row, in one transaction.

        `charges` is a file, or a folder of `*.parquet`, with exactly the columns of `CHARGE_COLUMNS`;
        `quarantine` holds `file, row_number, reason, raw`. Raises SourceRejected when the columns differ or a
        required value is missing, and CheckFailed when rows belong to another slot or their number is not the
        one `load` states; the store is then as it was.
        """
        ...

    def set_aside(self, load: Load, *, quarantine: Path) -> None:
        """Keeps the quarantined rows of a load that is not stored, until its slot is replaced or another one is set
        aside for it. What is stored stays as it is.

        Raises CheckFailed when their number is not the one `load` states.
        """
        ...

    def remap(self, remap: Remap) -> None:
        """Gives stored lines of one slot another meaning, and keeps what that moved as adjustments, in one
        transaction. No amount changes.

        Raises Conflict when the lines are not those that `remap` names; the store is then as it was.
        """
        ...

    def mirror(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        """Replaces one small reference table (customers, plans, budgets, customer_approved_models)."""
        ...

    def append(self, calls: Sequence[Mapping[str, Value]]) -> int:
        """Adds calls that are not there yet (by `call_id`) and returns how many were new. A call that comes again has
        the `started_at` that it had: the months are looked up by it."""
        ...

    def adjust(self, adjustments: Sequence[Mapping[str, Value]]) -> int:
        """Adds the later prices of calls that are not there yet (by `call_id` and `step`), in one transaction, and
        returns how many were new. The calls stay as they were."""
        ...

    def expire(self, facts: Literal["charges", "calls"], *, before: date) -> int:
        """Lets every line (or call) before a day go and returns how many; the sums by day stay, and so does every
        total that is answered from them. Notes in `kept` from which day on the table is whole.

        Raises UsageError unless `before` is the first day of a month.
        """
        ...

    def snapshot(self) -> AbstractContextManager[Reader]:
        """A reader whose queries all see the same state, whatever is replaced meanwhile."""
        ...

    def close(self) -> None:
        """Releases the store. A second call does nothing."""
        ...
