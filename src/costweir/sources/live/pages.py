"""Writes fetched rows as JSON lines, page by page. A file gets its name only when its last page is there, so that a
fetch that was killed leaves nothing that a reader would take for a whole bill (law L7)."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class Lines:
    """The file that is being written; `count` is how many rows it has."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self.count = 0

    def add(self, rows: Iterable[Mapping[str, object]]) -> int:
        """Writes `rows`, whose values JSON knows, and returns how many they were."""
        before = self.count
        for row in rows:
            self._stream.write(
                json.dumps(row, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"
            )
            self.count += 1
        return self.count - before


@contextmanager
def json_lines(path: Path) -> Generator[Lines]:
    """A file of JSON lines at `path`, there only after the block ended without an error."""
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("w", encoding="utf-8", newline="\n") as stream:
            yield Lines(stream)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
