"""What the operator says that lines of a bill mean, with who said so, when, and on what evidence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from costweir.control.database import Database, Row
from costweir.control.runs import instant


@dataclass(frozen=True, slots=True)
class OwnMapping:
    """The meaning of the lines of a cloud with one text, and with this service and unit unless they are None.

    `slots` are the fields of a meaning that are set. A new one has no author and instant yet.
    """

    cloud: str
    text: str
    service: str | None
    unit: str | None
    slots: Mapping[str, Any]
    evidence: str = ""
    set_by: str = ""
    set_at: str = ""

    @property
    def id(self) -> str:
        """Follows from the lines it is about, so that a second mapping of the same lines replaces the first."""
        key = json.dumps([self.cloud, self.service, self.text, self.unit])
        return f"map_{hashlib.sha256(key.encode()).hexdigest()[:12]}"

    def rule(self) -> dict[str, Any]:
        """The mapping in the form of `mappings.yaml`."""
        lines = {"cloud": self.cloud, "service": self.service, "text": self.text, "unit": self.unit}
        return {**{name: value for name, value in lines.items() if value is not None}, **self.slots}

    def to_json(self) -> dict[str, object]:
        """All fields."""
        return {
            "id": self.id, "cloud": self.cloud, "service": self.service, "text": self.text, "unit": self.unit,
            "meaning": dict(self.slots), "evidence": self.evidence, "set_by": self.set_by, "set_at": self.set_at,
        }  # fmt: skip


class OwnMappings:
    """The mappings of one control database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def listed(self) -> list[OwnMapping]:
        """Every mapping, by cloud and text."""
        rows = self._database.read("SELECT * FROM mappings ORDER BY cloud, text, service, unit")
        return [_mapping(row) for row in rows]

    def find(self, name: str) -> OwnMapping | None:
        """The mapping of this id."""
        rows = self._database.read("SELECT * FROM mappings WHERE id = ?", (name,))
        return _mapping(rows[0]) if rows else None

    def put(self, mapping: OwnMapping, *, by: str) -> OwnMapping:
        """Adds a mapping, or changes the one of the same lines, and gives it with its author and instant. One that
        says the same already stays as it is."""
        before = self.find(mapping.id)
        if before is not None and (before.slots, before.evidence) == (mapping.slots, mapping.evidence):
            return before
        slots = json.dumps(dict(mapping.slots), sort_keys=True, ensure_ascii=False)
        with self._database.write() as run:
            run(
                "INSERT OR REPLACE INTO mappings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    mapping.id, mapping.cloud, mapping.service, mapping.text, mapping.unit, slots, mapping.evidence,
                    by, instant(datetime.now(UTC)),
                ),
            )  # fmt: skip
            (row,) = run("SELECT * FROM mappings WHERE id = ?", (mapping.id,))
        return _mapping(row)

    def drop(self, name: str) -> bool:
        """Removes a mapping; true when there was one."""
        with self._database.write() as run:
            return bool(run("DELETE FROM mappings WHERE id = ? RETURNING id", (name,)))


def _mapping(row: Row) -> OwnMapping:
    return OwnMapping(
        row["cloud"], row["text"], row["service"], row["unit"], json.loads(row["slots"]), row["evidence"],
        row["set_by"], row["set_at"],
    )  # fmt: skip
