"""Loads one staged slot: decides what becomes of it, stores it, and writes the run into the log (laws L2, L7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

from costweir.control import Control, Outcome
from costweir.domain.money import decimal_text
from costweir.errors import Error
from costweir.queries.records import stored_slot
from costweir.sources.ranks import coarser
from costweir.sources.stage import StagedSlot
from costweir.store.warehouse import Load

if TYPE_CHECKING:
    from costweir.store.warehouse import Warehouse

Record = Mapping[str, object]


def log_refused(control: Control, file: Mapping[str, str], job: Mapping[str, Any]) -> Record:
    """The row of a file that was not read, and its place in the log."""
    note = " ".join(filter(None, (file["message"], file["hint"])))
    connection: str = job.get("connection", "")
    run_id = ""
    if not job["dry_run"]:
        run_id = control.start_run(source="", files=[file["file"]])
        control.finish_run(run_id, Outcome(status="failed", note=note, connection=connection))
    return {
        "run_id": run_id, "source": "", "account": "", "period": "", "status": "failed", "rows_in": 0,
        "rows_stored": 0, "rows_skipped": 0, "rows_quarantined": 0, "billed_total": "0.00", "file_total": "0.00",
        "currency": "", "content_hash": "", "file": file["file"], "note": note, "connection": connection,
    }  # fmt: skip


def load_slot(warehouse: Warehouse, control: Control, staged: StagedSlot, job: Mapping[str, Any]) -> Record:
    """Stores one staged slot in its own transaction and logs the run; gives the row of the contract. Another process
    that loads the same slot waits."""
    if job["dry_run"]:
        return _load_claimed(warehouse, control, staged, job)
    with warehouse.claim(staged.load.slot):
        return _load_claimed(warehouse, control, staged, job)


def _load_claimed(
    warehouse: Warehouse, control: Control, staged: StagedSlot, job: Mapping[str, Any]
) -> Record:
    before = stored_slot(warehouse, staged.load.slot)
    status, note = _verdict(staged.load, before)
    note = " ".join(filter(None, (note, job.get("note"))))
    connection: str = job.get("connection", "")
    if not job["dry_run"]:
        control.start_run(
            run_id=staged.load.run_id, source=staged.load.source, account=staged.load.slot.account,
            period=staged.load.slot.period, files=staged.files,
        )  # fmt: skip
        try:
            if status == "loaded" or (status == "quarantined" and before is None):
                warehouse.replace(staged.load, charges=staged.charges, quarantine=staged.quarantine)
            elif status == "quarantined" and staged.quarantine is not None:
                warehouse.set_aside(staged.load, quarantine=staged.quarantine)
        except Error as error:
            failed = Outcome(status="failed", note=error.message, connection=connection)
            control.finish_run(staged.load.run_id, failed)
            raise
        ended = replace(_outcome(staged.load, status, note), connection=connection)
        control.finish_run(staged.load.run_id, ended)
    return {**_row(staged.load, status, note), "connection": connection}


def _verdict(load: Load, before: Mapping[str, Any] | None) -> tuple[str, str]:
    """The status of the contract and a sentence where there is something to say."""
    if before is not None and (before["content_hash"], before["rules_hash"]) == (
        load.content_hash,
        load.rules_hash,
    ):
        return "unchanged", ""
    if before is not None and before["rows_stored"] and coarser(load.source, before["x_source"]):
        return "unchanged", _compared(load, before)
    if load.rows_stored == 0 and load.rows_quarantined > 0:
        kept = "; what was loaded before stays" if before is not None else ""
        return "quarantined", f"No line of it could be read{kept}."
    notes: list[str] = []
    if before is not None and before["x_source"] != load.source:
        notes.append(f"Replaces the {before['x_source']} load of the same bill.")
    if before is not None and _shrank(load, before):
        notes.append(
            f"Covers {load.first_day} to {load.last_day}, fewer days than the {before['first_day']} to"
            f" {before['last_day']} it replaces. All files of a month have to come in one pull."
        )
    return "loaded", " ".join(notes)


def _compared(load: Load, before: Mapping[str, Any]) -> str:
    """The cross-check of a coarse load with the finer one of the same bill, which stays."""
    held = f"{decimal_text(before['billed_total'])} {before['total_currency']}".strip()
    said = f"{decimal_text(load.billed_total)} {load.currency}".strip()
    text = f"The finer {before['x_source']} load of this bill stays: it holds {held}, and {load.source} says {said}."
    if load.last_day is not None and before["last_day"] is not None and load.last_day > before["last_day"]:
        text += f" It ends on {before['last_day']}, and {load.source} on {load.last_day}."
    return text


def _shrank(load: Load, before: Mapping[str, Any]) -> bool:
    was: tuple[date | None, date | None] = (before["first_day"], before["last_day"])
    if was[0] is None or was[1] is None or load.first_day is None or load.last_day is None:
        return False
    return load.first_day > was[0] or load.last_day < was[1]


def _outcome(load: Load, status: Any, note: str) -> Outcome:
    return Outcome(
        status=status, source=load.source, account=load.slot.account, period=load.slot.period, rows_in=load.rows_in,
        rows_stored=load.rows_stored, rows_skipped=load.rows_skipped, rows_quarantined=load.rows_quarantined,
        billed_total=load.billed_total, file_total=load.file_total, currency=load.currency,
        content_hash=load.content_hash, note=note,
    )  # fmt: skip


def _row(load: Load, status: str, note: str) -> Record:
    return {
        "run_id": load.run_id, "source": load.source, "account": load.slot.account, "period": load.slot.period,
        "status": status, "rows_in": load.rows_in, "rows_stored": load.rows_stored, "rows_skipped": load.rows_skipped,
        "rows_quarantined": load.rows_quarantined, "billed_total": decimal_text(load.billed_total),
        "file_total": decimal_text(load.file_total), "currency": load.currency, "content_hash": load.content_hash,
        "note": note,
    }  # fmt: skip
