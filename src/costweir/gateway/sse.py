"""Server-sent events, cut out of a stream of bytes without changing one."""

from __future__ import annotations

import re

#: The largest event that is waited for.
MOST_EVENT = 16 << 20
_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")


class TooLong(ValueError):
    """An event that never ends."""


class Events:
    """Gathers bytes, and gives whole events with their ends."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The events that are complete now. Raises TooLong."""
        block = self._rest + data if self._rest else data
        found: list[bytes] = []
        start = 0
        if b"\r" in block:
            for match in _END.finditer(block):
                found.append(block[start : match.end()])
                start = match.end()
        else:
            end = block.find(b"\n\n")
            while end >= 0:
                found.append(block[start : end + 2])
                start = end + 2
                end = block.find(b"\n\n", start)
        self._rest = block[start:]
        if len(self._rest) > MOST_EVENT:
            raise TooLong
        return found

    def rest(self) -> bytes:
        """What is left at the end of the stream."""
        rest, self._rest = self._rest, b""
        return rest


def data_of(event: bytes) -> bytes:
    """The data of an event, its lines joined as the standard says; empty without any."""
    if event.startswith(b"data: ") and event.find(b"\n", 0, -2) < 0 and not event.endswith(b"\r\n"):
        return event[6:].rstrip(b"\n")
    lines = [line[5:].removeprefix(b" ") for line in event.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines)
