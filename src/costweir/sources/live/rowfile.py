"""Writes fetched rows as JSON lines, one file a month. A file has its name only once it is whole, so that a killed
fetch leaves nothing that could be taken for a bill."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

Row = Mapping[str, str]


def write_months(rows: Iterable[Row], *, into: Path, stem: str) -> Sequence[Path]:
    """Writes rows to `<into>/<stem>-YYYY-MM.jsonl` by the month of their `day`; the files, in order of time.

    Every value is text, so that an amount keeps all its digits. A month without rows has no file.
    """
    months: dict[str, list[Row]] = {}
    for row in rows:
        months.setdefault(row["day"][:7], []).append(row)
    into.mkdir(parents=True, exist_ok=True)
    return [_write(into / f"{stem}-{month}.jsonl", months[month]) for month in sorted(months)]


def _write(path: Path, rows: Sequence[Row]) -> Path:
    part = path.with_name(f"{path.name}.part")
    with part.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
        out.flush()
        os.fsync(out.fileno())
    part.replace(path)
    return path
