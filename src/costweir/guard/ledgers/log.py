"""The log before the file: what a batch writes, durable with one write in place.

A commit of the file that survives a power loss flushes a page of every table and index that it touches. The log is two
files that keep their length and are written over from the start in turn, in whole blocks, so that the disk flushes one
place and no metadata. Whoever waits is told then; the file follows, and at the next start it is brought up to what the
log has (law L3).
"""

from __future__ import annotations

import os
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

#: Records begin at whole blocks, so that no flush touches one that was promised already.
BLOCK = 4_096
#: From this size on the other file is next.
FULL = 1 << 20
#: A file that is too short grows by so much.
_GROWTH = 1 << 20
_NAMES = ("-log0", "-log1")
#: Which run of the ledger wrote it, its number, its length, and a sum over these and the data.
_HEAD = struct.Struct("<16sQII")
TOKEN_BYTES = 16

#: Only the data has to reach the disk; the files keep their length.
sync = getattr(os, "fdatasync", os.fsync)


class Log:
    """The log of one run. Written by one thread; `flush` and `prepare` may be called by another."""

    def __init__(self, path: Path, token: bytes) -> None:
        self._token = token
        self._files = [
            os.open(path.with_name(path.name + name), os.O_RDWR | os.O_CREAT, 0o600) for name in _NAMES
        ]
        self._lengths = [os.fstat(file).st_size for file in self._files]
        self._current = 0
        self._at = 0
        #: What was written behind `_sure` and is not durable yet, and whether a flush of it failed.
        self._sure = 0
        self._unsure: list[bytes] = []
        self._failed = False
        self._flushing = threading.Lock()
        for which in range(len(_NAMES)):
            self._lengthen(which, FULL)

    @property
    def full(self) -> bool:
        """True once it is time for the other file."""
        return self._at >= FULL

    def write(self, number: int, data: bytes, *, durable: bool) -> None:
        """Writes one record; what is not asked to be durable becomes it with the next that is. Raises OSError, and may
        be called again with the same number then."""
        head = _HEAD.pack(self._token, number, len(data), 0)
        whole = _HEAD.pack(self._token, number, len(data), zlib.crc32(data, zlib.crc32(head))) + data
        size = -(-len(whole) // BLOCK) * BLOCK
        self._lengthen(self._current, self._at + size)
        # What follows in the last block is of an earlier turn, or zero; the next record covers it.
        block = whole.ljust(size, b"\0")
        with self._flushing:
            os.pwrite(self._files[self._current], block, self._at)
            if durable:
                self._sync()
            else:
                self._unsure.append(block)
            self._at += size
            if durable:
                self._sure = self._at

    def flush(self) -> None:
        """Makes durable what was written. Raises OSError."""
        with self._flushing:
            if self._unsure:
                self._sync()
                self._sure = self._at

    def _sync(self) -> None:
        """Flushes. The system may take pages for clean that it failed to write, so after a failure all that was not
        durable yet is written once more: no record is promised behind one that is lost."""
        file = self._files[self._current]
        if self._failed:
            os.pwrite(file, b"".join(self._unsure), self._sure)
        self._failed = True
        sync(file)
        self._failed = False
        self._unsure.clear()

    def prepare(self) -> None:
        """Makes the other file as long as it will be."""
        self._lengthen(1 - self._current, FULL)

    def turn(self) -> bool:
        """Goes on in the other file, whose records the ledger's file must have kept by now. False when what was written
        cannot be made durable: no record is promised behind one that is not."""
        with self._flushing:
            try:
                self._sync()
            except OSError:
                return False
            self._current = 1 - self._current
            self._at = self._sure = 0
        return True

    def close(self) -> None:
        """Lets go of the files."""
        for file in self._files:
            os.close(file)

    def _lengthen(self, which: int, wanted: int) -> None:
        length = self._lengths[which]
        if length >= wanted:
            return
        wanted = max(wanted, length + _GROWTH)
        # Zeros, not a hole: the first write into a hole would have to flush metadata after all.
        os.pwrite(self._files[which], bytes(wanted - length), length)
        os.fsync(self._files[which])
        self._lengths[which] = wanted


def records(path: Path, token: bytes, after: int) -> Iterator[tuple[int, bytes]]:
    """What the log of an earlier run has that comes right after the number `after`, in order."""
    chains = [list(_chain(path.with_name(path.name + name), token)) for name in _NAMES]
    for chain in sorted(chains):
        for number, data in chain:
            if number == after + 1:
                yield number, data
                after = number


def _chain(path: Path, token: bytes) -> Iterator[tuple[int, bytes]]:
    """The records of one file from its beginning; the first that is torn or older than the one before ends it."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return
    at = last = 0
    while at + _HEAD.size <= len(text):
        run, number, length, told = _HEAD.unpack_from(text, at)
        data = text[at + _HEAD.size : at + _HEAD.size + length]
        head = _HEAD.pack(run, number, length, 0)
        if (
            run != token
            or number <= last
            or len(data) != length
            or zlib.crc32(data, zlib.crc32(head)) != told
        ):
            return
        yield number, data
        last = number
        at += -(-(_HEAD.size + length) // BLOCK) * BLOCK
