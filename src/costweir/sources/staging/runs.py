"""Which files of a slot count when more than one run of an export, or a copy of a file, feeds it.

Law: nothing is counted twice. The newest run wins where it holds what the older one holds; where that cannot
be told, the slot is refused.
"""

# The SQL is made of our own names, quoted identifiers and literals.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import combinations, pairwise
from pathlib import PurePosixPath

import duckdb

from costweir.sources.formats.format import BillFile
from costweir.sources.manifests import place_of, stamp_of
from costweir.sources.staging import rows
from costweir.sources.staging.reading import BillRead, SlotKey

#: File times nearer than this come from copying, and do not say which run is newer.
APART = timedelta(minutes=1)
#: Two files are copies of each other when this share of the rows of the smaller one is in the other.
ALIKE = 0.9
#: Files of different length are compared from this many rows on; a short file may well repeat some lines.
ALIKE_ROWS = 100
#: About so many rows of a file are compared, chosen by their hash.
_SAMPLE = 50_000
_HINT = "Give the files of one run only."

#: What makes two rows the same. Ids of lines are left out, because a new run gives new ones.
_ROW = (
    "sub_account_id", "charge_period_start", "charge_category", "line_service", "line_text", "resource_id",
    "pricing_quantity", "billed_cost", "x_operation", "line_tags",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refused:
    """A slot that cannot be loaded, and why in one sentence with a hint."""

    slot: SlotKey
    message: str
    hint: str


@dataclass(slots=True)
class Settled:
    """`dropped` are the slots that each file, by its number, must not feed."""

    dropped: dict[int, set[SlotKey]] = field(default_factory=dict[int, "set[SlotKey]"])
    refused: list[Refused] = field(default_factory=list[Refused])

    def drop(self, bills: Sequence[BillRead], slot: SlotKey) -> None:
        """Notes that `bills` do not count for `slot`."""
        for bill in bills:
            self.dropped.setdefault(bill.number, set()).add(slot)


@dataclass(slots=True)
class Run:
    """The files of one run in one slot. `stated` tells whether `at` is the provider's word or a file
    time."""

    root: str
    month: str
    name: str
    at: datetime
    stated: bool
    #: Whether each run holds its whole month, as AWS delivers them.
    whole: bool
    bills: list[BillRead] = field(default_factory=list[BillRead])
    last_day: date = date.min

    @property
    def export(self) -> str:
        """The name of the export, which is the last folder of its root."""
        return PurePosixPath(self.root).name

    def __str__(self) -> str:
        """The folder and the id, for messages."""
        return "/".join(part for part in (self.export, self.month, self.name) if part)


def run_key(file: BillFile) -> tuple[str, str, str] | None:
    """Export, month and run of a file by its manifest and its folders, or None when neither says
    anything."""
    place = place_of(file.path)
    if not place.month:
        return (place.root, "", file.run) if file.run else None
    return place.root, place.month, file.run or "/".join(place.tail[:-1])


def settle(connection: duckdb.DuckDBPyConnection, bills: Sequence[BillRead]) -> Settled:
    """Decides for every slot which files count. Needs the slots and the census of each file."""
    settled = Settled()
    by_slot: dict[SlotKey, list[BillRead]] = {}
    for bill in bills:
        for slot in bill.slots:
            by_slot.setdefault(slot, []).append(bill)
    for slot, fed in sorted(by_slot.items()):
        if len(fed) > 1 and len({bill.form.source for bill in fed}) == 1:
            left = _newest(connection, slot, fed, settled)
            _without_copies(connection, slot, left, settled)
    return settled


def _newest(
    connection: duckdb.DuckDBPyConnection, slot: SlotKey, fed: Sequence[BillRead], settled: Settled
) -> list[BillRead]:
    runs = _runs(connection, slot, fed)
    reach = _Reach(connection, slot)
    kept: list[Run] = []
    gone: set[int] = set()
    for run in _newest_first(runs):
        outcome = ""
        for other in kept:
            outcome = _judged(run, other, reach)
            if outcome:
                break
        if not outcome:
            kept.append(run)
        elif outcome == _OLDER:
            settled.drop(run.bills, slot)
            gone |= {bill.number for bill in run.bills}
        else:
            settled.refused.append(Refused(slot, f"{outcome}: the bill of {' '.join(slot)}.", _HINT))
            return []
    return [bill for bill in fed if bill.number not in gone]


_OLDER = "older"


def _newest_first(runs: list[Run]) -> list[Run]:
    """By their times; times that only come from copying give way to how far into the month a run reaches."""
    times = sorted(run.at for run in runs if not run.stated)
    if len(times) == len(runs) and all(later - sooner < APART for sooner, later in pairwise(times)):
        return sorted(runs, key=lambda run: (run.last_day, run.at, run.name), reverse=True)
    return sorted(runs, key=lambda run: (run.at, run.name), reverse=True)


def _judged(run: Run, other: Run, reach: _Reach) -> str:
    """What becomes of `run` beside `other`: an empty text when both count, _OLDER, or why neither does."""
    if run.root == other.root and run.month != other.month:
        return ""
    same_export = run.whole and other.whole and run.export == other.export
    if run.root != other.root:
        if not reach.meet(run, other, by_day=not (run.whole and other.whole)):
            return ""
        if not same_export and not reach.holds(other, run):
            return f"{run} and {other} overlap, and the newer one does not hold all days of the older one"
    if _told(run, other):
        return _OLDER
    return f"{run} and {other} are two runs of one month, and neither a manifest nor a folder says which is newer"


def _told(run: Run, other: Run) -> bool:
    """Whether it is certain that `run` is the older one; `other` does not come before it."""
    if run.stated and other.stated:
        return run.at < other.at
    if run.stated != other.stated:
        # A file is never older than the run that wrote it, so that its time only proves that it is old.
        return other.stated and run.at <= other.at
    if abs(other.at - run.at) >= APART:
        return run.at < other.at and not (run.whole and run.last_day > other.last_day)
    return run.whole and other.whole and run.last_day < other.last_day


class _Reach:
    """The linked accounts and days of runs, read once and only when they are asked for."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, slot: SlotKey) -> None:
        self._connection = connection
        self._slot = slot
        self._known: dict[int, set[tuple[str, date]]] = {}

    def of(self, run: Run) -> set[tuple[str, date]]:
        """Every linked account with every day on which it has a line."""
        return set[tuple[str, date]]().union(*map(self._of_bill, run.bills))

    def _of_bill(self, bill: BillRead) -> set[tuple[str, date]]:
        if bill.number not in self._known:
            found = self._connection.execute(
                "SELECT DISTINCT coalesce(sub_account_id, ''), charge_period_start::DATE "
                f"FROM {bill.every_row()} WHERE charge_period_start IS NOT NULL "
                "AND x_provider = ? AND x_account = ? AND x_period = ?",
                list(self._slot),
            ).fetchall()
            self._known[bill.number] = {(str(account), day) for account, day in found}
        return self._known[bill.number]

    def meet(self, run: Run, other: Run, *, by_day: bool) -> bool:
        """Whether both have lines of one linked account, and with `by_day` of one day of it."""
        one, two = self.of(run), self.of(other)
        if by_day:
            return not one.isdisjoint(two)
        return not {account for account, _ in one}.isdisjoint(account for account, _ in two)

    def holds(self, run: Run, other: Run) -> bool:
        """Whether `run` has a line wherever `other` has one."""
        return self.of(run) >= self.of(other)


def _runs(connection: duckdb.DuckDBPyConnection, slot: SlotKey, fed: Sequence[BillRead]) -> list[Run]:
    found: dict[tuple[str, str, str], Run] = {}
    for bill in fed:
        key = run_key(bill.file)
        if key is None:
            continue
        stated = bill.file.run_at or stamp_of(key[2])
        at = stated or bill.file.modified or datetime.min.replace(tzinfo=UTC)
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        whole = bill.form.provider == "aws" and bool(key[1])
        run = found.setdefault(key, Run(*key, at, stated is not None, whole))
        run.at = max(run.at, at)
        run.bills.append(bill)
    if len(found) > 1:
        for run in found.values():
            run.last_day = max(_last_day(connection, slot, bill) for bill in run.bills)
    return list(found.values())


def _last_day(connection: duckdb.DuckDBPyConnection, slot: SlotKey, bill: BillRead) -> date:
    row = connection.execute(
        f"SELECT max(last_day) FROM {bill.census} WHERE problem IS NULL "
        "AND x_provider = ? AND x_account = ? AND x_period = ?",
        list(slot),
    ).fetchone()
    return row[0] if row and row[0] is not None else date.min


def _without_copies(
    connection: duckdb.DuckDBPyConnection, slot: SlotKey, fed: Sequence[BillRead], settled: Settled
) -> None:
    """Leaves out files whose content is there already, and refuses the slot for near copies."""
    first: dict[str, BillRead] = {}
    # A file that belongs to a run stays, and its copy without one goes.
    for bill in sorted(fed, key=lambda item: (run_key(item.file) is None, item.number)):
        if bill.file.content_hash in first:
            settled.drop([bill], slot)
        else:
            first[bill.file.content_hash] = bill
    for one, two in combinations(first.values(), 2):
        if not _may_be_copies(connection, one, two):
            continue
        every = max(1, max(one.rows, two.rows) // _SAMPLE)
        left, right = (_hashes(connection, bill, every) for bill in (one, two))
        if _share(left, right) >= ALIKE:
            settled.refused.append(
                Refused(
                    slot,
                    f"{one.full_name} and {two.full_name} are nearly the same rows of the bill of "
                    f"{' '.join(slot)}, and adding both would count them twice.",
                    "Give one of the two files.",
                )
            )
            return


def _may_be_copies(connection: duckdb.DuckDBPyConnection, one: BillRead, two: BillRead) -> bool:
    """A cheap look at the counts: parts of one run are trusted, and copies have the same strings as
    often."""
    key = run_key(one.file)
    if key is not None and key == run_key(two.file) and one.file.run:
        return False
    if one.rows != two.rows and min(one.rows, two.rows) < ALIKE_ROWS:
        return False
    keys = ", ".join(rows.KEYS)
    counts = [f"(SELECT {keys}, sum(n) AS n FROM {bill.census} GROUP BY ALL)" for bill in (one, two)]
    row = connection.execute(
        f"SELECT coalesce(sum(least(a.n, b.n)), 0)::BIGINT FROM {counts[0]} a JOIN {counts[1]} b USING ({keys})"
    ).fetchone()
    return row is not None and int(row[0]) >= ALIKE * min(one.rows, two.rows)


def _hashes(connection: duckdb.DuckDBPyConnection, bill: BillRead, every: int) -> Mapping[int, int]:
    """How often each row occurs, of those rows whose hash `every` divides."""
    found = connection.execute(
        f"SELECT h, count(*) FROM (SELECT hash({', '.join(f'{name}::VARCHAR' for name in _ROW)}) AS h "
        f"FROM {bill.every_row()}) WHERE h % {every} = 0 GROUP BY h"
    ).fetchall()
    return {int(row[0]): int(row[1]) for row in found}


def _share(one: Mapping[int, int], two: Mapping[int, int]) -> float:
    both = sum(min(count, two.get(row, 0)) for row, count in one.items())
    least = min(sum(one.values()), sum(two.values()))
    return both / least if least else 0.0
