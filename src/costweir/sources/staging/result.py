"""What goes into a staging run and what comes out of it, and how both cross the pipe to the child process as
JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from costweir.domain.money import decimal_text
from costweir.sources.attribution import AttributionRules
from costweir.store.warehouse import Load, Slot


@dataclass(frozen=True, slots=True)
class StageOptions:
    """How to read the files.

    `source` is `auto` or the only format that is accepted. `rates` are US dollars for one unit of a
    currency, by the keys of `staging.rates`, used where the bill states no rate of its own. `mapping_overrides` is
    the file with the operator's mappings and `own_mappings` are those set by hand. `memory_limit` is for DuckDB; the
    process needs about 150 MB besides.
    """

    source: str = "auto"
    all_services: bool = False
    sample: bool = False
    attribution: AttributionRules | None = None
    rates: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    mapping_overrides: Path | None = None
    own_mappings: Sequence[Mapping[str, Any]] = ()
    memory_limit: str = "512MB"

    def to_json(self) -> dict[str, object]:
        """Everything, the attribution rules written out."""
        return {
            "source": self.source,
            "all_services": self.all_services,
            "sample": self.sample,
            "attribution": self.attribution.to_json() if self.attribution else None,
            "rates": {code: decimal_text(rate) for code, rate in self.rates.items()},
            "mapping_overrides": str(self.mapping_overrides) if self.mapping_overrides else None,
            "own_mappings": [dict(rule) for rule in self.own_mappings],
            "memory_limit": self.memory_limit,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StageOptions:
        """Reads what `to_json` wrote."""
        rules, overrides = data["attribution"], data["mapping_overrides"]
        return cls(
            source=data["source"],
            all_services=data["all_services"],
            sample=data["sample"],
            attribution=AttributionRules.from_json(rules) if rules else None,
            rates={code: Decimal(rate) for code, rate in data["rates"].items()},
            mapping_overrides=Path(overrides) if overrides else None,
            own_mappings=tuple(data["own_mappings"]),
            memory_limit=data["memory_limit"],
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: `phase` is find, fetch, read or write; `done` and `total` count bytes; `rows` so
    far."""

    phase: str
    file: str
    done: int
    total: int
    rows: int = 0

    def to_json(self) -> dict[str, object]:
        """All fields."""
        return {
            "phase": self.phase,
            "file": self.file,
            "done": self.done,
            "total": self.total,
            "rows": self.rows,
        }


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that was not loaded, with one sentence that says why and a hint."""

    file: str
    message: str
    hint: str = ""

    def to_json(self) -> dict[str, str]:
        """All fields."""
        return {"file": self.file, "message": self.message, "hint": self.hint}


@dataclass(frozen=True, slots=True)
class StagedSlot:
    """One slot, ready for `Warehouse.replace`. `charges` is a directory of Parquet files, `quarantine` one
    file."""

    load: Load
    charges: Path
    quarantine: Path | None
    files: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """All fields; amounts as decimal strings."""
        load, slot = self.load, self.load.slot
        return {
            "slot": [slot.provider, slot.account, slot.period],
            "run_id": load.run_id,
            "source": load.source,
            "loaded_at": load.loaded_at.isoformat(),
            "counts": [load.rows_in, load.rows_stored, load.rows_skipped, load.rows_quarantined],
            "totals": [str(load.billed_total), str(load.file_total)],
            "currency": load.currency,
            "hashes": [load.content_hash, load.rules_hash],
            "days": [day.isoformat() if day else None for day in (load.first_day, load.last_day)],
            "sample": load.sample,
            "charges": str(self.charges),
            "quarantine": str(self.quarantine) if self.quarantine else None,
            "files": list(self.files),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StagedSlot:
        """Reads what `to_json` wrote."""
        rows_in, stored, skipped, quarantined = data["counts"]
        billed_total, file_total = (Decimal(text) for text in data["totals"])
        first, last = (date.fromisoformat(text) if text else None for text in data["days"])
        load = Load(
            run_id=data["run_id"],
            source=data["source"],
            slot=Slot(*data["slot"]),
            loaded_at=datetime.fromisoformat(data["loaded_at"]),
            rows_in=rows_in,
            rows_stored=stored,
            rows_skipped=skipped,
            rows_quarantined=quarantined,
            billed_total=billed_total,
            file_total=file_total,
            currency=data["currency"],
            content_hash=data["hashes"][0],
            rules_hash=data["hashes"][1],
            first_day=first,
            last_day=last,
            sample=data["sample"],
        )
        quarantine = Path(data["quarantine"]) if data["quarantine"] else None
        return cls(load, Path(data["charges"]), quarantine, tuple(data["files"]))


@dataclass(frozen=True, slots=True)
class Staged:
    """The outcome of a run: the slots that are complete, and the files that were not loaded."""

    directory: Path
    slots: tuple[StagedSlot, ...]
    rejected: tuple[Rejected, ...]

    def to_json(self) -> dict[str, object]:
        """All fields."""
        return {
            "directory": str(self.directory),
            "slots": [slot.to_json() for slot in self.slots],
            "rejected": [file.to_json() for file in self.rejected],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Staged:
        """Reads what `to_json` wrote."""
        slots: Sequence[Mapping[str, Any]] = data["slots"]
        return cls(
            Path(data["directory"]),
            tuple(StagedSlot.from_json(slot) for slot in slots),
            tuple(Rejected(**file) for file in data["rejected"]),
        )
