"""Keeps the newest run of each Azure export and month. An export that does not overwrite leaves every run in
place, and each of them holds the month from its start, so that reading two would count the month twice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from costweir.errors import SourceRejected
from costweir.sources.formats.format import BillFile

#: `20261001-20261031`: the days that a run covers.
_RANGE = re.compile(r"(\d{8})-(\d{8})")
#: `202610051200`: when a run was written.
_STAMP = re.compile(r"(20\d{10})(\d{2})?")
_GUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_PART = re.compile(r"(?:[_-]?(?:part)?[_-]?\d+)+$", re.IGNORECASE)
_AMORTISED = re.compile(r"amorti[sz]ed", re.IGNORECASE)
_LONG_AGO = datetime(1, 1, 1)  # noqa: DTZ001  # instants are UTC without a zone


@dataclass(frozen=True, slots=True)
class _Run:
    """The files of one run: of which export, over which days, when, and which."""

    export: str
    since: date
    until: date
    at: datetime
    name: str
    files: tuple[BillFile, ...]

    def holds(self, other: _Run) -> bool:
        return self.since <= other.since and other.until <= self.until

    def meets(self, other: _Run) -> bool:
        return self.since <= other.until and other.since <= self.until


def newest_runs(files: Sequence[BillFile]) -> Sequence[BillFile]:
    """The files that count, in their old order. The parts of one run stay together.

    A run is dropped when a newer one covers the same days, or one of more days holds its days. Amortised
    exports are dropped where the same month lies next to them as actual cost. Files outside a folder named by
    its days are kept. Raises SourceRejected when two runs of one export overlap and neither holds the other.
    """
    runs, loose = _runs(files)
    kept: list[_Run] = []
    for run in sorted(runs, key=lambda r: (r.until - r.since, r.at, r.name), reverse=True):
        same = [other for other in kept if other.export == run.export]
        if any(other.holds(run) for other in same):
            continue
        clash = next((other for other in same if other.meets(run)), None)
        if clash is not None:
            raise SourceRejected(
                f"Two runs of the export {run.export} overlap: {_days(clash)} and {_days(run)}.",
                hint="Give the files of one of them; together they would count some days twice.",
            )
        kept.append(run)
    actual = [run for run in kept if not _AMORTISED.search(run.export)]
    counted = [run for run in kept if run in actual or not any(other.meets(run) for other in actual)]
    chosen = {id(file) for run in counted for file in run.files} | {id(file) for file in loose}
    return [file for file in files if id(file) in chosen]


def _days(run: _Run) -> str:
    return f"{run.since} to {run.until}"


def _runs(files: Sequence[BillFile]) -> tuple[list[_Run], list[BillFile]]:
    groups: dict[tuple[str, date, date, str], list[BillFile]] = {}
    loose: list[BillFile] = []
    for file in files:
        key = _place(file)
        if key is None:
            loose.append(file)
        else:
            groups.setdefault(key, []).append(file)
    runs = [_Run(*key[:3], max(map(_instant, found)), key[3], tuple(found)) for key, found in groups.items()]
    return runs, loose


def _place(file: BillFile) -> tuple[str, date, date, str] | None:
    """Export, first day, last day and run of a file, from where it lies: export/days/[time/]run/part."""
    parts = file.path.parts
    for index, part in enumerate(parts[:-1]):
        found = _RANGE.fullmatch(part)
        if found is None:
            continue
        try:
            since, until = (
                datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC).date() for text in found.groups()
            )
        except ValueError:
            continue
        return "/".join(parts[:index]), since, until, file.run or _run_name(parts[index + 1 :])
    return None


def _run_name(inner: Sequence[str]) -> str:
    """The run by its folders, else by the id in the file name, else by the name without the number of the
    part."""
    if len(inner) > 1:
        return "/".join(inner[:-1])
    guid = _GUID.search(inner[0])
    return guid[0].lower() if guid else _PART.sub("", inner[0].split(".", 1)[0])


def _instant(file: BillFile) -> datetime:
    """When the run of a file started: by its manifest, by the time in its folder, else when the file was
    written."""
    if file.run_at is not None:
        return _utc(file.run_at)
    for part in file.path.parts[:-1]:
        found = _STAMP.fullmatch(part)
        if found is not None:
            try:
                return _utc(datetime.strptime(found[1], "%Y%m%d%H%M").replace(tzinfo=UTC))
            except ValueError:
                continue
    return _utc(file.modified) if file.modified is not None else _LONG_AGO


def _utc(instant: datetime) -> datetime:
    """An instant without its zone, so that those with and without one compare; without one it is UTC."""
    return instant.astimezone(UTC).replace(tzinfo=None) if instant.tzinfo is not None else instant
