"""Writes CSV, JSON lines and Parquet so that the same rows give the same bytes, whenever and wherever."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import duckdb

#: A cell of a row: decimals are written in plain notation, never through a float.
Scalar = str | int | bool | Decimal | None
Row = Mapping[str, Any]

_NUMBER = re.compile(r'"<number>([^<]*)</number>"')


def plain(value: Decimal) -> str:
    """A decimal without exponent or trailing zeros."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def write_bytes(path: Path, content: bytes) -> int:
    """Writes a file with its folders and returns its size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return len(content)


def write_json(path: Path, value: object) -> None:
    """A manifest or other small document, indented."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def csv_text(path: Path, header: Sequence[str], rows: Iterable[Row]) -> int:
    """A CSV, gzip-compressed if the name ends in `.gz`; an absent cell is empty. Returns the size."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_cell(row.get(name)) for name in header] for row in rows)
    content = text.getvalue().encode()
    return write_bytes(path, _gzip(content) if path.suffix == ".gz" else content)


def json_lines_gz(path: Path, rows: Iterable[Row]) -> int:
    """Gzip-compressed JSON lines with every decimal as a plain number. Returns the size."""
    encoder = _encoder(_as_number)
    text = "".join(encoder.encode(row) + "\n" for row in rows)
    return write_bytes(path, _gzip(_NUMBER.sub(r"\1", text).encode()))


def parquet(path: Path, columns: Mapping[str, str], rows: Sequence[Row]) -> int:
    """A snappy Parquet file with the DuckDB types of `columns`; absent is null. Returns the size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    used = {name: kind for name, kind in columns.items() if any(name in row for row in rows)}
    picks = ", ".join(
        f'"{name}"' if name in used else f'NULL::{kind} AS "{name}"' for name, kind in columns.items()
    )
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        staged = Path(folder) / "rows.json"
        staged.write_text(_encoder(plain).encode(rows), encoding="utf-8")
        connection.execute("SET threads = 1")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")
        connection.execute(
            f"COPY (SELECT {picks} FROM read_json($rows, format = 'array', columns = $columns)) TO $target"  # noqa: S608 - names are ours
            " (FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE 50000)",
            {"rows": str(staged), "columns": used, "target": str(path)},
        )
    return path.stat().st_size


@lru_cache(maxsize=20_000)
def stable_id(*parts: object) -> str:
    """64 hexadecimal digits that depend on nothing but `parts`."""
    return hashlib.sha256("/".join(str(part) for part in parts).encode()).hexdigest()


def _cell(value: Scalar) -> str | int | bool:
    if value is None:
        return ""
    return plain(value) if isinstance(value, Decimal) else value


def _gzip(content: bytes) -> bytes:
    return gzip.compress(content, compresslevel=4, mtime=0)


def _as_number(value: Decimal) -> str:
    return f"<number>{plain(value)}</number>"


def _encoder(numbers: Callable[[Decimal], str]) -> json.JSONEncoder:
    def default(value: object) -> str:
        return numbers(cast(Decimal, value))

    return json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"), default=default)
