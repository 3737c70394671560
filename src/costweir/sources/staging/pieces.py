"""Brings a large CSV into Parquet in pieces, so that some threads read what another one unpacks.

A piece ends at the end of a line. Whether that is also the end of a row only the reader of the piece can tell: of a
value that goes on in the next line it complains. After any complaint, about a cut or about a line that is no row,
the file is read again as a whole; so what is said about a file never depends on where it was cut.
"""

# The SQL is made of our own names, quoted identifiers and literals.
# ruff: noqa: S608

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import BinaryIO

import duckdb

from costweir.sources.formats.format import literal
from costweir.sources.staging.opening import Opened, text_blocks

#: About as much text is in a piece.
PIECE_BYTES = 16 << 20
#: Files from this size on are cut, by how they are packed. What is packed otherwise is not.
CUT_FROM = {"none": 32 << 20, "gzip": 4 << 20}
_BLOCK_BYTES = 1 << 20
#: DuckDB's own 32 MB would not stay in the processor's cache.
_BUFFER_BYTES = 8 << 20
#: Each thread holds a piece and its columns, and all of them share one memory limit.
_MOST_THREADS = 4
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

#: How raw rows are written, in pieces and whole.
RAW = "FORMAT parquet, COMPRESSION lz4_raw, ROW_GROUP_SIZE 24576"

Cursors = SimpleQueue[duckdb.DuckDBPyConnection]


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a file, in their order, as a Parquet file; `before` rows of the file come before them."""

    path: Path
    before: int = 0


class _WholeError(Exception):
    """The file has to be read as a whole."""


def in_pieces(
    connection: duckdb.DuckDBPyConnection, opened: Opened, select: str, *, target: Path
) -> tuple[Part, ...] | None:
    """The rows of a CSV as Parquet files beside `target`, or None where it has to be read as a whole.

    `select` are its columns as SQL. Raises OSError for a full disk.
    """
    least = CUT_FROM.get(opened.packing)
    if opened.kind != "csv" or least is None or opened.path.stat().st_size < least:
        return None
    with _threads(connection) as cursors:
        cutter = _Cutter(opened, select, target, cursors)
        try:
            return cutter.parts()
        except (_WholeError, EOFError, zlib.error, duckdb.Error):
            return None
        finally:
            cutter.clear()


@contextmanager
def _threads(connection: duckdb.DuckDBPyConnection) -> Generator[Cursors]:
    """One cursor for each thread. DuckDB's own threads rest meanwhile, so that each keeps its rows in order."""
    row = connection.execute("SELECT current_setting('threads')").fetchone()
    threads = int(row[0]) if row else 1
    cursors: Cursors = SimpleQueue()
    connection.execute("SET threads = 1")
    connection.execute("SET preserve_insertion_order = true")
    try:
        for _ in range(min(threads, _MOST_THREADS)):
            cursors.put(connection.cursor())
        yield cursors
    finally:
        while not cursors.empty():
            cursors.get().close()
        connection.execute("SET preserve_insertion_order = false")
        connection.execute(f"SET threads = {threads}")


@dataclass(slots=True)
class _Cutter:
    """Cuts a file and hands the pieces to the threads, one for each of `cursors`."""

    opened: Opened
    select: str
    target: Path
    cursors: Cursors
    #: Files of pieces that were read, to be written again: the next piece needs no new memory and no new disk.
    spare: SimpleQueue[Path] = field(default_factory=SimpleQueue[Path])
    broken: Event = field(default_factory=Event)

    def parts(self) -> tuple[Part, ...]:
        """Every piece as a part. Raises what the first thread raised that could not read its piece."""
        threads = self.cursors.qsize()
        for number in range(threads + 1):
            fresh = self._named(f"spare-{number}.csv")
            fresh.touch()
            self.spare.put(fresh)
        with ThreadPoolExecutor(threads) as pool:
            started = [pool.submit(self._bring, *piece) for piece in enumerate(self._cut())]
        parts: list[Part] = []
        before = 0
        for done in started:
            path, rows = done.result()
            parts.append(Part(path, before))
            before += rows
        return tuple(parts)

    def clear(self) -> None:
        """Removes the text of the pieces."""
        for path in self.target.parent.glob(f"{self.target.stem}-*.csv"):
            path.unlink()

    def _named(self, rest: str) -> Path:
        return self.target.with_name(f"{self.target.stem}-{rest}")

    def _cut(self) -> Generator[Path]:
        """Writes one piece after the other. Each has a name of its own, so that no reader takes it for another."""
        blocks = text_blocks(self.opened.path, self.opened.packing, size=min(PIECE_BYTES, _BLOCK_BYTES))
        rest, line_end = b"", b""
        for number in count():
            piece = self.spare.get().rename(self._named(f"{number}.csv"))
            with piece.open("r+b") as out:
                behind, found = _fill(out, rest, blocks)
                out.seek(0)
                marked = number and out.read(3) == _BYTE_ORDER_MARK
            # Of lines that end in two ways the reader of a file complains, and the reader of a piece may see one.
            if self.broken.is_set() or marked or found != (line_end or found):
                raise _WholeError
            yield piece
            if behind is None:
                return
            rest, line_end = behind, found

    def _bring(self, number: int, piece: Path) -> tuple[Path, int]:
        """Brings a piece into Parquet, and says where and how many rows it has."""
        cursor = self.cursors.get()
        try:
            if self.broken.is_set():
                raise _WholeError
            part = self._named(f"{number}.parquet")
            text = self.opened.text(piece, header="false" if number else "true")
            row = cursor.execute(
                f"COPY (SELECT {self.select} FROM {text}, buffer_size = {_BUFFER_BYTES})) "
                f"TO {literal(str(part))} ({RAW})"
            ).fetchone()
        except BaseException:
            self.broken.set()
            raise
        finally:
            self.cursors.put(cursor)
            self.spare.put(piece)
        return part, int(row[0]) if row else 0


def _fill(out: BinaryIO, rest: bytes, blocks: Iterator[bytes]) -> tuple[bytes | None, bytes]:
    """Writes a piece, which begins with `rest`, over what was there.

    Gives what lies behind its last line, or None when the text has ended, and what its lines end with.
    """
    size, returns = out.write(rest), b"\r" in rest
    behind: bytes | None = None
    for block in blocks:
        end = block.rfind(b"\n") + 1 if size + len(block) >= PIECE_BYTES else 0
        mine = block[:end] if end else block
        size += out.write(mine)
        returns = returns or b"\r" in mine
        if end:
            behind = block[end:]
            break
        if size > 2 * PIECE_BYTES:
            raise _WholeError
    out.truncate(size)
    if not returns:
        return behind, b"\n"
    out.seek(0)
    text = out.read()
    if not text.count(b"\r\n") == text.count(b"\r") == text.count(b"\n"):
        raise _WholeError
    return behind, b"\r\n"
