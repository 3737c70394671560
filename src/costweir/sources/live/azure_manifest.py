"""Where the files of an Azure cost export lie, and what the manifest of a run says: name / days / [time /] run / parts.

Source: Cost Management documentation, "Cost Management exports: file partitioning and manifest", read 2026-11.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import PurePosixPath
from typing import Any, cast

_RANGE = re.compile(r"(\d{8})-(\d{8})")


def _at(path: PurePosixPath) -> int | None:
    return next((place for place, part in enumerate(path.parts[:-1]) if _RANGE.fullmatch(part)), None)


def root_of(path: PurePosixPath) -> str:
    """The folder of the export: what lies above the folder of the days."""
    place = _at(path)
    return "/".join(path.parts[:place]) if place is not None else str(path.parent)


def days_of(path: PurePosixPath) -> tuple[date, date] | None:
    """The first and the last day that the file is about, or None outside a folder of days."""
    place = _at(path)
    if place is None:
        return None
    since, _, until = path.parts[place].partition("-")
    try:
        return _day(since), _day(until)
    except ValueError:
        return None


def _day(text: str) -> date:
    return datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC).date()


@dataclass(frozen=True, slots=True)
class RunManifest:
    """The manifest of one run. `blobs` maps the names of its files to their bytes, None where it does not say."""

    path: PurePosixPath
    kind: str
    scope: str
    run: str
    run_at: datetime | None
    blobs: Mapping[str, int | None]
    rows: int | None

    @classmethod
    def read(cls, text: str, path: PurePosixPath) -> RunManifest | None:
        """The manifest in `text`, or None when it is none."""
        try:
            content: Any = json.loads(text.removeprefix("\ufeff"))
            export: dict[str, Any] = content.get("exportConfig") or {}
            info: dict[str, Any] = content["runInfo"]
            blobs = cast("list[Mapping[str, Any]]", content["blobs"])
            names = {str(blob["blobName"]): _count(blob.get("byteCount")) for blob in blobs}
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        counts = [_count(blob.get("dataRowCount")) for blob in blobs]
        rows = None if None in counts else sum(count for count in counts if count is not None)
        scope = str(export.get("resourceId") or "").partition("/providers/Microsoft.CostManagement/")[0]
        run = str(info.get("runId") or path.parent)
        return cls(
            path, str(export.get("type") or ""), scope, run, _instant(info.get("submittedTime")), names, rows
        )

    def lists(self, path: PurePosixPath) -> bool:
        """Whether the file at `path` is one of its own: they agree from the folder of the days on."""
        return any(_tail(PurePosixPath(name)) == _tail(path) for name in self.blobs)

    def is_complete(self, sizes: Mapping[PurePosixPath, int]) -> bool:
        """Whether every file it names is there, with all its bytes."""
        there = {_tail(path): size for path, size in sizes.items() if root_of(path) == root_of(self.path)}
        found = [(there.get(_tail(PurePosixPath(name))), size) for name, size in self.blobs.items()]
        return bool(found) and all(have is not None and want in (None, have) for have, want in found)


def _tail(path: PurePosixPath) -> tuple[str, ...]:
    place = _at(path)
    return path.parts[place:] if place is not None else path.parts[-1:]


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _instant(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(value).strip()[:26].rstrip("Z"))
    except ValueError:
        return None
    return found.replace(tzinfo=UTC)
