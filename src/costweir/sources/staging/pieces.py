"""Brings a large CSV into Parquet in pieces, so that some threads read what another one unpacks.

A piece ends at the end of a line. Whether that is also the end of a row only the reader of the piece can tell: of a
value that goes on in the next line it complains. After any complaint, about a cut or about a line that is no row,
the file is read again as a whole; so what is said about a file never depends on where it was cut.
"""

# The SQL is made of our own names, quoted identifiers and literals.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import SEEK_END
from itertools import count
from mmap import ACCESS_READ, mmap
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import BinaryIO

import duckdb

from costweir.sources.formats.format import literal, quoted
from costweir.sources.staging.opening import INFLATE_ERRORS, Opened, text_blocks
from costweir.sources.staging.sieve import Sieve

#: About as much text is in a piece.
PIECE_BYTES = 48 << 20
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

_PLACE = "row:"
#: The column with the place of a row in its piece, from 0.
PLACE = quoted(_PLACE)

Cursors = SimpleQueue[duckdb.DuckDBPyConnection]


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a file as a Parquet file; `before` rows of the file come before the piece they are from."""

    path: Path
    before: int = 0


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece that was read: all of its `rows` as Parquet, or as text the lines of those that are `kept`."""

    path: Path
    rows: int
    kept: int | None = None


class _WholeError(Exception):
    """The file has to be read as a whole."""


def is_large(opened: Opened) -> bool:
    """Whether a file is cut."""
    least = CUT_FROM.get(opened.packing)
    return opened.kind == "csv" and least is not None and opened.path.stat().st_size >= least


def in_pieces(
    connection: duckdb.DuckDBPyConnection,
    opened: Opened,
    select: str,
    *,
    target: Path,
    sieve: Sieve | None = None,
) -> tuple[Part, ...] | None:
    """The rows of a large CSV as Parquet files beside `target`, or None where it has to be read as a whole.

    `select` are its columns as SQL; each file has the column PLACE besides. What passes the sieve is left out. Raises
    OSError for a full disk.
    """
    cutter = _Cutter(opened, select, target, sieve)
    try:
        with _threads(connection) as cursors:
            pieces = cutter.pieces(cursors)
        parts = cutter.parts(pieces, connection)
    except (_WholeError, EOFError, *INFLATE_ERRORS, duckdb.Error):
        cutter.clear("*")
        return None
    cutter.clear("*.csv")
    return parts


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
    """Cuts a file and hands the pieces to threads, one for each cursor."""

    opened: Opened
    select: str
    target: Path
    sieve: Sieve | None
    cursors: Cursors = field(default_factory=Cursors)
    #: Files of pieces that were read, to be written again: the next piece needs no new memory and no new disk.
    spare: SimpleQueue[Path] = field(default_factory=SimpleQueue[Path])
    broken: Event = field(default_factory=Event)
    threads: int = 1

    def pieces(self, cursors: Cursors) -> list[_Piece]:
        """Reads every piece. Raises what the first thread raised that could not read its own."""
        self.cursors, self.threads = cursors, cursors.qsize()
        for number in range(self.threads + 1):
            fresh = self._named(f"spare-{number}.csv")
            fresh.touch()
            self.spare.put(fresh)
        with ThreadPoolExecutor(self.threads) as pool:
            started = [pool.submit(self._bring, *piece) for piece in enumerate(self._cut())]
        return [done.result() for done in started]

    def parts(self, pieces: list[_Piece], connection: duckdb.DuckDBPyConnection) -> tuple[Part, ...]:
        """The pieces as parts. What was kept of those that were sifted becomes one part."""
        parts: list[Part] = []
        sifted: list[tuple[_Piece, int]] = []
        before = 0
        for piece in pieces:
            if piece.kept is None:
                parts.append(Part(piece.path, before))
            else:
                sifted.append((piece, before))
            before += piece.rows
        if sifted:
            places = f"{PLACE} + {[before for _, before in sifted]}[file_index::BIGINT + 1] AS {PLACE}"
            lines = self.opened.bare([piece.path for piece, _ in sifted], before={_PLACE: "BIGINT"})
            part = self._named("kept.parquet")
            if _copied(connection, f"{places}, {self.select}", f"{lines})", part) != sum(
                piece.kept or 0 for piece, _ in sifted
            ):
                raise _WholeError
            parts.append(Part(part))
        return tuple(parts)

    def clear(self, names: str) -> None:
        """Removes files that were made on the way, and makes room for what comes next."""
        for path in self.target.parent.glob(f"{self.target.stem}-{names}"):
            path.unlink()

    def _named(self, rest: str) -> Path:
        return self.target.with_name(f"{self.target.stem}-{rest}")

    def _cut(self) -> Generator[Path]:
        """Writes one piece after the other. Each has a name of its own, so that no reader takes it for another."""
        rest, line_end, done = b"", b"", 0
        with self.opened.path.open("rb") as stream:
            blocks = text_blocks(stream, self.opened.packing, size=min(PIECE_BYTES, _BLOCK_BYTES))
            for number in count():
                piece = self.spare.get().rename(self._named(f"{number}.csv"))
                with piece.open("r+b") as out:
                    behind, found = _fill(out, rest, blocks, self._goal(stream.tell(), done))
                    done += out.seek(0, SEEK_END)
                    out.seek(0)
                    marked = number and out.read(3) == _BYTE_ORDER_MARK
                # Of lines that end in two ways the reader of a file complains; the reader of a piece may see one.
                if self.broken.is_set() or marked or (found and line_end and found != line_end):
                    raise _WholeError
                yield piece
                if behind is None:
                    return
                rest, line_end = behind, found or line_end

    def _goal(self, at: int, done: int) -> int:
        """The size of the next piece, when `done` bytes of text were in the first `at` bytes of the file. The last
        pieces are smaller, so that all threads end at about the same time."""
        if not done:
            return PIECE_BYTES
        left = done * (self.opened.path.stat().st_size - at) // at
        return min(PIECE_BYTES, max(left // (2 * self.threads), PIECE_BYTES // 4))

    def _bring(self, number: int, piece: Path) -> _Piece:
        """Sifts a piece or brings all of it into Parquet."""
        cursor = self.cursors.get()
        try:
            if self.broken.is_set():
                raise _WholeError
            text = self.opened.bare([piece]) if number else self.opened.titled(piece)
            text = f"{text}, buffer_size = {_BUFFER_BYTES})"
            sifted = self._sifted(cursor, piece, text, number)
            if sifted is not None:
                return sifted
            part = self._named(f"{number}.parquet")
            rows = _copied(cursor, f"row_number() OVER () - 1 AS {PLACE}, {self.select}", text, part)
            return _Piece(part, rows)
        except BaseException:
            self.broken.set()
            raise
        finally:
            self.cursors.put(cursor)
            self.spare.put(piece)

    def _sifted(
        self, cursor: duckdb.DuckDBPyConnection, piece: Path, relation: str, number: int
    ) -> _Piece | None:
        """Counts a piece and writes the lines that are kept, each behind its place; None where all are kept."""
        sifted = self.sieve.sift(cursor, relation) if self.sieve else None
        if self.sieve is None or sifted is None:
            return None
        lines = self._named(f"{number}.lines.csv")
        with piece.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as text:
            starts = _lines(text)[0 if number else 1 :]
            # A row has at least one line. So where there are as many lines as rows, each line is one row.
            if len(starts) != sifted.count + 1:
                self.sieve.idle = True
                return None
            sign = self.opened.delimiter.encode()
            with lines.open("wb") as out:
                for place in sifted.kept:
                    out.write(b"%d%s%s" % (place, sign, text[starts[place] : starts[place + 1]]))
        self.sieve.count(cursor)
        return _Piece(lines, sifted.count, len(sifted.kept))


def _copied(cursor: duckdb.DuckDBPyConnection, select: str, relation: str, target: Path) -> int:
    row = cursor.execute(
        f"COPY (SELECT {select} FROM {relation}) TO {literal(str(target))} ({RAW})"
    ).fetchone()
    return int(row[0]) if row else 0


def _lines(text: mmap) -> list[int]:
    """Where each line starts, and where the last one ends."""
    starts, found = [0], 0
    while found := text.find(b"\n", found) + 1:
        starts.append(found)
    if starts[-1] < len(text):
        starts.append(len(text))
    return starts


def _fill(out: BinaryIO, rest: bytes, blocks: Iterator[bytes], goal: int) -> tuple[bytes | None, bytes]:
    """Writes a piece of about `goal` bytes, which begins with `rest`, over what was there.

    Gives what lies behind its last line, or None when the text has ended, and what its lines end with, where one does.
    """
    size, returns, feeds = out.write(rest), b"\r" in rest, b"\n" in rest
    behind: bytes | None = None
    for block in blocks:
        end = block.rfind(b"\n") + 1 if size + len(block) >= goal else 0
        mine = block[:end] if end else block
        size += out.write(mine)
        returns, feeds = returns or b"\r" in mine, feeds or b"\n" in mine
        if end:
            behind = block[end:]
            break
        if size > 2 * PIECE_BYTES:
            raise _WholeError
    out.truncate(size)
    if not returns:
        return behind, b"\n" if feeds else b""
    out.seek(0)
    text = out.read()
    if not text.count(b"\r\n") == text.count(b"\r") == text.count(b"\n"):
        raise _WholeError
    return behind, b"\r\n"
