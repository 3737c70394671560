"""One JSON line per call on stdout, gathered for a moment so that a busy gateway does not write thousands of times a
second. Lines hold who, what and how much; never content, never a key (law L9)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import msgspec

#: Seconds that a line may wait, and how many bytes may gather before.
_PAUSE_SECONDS = 0.1
_MOST = 64 * 1024

#: How grave a line is, as the standard library counts.
INFO, WARNING, ERROR = 20, 30, 40
#: What every line of a call says of itself; it is written once and put before what is of the call.
_CALL = b'{"service":"costweir","process":"gateway","event_type":"call",'

_encode = msgspec.json.Encoder().encode


class Journal:
    """Writes through `write`, from one event loop, which must not wait. Lines below `least` are not for it; `dropped`
    says how many were given up."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, write: Callable[[bytes], object], *, least: int = INFO,
        dropped: Callable[[], int] = lambda: 0,
    ) -> None:  # fmt: skip
        self._loop = loop
        self._write = write
        self.least = least
        self.dropped = dropped
        self._lines: list[bytes] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None

    def note(self, record: msgspec.Struct | Mapping[str, object]) -> None:
        """Notes one thing that happened: a call as a struct, anything else as a whole record."""
        line = _encode(record)
        if isinstance(record, msgspec.Struct):
            line = _CALL + line[1:]
        self._lines.append(line)
        self._size += len(line)
        if self._size >= _MOST:
            self.flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(_PAUSE_SECONDS, self.flush)

    def flush(self) -> None:
        """Writes what has gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines, self._size = self._lines, [], 0
        if lines:
            self._write(b"\n".join(lines) + b"\n")
