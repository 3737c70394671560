"""Looks into a file: what it is by its first bytes, how it is packed, and which columns it has. Never trusts
its name."""

# The SQL is made of our own names, quoted identifiers and literals.
# ruff: noqa: S608

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

import duckdb

from costweir.errors import SourceRejected
from costweir.sources.formats.format import Header, literal, quoted

if TYPE_CHECKING:
    inflate = zlib
else:
    try:
        # Unpacks in less than half the time.
        from isal import isal_zlib as inflate
    except ImportError:  # there is no wheel of it for this machine
        inflate = zlib

#: Refused above this many bytes out for one byte in, once the output is over BOMB_FLOOR. Bills pack 10 to 60
#: to 1.
BOMB_RATIO = 250
BOMB_FLOOR = 64 << 20
#: No single member of an archive may unpack to more than this.
BOMB_SIZE = 256 << 30

DELIMITERS = ",;\t|"
_HEAD = 1 << 20
_HEAD_KEPT = 64 << 10
#: What a gzip file that is damaged raises.
INFLATE_ERRORS = (zlib.error, inflate.error)
_AGAIN = "Download the file again from where the provider wrote it."


@dataclass(frozen=True, slots=True)
class Opened:
    """A readable file: `kind` is csv, json or parquet; `relation` is SQL for a table function with all its
    columns.

    That of text is open at its end, so that the reader can add options and has to close it. `head` is the
    start of the text of a CSV, with which one can still say whose bill a damaged file is.
    """

    path: Path
    kind: str
    header: Header
    relation: str
    temporary: Path | None = None
    head: str = ""
    packing: str = "none"
    delimiter: str = ","

    def titled(self, path: Path) -> str:
        """The relation of a CSV that begins with the same header and is not packed."""
        return _csv([path], self.header, self.delimiter, header="true")

    def bare(self, paths: Sequence[Path], *, before: Header | None = None) -> str:
        """The relation of CSV files of the same columns without a header, behind the columns `before`."""
        return _csv(paths, {**(before or {}), **self.header}, self.delimiter, header="false")


def _csv(
    paths: Sequence[Path], columns: Header, delimiter: str, *, header: str, packing: str = "none"
) -> str:
    files = ", ".join(literal(str(path)) for path in paths)
    listed = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in columns.items())
    return (
        f"read_csv([{files}], auto_detect = false, header = {header}, delim = {literal(delimiter)}, "
        f"quote = '\"', escape = '\"', compression = {literal(packing)}, columns = {{{listed}}}, "
        "hive_partitioning = false"
    )


def open_file(path: Path, name: str, *, work: Path, connection: duckdb.DuckDBPyConnection) -> Opened:
    """What is in `path`, which errors call `name`. Unpacks zip archives and recodes UTF-16 into `work`.

    Raises SourceRejected for a file that is empty, broken, a decompression bomb or no table.
    """
    magic = _first_bytes(path, 4)
    if not magic:
        raise SourceRejected(f"{name} is empty.", hint=_AGAIN)
    if magic == b"PAR1":
        relation = f"read_parquet({literal(str(path))}, file_row_number = true, hive_partitioning = false)"
        return Opened(path, "parquet", _described(connection, relation, drop="file_row_number"), relation)
    temporary: Path | None = None
    if magic == b"PK\x03\x04":
        path = temporary = _unzipped(path, name, work)
        magic = _first_bytes(path, 4)
    packing = {b"\x1f\x8b": "gzip", b"\x28\xb5": "zstd"}.get(magic[:2], "none")
    head = _head(path, name, packing, connection)
    encoding = _encoding(head)
    if encoding != "utf-8":
        recoded = work / f"{path.name}.utf8"
        _recode(path, recoded, packing, encoding)
        if temporary is not None:
            temporary.unlink()
        path, packing, temporary = recoded, "none", recoded
        head = _head(path, name, packing, connection)
    text = head.decode("utf-8", errors="replace").removeprefix("\ufeff").lstrip()
    if text[:1] in ("{", "["):
        opened = _open_json(path, name, packing=packing, first=text[:1], connection=connection)
        return replace(opened, temporary=temporary)
    return _open_csv(path, name, packing, text, temporary)


def _first_bytes(path: Path, count: int) -> bytes:
    with path.open("rb") as stream:
        return stream.read(count)


def _open_csv(path: Path, name: str, packing: str, text: str, temporary: Path | None) -> Opened:
    delimiter = _delimiter(text)
    record = next(csv.reader(io.StringIO(text), delimiter=delimiter), list[str]())
    names = _unique([column.strip() for column in record])
    if len(names) < 2:
        raise SourceRejected(
            f"{name} is not a bill: its first line is not a row of column names.",
            hint="Give CSV, JSON lines or Parquet files as the provider exported them.",
        )
    columns = dict.fromkeys(names, "VARCHAR")
    relation = _csv([path], columns, delimiter, header="true", packing=packing)
    return Opened(path, "csv", columns, relation, temporary, text[:_HEAD_KEPT], packing, delimiter)


def _delimiter(text: str) -> str:
    line = text.splitlines()[0] if text else ""
    bare = "".join(part for index, part in enumerate(line.split('"')) if index % 2 == 0)
    return max(DELIMITERS, key=bare.count)


def _unique(names: list[str]) -> list[str]:
    """Names that differ without letter case, as DuckDB wants them; a name that comes again gets a number."""
    seen: dict[str, int] = {}
    result: list[str] = []
    for index, name in enumerate(names):
        base = name or f"column{index}"
        count = seen.get(base.lower(), 0)
        seen[base.lower()] = count + 1
        result.append(base if count == 0 else f"{base}_{count}")
    return result


def _open_json(
    path: Path, name: str, *, packing: str, first: str, connection: duckdb.DuckDBPyConnection
) -> Opened:
    lines = first == "{"
    packed = f"{literal(str(path))}, compression = {literal(packing)}"
    found = connection.execute(
        f"SELECT DISTINCT unnest(json_keys(json)) AS key FROM read_json({packed}, records = false, "
        f"format = {literal('newline_delimited' if lines else 'array')}, "
        f"ignore_errors = {'true' if lines else 'false'}, columns = {{'json': 'JSON'}}) "
        "WHERE json_type(json) = 'OBJECT' ORDER BY key"
    ).fetchall()
    # Every value stays JSON text, so that a number keeps all its digits.
    header = {str(row[0]): "JSON" for row in found}
    if len(header) < 2:
        raise SourceRejected(
            f"{name} is not a bill: it is JSON, but not a list of records.",
            hint="Give JSON with one record a line, as BigQuery exports it.",
        )
    if lines:
        relation = (
            f"read_csv({packed}, auto_detect = false, header = false, delim = '\x01', quote = '', "
            "escape = '', columns = {'json': 'VARCHAR'}, hive_partitioning = false"
        )
    else:
        relation = f"read_json_objects({packed}, format = 'array'"
    return Opened(path, "json", header, relation)


#: A number of 16 digits or more behind a key. A quotation mark inside a JSON text has a backslash before it,
#: so that this never hits inside one.
_LONG_NUMBER = r'([^\\]")\s*:\s*(-?[0-9][0-9.]{15,}(?:[eE][-+]?[0-9]+)?)'

#: Holds the line where it is no JSON record, and is NULL where it is one.
NO_RECORD = "no record:"


def records(lines: str, columns: Sequence[str]) -> str:
    """SELECT of `columns` as JSON text, and of NO_RECORD, from a relation with a record a row in `json`.

    DuckDB reads every JSON number through a double, so that long ones become texts before it reads them.
    """
    shape = json.dumps(dict.fromkeys(columns, "JSON"))
    record = f"from_json(regexp_replace(json, {literal(_LONG_NUMBER)}, '\\1:\"\\2\"', 'g'), {literal(shape)})"
    checked = f"CASE WHEN json_valid(json) THEN CASE WHEN json_type(json) = 'OBJECT' THEN {record} END END"
    terms = "".join(f"r.{quoted(name)} AS {quoted(name)}, " for name in columns)
    return (
        f"SELECT {terms}CASE WHEN r IS NULL THEN json::VARCHAR END AS {quoted(NO_RECORD)} "
        f"FROM (SELECT json, {checked} AS r FROM {lines} WHERE trim(json::VARCHAR) <> '')"
    )


def _described(connection: duckdb.DuckDBPyConnection, relation: str, *, drop: str = "") -> Header:
    rows = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    return {str(row[0]): str(row[1]) for row in rows if row[0] != drop}


def _head(path: Path, name: str, packing: str, connection: duckdb.DuckDBPyConnection) -> bytes:
    """The first megabyte of the unpacked text, or what there is of it when the file is cut off.

    Unpacks up to the bomb floor to see that it is no bomb.
    """
    if packing == "zstd":
        return _zstd_line(path, connection)
    if packing == "none":
        return _first_bytes(path, _HEAD)
    head, unpacked = b"", 0
    limit = max(path.stat().st_size * BOMB_RATIO, BOMB_FLOOR)
    try:
        with path.open("rb") as stream:
            for block in _inflated(stream):
                head += block[: _HEAD - len(head)]
                unpacked += len(block)
                if unpacked > limit:
                    raise _bomb(name)
                if limit > BOMB_FLOOR << 2 and len(head) == _HEAD:
                    break
    except INFLATE_ERRORS as error:
        # What was unpacked still says whose bill it is; the reader of the whole file tells the rest.
        if not head:
            raise SourceRejected(f"{name} is a damaged gzip file: {error}.", hint=_AGAIN) from error
    if not head:
        raise SourceRejected(f"{name} is cut off: its gzip data ends before the first line.", hint=_AGAIN)
    return head


def text_blocks(stream: BinaryIO, packing: str, *, size: int) -> Generator[bytes]:
    """The text of a file, plain or packed by gzip, in blocks of at most `size` bytes.

    Raises EOFError or one of INFLATE_ERRORS for a gzip file that does not end as it should.
    """
    if packing == "gzip":
        yield from _inflated(stream, size=size, whole=True)
        return
    while block := stream.read(size):
        yield block


def _inflated(stream: BinaryIO, *, size: int = _HEAD, whole: bool = False) -> Generator[bytes]:
    """The unpacked text of a gzip file in blocks of `size` bytes; ends where the file ends, complete or not.

    Where it has to be `whole`, EOFError tells of an end that is missing and of bytes behind it.
    """
    unpacker = inflate.decompressobj(wbits=31)
    while packed := unpacker.unconsumed_tail or stream.read(1 << 16):
        if block := unpacker.decompress(packed, size):
            yield block
        if unpacker.eof:
            rest = unpacker.unused_data or stream.read(1 << 16)
            if not rest.startswith(b"\x1f\x8b"):
                if whole and rest:
                    break
                return
            stream.seek(stream.tell() - len(rest))
            unpacker = inflate.decompressobj(wbits=31)
    if whole:
        raise EOFError


def _bomb(name: str) -> SourceRejected:
    return SourceRejected(
        f"{name} unpacks to more than {BOMB_RATIO} times its size, which no bill does, and was not read.",
        hint="If it is a bill all the same, unpack it yourself and give the unpacked file.",
    )


def _zstd_line(path: Path, connection: duckdb.DuckDBPyConnection) -> bytes:
    line = connection.execute(
        f"SELECT l FROM read_csv({literal(str(path))}, auto_detect = false, header = false, delim = '\x01', "
        "quote = '', escape = '', compression = 'zstd', columns = {'l': 'VARCHAR'}) LIMIT 1"
    ).fetchone()
    return str(line[0]).encode() if line else b""


@contextmanager
def _unpacked(path: Path, packing: str) -> Generator[IO[bytes]]:
    if packing == "gzip":
        with gzip.open(path, "rb") as packed:
            yield packed  # pyright: ignore[reportReturnType]
    else:
        with path.open("rb") as stream:
            yield stream


def _encoding(head: bytes) -> str:
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if head.startswith(mark):
            return encoding
    sample = head[:400]
    if sample[1::2].count(0) > len(sample) // 4:
        return "utf-16-le"
    return "utf-16-be" if sample[::2].count(0) > len(sample) // 4 else "utf-8"


def _recode(path: Path, target: Path, packing: str, encoding: str) -> None:
    try:
        with (
            _unpacked(path, packing) as packed,
            io.TextIOWrapper(packed, encoding=encoding, newline="") as source,
            target.open("w", encoding="utf-8", newline="") as out,
        ):
            while block := source.read(1 << 20):
                out.write(block)
    except UnicodeError as error:
        raise SourceRejected(
            f"{path.name} looks like UTF-16 but cannot be decoded: {error}.", hint="Export it as UTF-8."
        ) from error


def _unzipped(path: Path, name: str, work: Path) -> Path:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not _is_litter(info)]
            if len(members) != 1:
                raise SourceRejected(
                    f"{name} holds {len(members)} files; a zipped bill holds one.",
                    hint="Unpack the archive and give the bill files, or the folder they are in.",
                )
            target = work / f"{path.name}.{len(list(work.iterdir()))}.csv"
            limit = min(max(path.stat().st_size * BOMB_RATIO, BOMB_FLOOR), BOMB_SIZE)
            with archive.open(members[0]) as source, target.open("wb") as out:
                written = 0
                while block := source.read(1 << 20):
                    written += len(block)
                    if written > limit:
                        break
                    out.write(block)
            if written > limit:
                target.unlink()
                raise _bomb(name)
            return target
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise SourceRejected(
            f"{name} is a damaged or encrypted zip archive: {error}.", hint=_AGAIN
        ) from error


def _is_litter(info: zipfile.ZipInfo) -> bool:
    return info.is_dir() or info.filename.startswith("__MACOSX/") or Path(info.filename).name.startswith(".")
