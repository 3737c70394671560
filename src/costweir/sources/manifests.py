"""Manifests and folders that say which files make up one run of a bill, and when that run was.

Sources: the AWS Cost and Usage Report and Data Exports guides (delivery and versions, read 2026-11) and the
layout of Azure cost exports. A manifest is known by its keys, not by its name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import cast

_MONTH = re.compile(r"\d{8}-\d{8}|billing_period=\d{4}-\d{2}", re.IGNORECASE)
_LARGEST = 16 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file lies: `root` is the folder of the export, `month` the folder of the month, `tail` the
    rest."""

    root: str
    month: str
    tail: tuple[str, ...]

    @property
    def group(self) -> tuple[str, str]:
        """Files of one group belong to one month of one export."""
        return self.root, self.month

    @property
    def run(self) -> str:
        """The folder of the run below the month, if there is one."""
        return self.tail[0] if self.month and len(self.tail) > 1 else ""


#: `20261003T060000Z-id`, `2026-11-01T06:00:00.000Z-id` and `202610050500/id`: when a run was, in its folder.
_STAMP = re.compile(
    r"(20\d\d)-?(\d\d)-?(\d\d)(?:[T_ ]?(\d\d)[:-]?(\d\d)(?:[:-]?(\d\d))?(?:\.\d+)?Z?)?(?:[-_/].*)?"
)


def stamp_of(run: str) -> datetime | None:
    """When a run was by the name of its folder, in UTC, or None when the name does not start with a time."""
    found = _STAMP.fullmatch(run)
    if found is None:
        return None
    try:
        return datetime(*(int(part or 0) for part in found.groups()), tzinfo=UTC)  # pyright: ignore[reportArgumentType]
    except ValueError:
        return None


def place_of(path: PurePosixPath) -> Place:
    """Where a file lies. Data exports keep data and metadata in twin folders; both are one export."""
    parts = path.parts
    at = max((index for index, part in enumerate(parts[:-1]) if _MONTH.fullmatch(part)), default=-1)
    if at < 0:
        return Place(str(path.parent), "", (path.name,))
    root = parts[:at]
    if root and root[-1] in ("data", "metadata"):
        root = root[:-1]
    return Place("/".join(root), parts[at], parts[at + 1 :])


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest says: the files of one run (`names` are keys or URLs), the run's id and when it was."""

    kind: str
    path: PurePosixPath
    names: tuple[str, ...]
    run: str = ""
    run_at: datetime | None = None

    @property
    def depth(self) -> int:
        """0 when it lies in the month's own folder, and more for the copies in the folders of the runs."""
        return len(place_of(self.path).tail) - 1

    def lists(self, path: PurePosixPath) -> bool:
        """Whether the file at `path` is one of `names`: they agree from the month's folder on, else by
        name."""
        return any(_same(name, path) for name in self.names)

    def absent(self, paths: Sequence[PurePosixPath]) -> list[str]:
        """The names for which there is no file among `paths`."""
        return [name for name in self.names if not any(_same(name, path) for path in paths)]


def _same(name: str, path: PurePosixPath) -> bool:
    there, here = place_of(PurePosixPath(name.replace("\\", "/"))), place_of(path)
    if there.month and here.month:
        return there.month.lower() == here.month.lower() and there.tail == here.tail
    return PurePosixPath(name).name == path.name


def read_manifest(local: Path, path: PurePosixPath) -> Manifest | None:
    """The manifest in a file, or None when it is none. `path` is where it came from."""
    if path.suffix.lower() != ".json" or local.stat().st_size > _LARGEST:
        return None
    try:
        data = cast("object", json.loads(local.read_text(encoding="utf-8-sig")))
    except ValueError:
        return None
    if not isinstance(data, dict):
        return None
    content = cast("Mapping[str, object]", data)
    for key in ("reportKeys", "dataFiles"):
        if isinstance(content.get(key), list):
            names = tuple(str(name) for name in cast("list[object]", content[key]))
            run = content.get("assemblyId") or content.get("executionId") or ",".join(names)
            return Manifest("aws", path, names, str(run))
    if isinstance(content.get("blobs"), list) and "runInfo" in content:
        return _azure(path, content)
    return None


def _azure(path: PurePosixPath, content: Mapping[str, object]) -> Manifest:
    info = cast("Mapping[str, object]", content["runInfo"] if isinstance(content["runInfo"], dict) else {})
    blobs = [
        cast("Mapping[str, object]", blob)
        for blob in cast("list[object]", content["blobs"])
        if isinstance(blob, dict)
    ]
    names = tuple(str(blob.get("blobName", "")) for blob in blobs)
    return Manifest("azure", path, names, str(info.get("runId", "")), _instant(info.get("submittedTime")))


def _instant(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(value).strip()[:26].rstrip("Z"))
    except ValueError:
        return None
    return found.replace(tzinfo=UTC)
