"""What a bill format is: how to recognise it by its header, and which SQL over its columns gives each charge column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath

#: Header of a bill: column name as it stands in the file, to DuckDB type (VARCHAR for everything in a CSV).
Header = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BillFile:
    """One file that was found: where it is, what it is, and what its surroundings say about it.

    `run` is the provider's own run or assembly id where a manifest or folder names one, `run_at` when that run
    started. `header` is empty until the file was looked into.
    """

    path: PurePosixPath
    url: str
    size: int
    content_hash: str
    header: Header = field(default_factory=dict[str, str])
    run: str = ""
    run_at: datetime | None = None


def keep_all(files: Sequence[BillFile]) -> Sequence[BillFile]:
    """The default for formats that have no superseded runs."""
    return files


@dataclass(frozen=True, slots=True)
class Format:
    """One way a bill is written.

    `columns` maps names of `CHARGE_COLUMNS`, plus the classifier's inputs `line_service, line_text, line_unit,
    line_region, line_unit_price`, to DuckDB SQL expressions over the raw relation; a name that is absent becomes
    NULL. Expressions may use the staging macros `txt(x)` (trimmed, NULL texts are null), `amount(x)` (money),
    `qty(x)`, `instant(x)` and `day(x)`, which give NULL for what cannot be read. `keep` drops the files of runs
    that a newer run supersedes.
    """

    source: str
    provider: str
    recognise: Callable[[Header], bool]
    columns: Callable[[Header], Mapping[str, str]]
    keep: Callable[[Sequence[BillFile]], Sequence[BillFile]] = keep_all
