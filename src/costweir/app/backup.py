"""Copies of a data directory while its server runs: what people set, the ledger, and the facts. A copy that cannot be
opened is no copy, so each one is opened before it counts.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from costweir.app.locks import TOKEN_FILE
from costweir.app.rates import FILE_NAME as RATES_FILE
from costweir.control.keys import SECRET_FILE
from costweir.errors import Conflict, NotFound, UsageError

if TYPE_CHECKING:
    from costweir.config import Settings

#: How often a facts file that was written to meanwhile is copied anew, and how long to wait in between.
TRIES, WAIT_SECONDS = 20, 3
_NAME = "costweir-%Y-%m-%dT%H%M%SZ"
_PART = ".part"
#: Small files that a restored server needs too: without the first no key can be told from a wrong one. A copy is as
#: secret as they are.
_BESIDE = (SECRET_FILE, TOKEN_FILE, RATES_FILE, "costweir.toml")


@dataclass(frozen=True, slots=True)
class Copy:
    """One backup: its folder, when it was made, and its files with their sizes in bytes."""

    folder: Path
    made_at: datetime
    files: Mapping[str, int]


def back_up(settings: Settings, out: Path, *, keep: int, now: datetime | None = None) -> Copy:
    """Copies the databases of the data directory into a new folder of `out`, and removes all but the newest `keep`.

    Raises NotFound when there is nothing to copy, Conflict when the facts were written to all the time, and UsageError
    when `out` cannot be written or lies in the data directory. A failure leaves older copies as they are, and no half
    of a new one.
    """
    moment = now or datetime.now(UTC)
    name = moment.strftime(_NAME)
    part = out / f"{name}{_PART}"
    if out.resolve().is_relative_to(settings.data_dir.resolve()):
        raise UsageError(
            f"{out} lies in the data directory, and would go with it.",
            hint="Choose another folder with --out.",
        )
    found = dict(_databases(settings))
    if not found:
        raise NotFound(
            f"There is nothing to copy in {settings.data_dir}.", hint="Say where it is with --data-dir."
        )
    try:
        for left in out.glob(f"*{_PART}"):
            shutil.rmtree(left)
        part.mkdir(parents=True, mode=0o700)
        for file, copy in found.items():
            copy(part / file)
        part.rename(out / name)
    except OSError as error:
        raise UsageError(
            f"The copy cannot be written: {error}.", hint="Choose another folder with --out."
        ) from None
    for old in _copies(out)[:-keep]:
        shutil.rmtree(old)
    sizes = {path.name: path.stat().st_size for path in sorted((out / name).iterdir())}
    return Copy(out / name, moment, sizes)


def _databases(settings: Settings) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """The files there are, each with how it is copied. The ledger is as of its last commit, so its log stays behind."""
    for path in (settings.control_path, settings.ledger_path):
        if path is not None and path.exists():
            yield path.name, _sqlite(path)
    facts = settings.store_path
    if facts is not None and facts.exists():
        yield facts.name, _duckdb(facts)
    for name in _BESIDE:
        if (settings.data_dir / name).exists():
            yield name, partial(_plain, settings.data_dir / name)


def _plain(path: Path, target: Path) -> None:
    shutil.copyfile(path, target)
    target.chmod(0o600)


def _copies(out: Path) -> list[Path]:
    """The copies, oldest first; their names sort by time."""
    return sorted(path for path in out.glob("costweir-????-??-??T??????Z") if path.is_dir())


def _sqlite(path: Path) -> Callable[[Path], None]:
    def copy(target: Path) -> None:
        with (
            closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(target)) as made,
        ):
            source.backup(made)
            # The copy stands alone: no write-ahead log beside it.
            made.execute("PRAGMA journal_mode = DELETE")
            if made.execute("PRAGMA quick_check").fetchone() != ("ok",):
                raise Conflict(f"The copy of {path.name} is damaged.", hint="Check the disk, and try again.")
        target.chmod(0o600)

    return copy


def _duckdb(path: Path) -> Callable[[Path], None]:
    def copy(target: Path) -> None:
        for attempt in range(TRIES):
            if attempt:
                time.sleep(WAIT_SECONDS)
            if _copied_at_rest(path, target):
                return
        raise Conflict(f"{path.name} was written to all the time.", hint="Try again when no bill is loaded.")

    return copy


def _copied_at_rest(path: Path, target: Path) -> bool:
    """Copies the file and its log, and says whether neither the file nor the beginning of its log changed meanwhile.

    DuckDB writes the file itself only when it folds its log into it or loads in bulk; otherwise it appends to the log,
    whose last, unfinished entry it leaves out when it opens. So a file at rest with its log is one moment.
    """
    log, log_target = Path(f"{path}.wal"), Path(f"{target}.wal")
    for old in (target, log_target):
        old.unlink(missing_ok=True)
    before = _state(path)
    shutil.copyfile(path, target)
    if log.exists():
        shutil.copyfile(log, log_target)
    if _state(path) != before:
        return False
    if not _opens(target):
        return False
    target.chmod(0o600)
    return not log_target.exists()


def _opens(target: Path) -> bool:
    """Whether the copy opens, which folds its log into it, and every table can be read."""
    import duckdb

    try:
        with duckdb.connect(str(target)) as opened:
            opened.execute("CHECKPOINT")
            for schema, table in opened.execute(
                "SELECT schema_name, table_name FROM duckdb_tables()"
            ).fetchall():
                opened.execute(f'SELECT count(*) FROM "{schema}"."{table}"')  # noqa: S608 - our own tables
    except duckdb.Error:
        return False
    return True


def _state(path: Path) -> tuple[int, int]:
    held = os.stat(path)  # noqa: PTH116 - both numbers of one look
    return held.st_mtime_ns, held.st_size
