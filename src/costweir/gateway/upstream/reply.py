"""One reply of a provider while it arrives: first its head, then either the whole body or a stream to a sink."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from costweir.gateway.upstream.faults import UpstreamFault

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a provider may take, in seconds: to accept, to begin, between two pieces, and altogether."""

    connect: float = 5
    first_byte: float = 300
    idle: float = 120
    total: float = 900


class Sink(Protocol):
    """Takes a stream as it arrives. Called from the event loop, never after `on_end` or `on_fault`."""

    def on_data(self, data: bytes) -> None:
        """A piece of the body."""
        ...

    def on_end(self) -> None:
        """The body is complete."""
        ...

    def on_fault(self, fault: UpstreamFault) -> None:
        """The body ends here, unfinished."""
        ...


class Flow(Protocol):
    """The transport's part that a sink needs for backpressure."""

    def pause_reading(self) -> None:
        """Takes no more data from the provider for now."""
        ...

    def resume_reading(self) -> None:
        """Takes data again."""
        ...


class Reply:
    """What one attempt gets back. `deadline` is looked at by the pool's sweep, in the event loop's time."""

    __slots__ = (
        "_head", "_loop", "_parts", "_sink", "_whole", "deadline", "ended", "fault", "flow", "give_up", "headers",
        "idle", "most", "size", "status",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, patience: Patience, *, most: int) -> None:
        now = loop.time()
        self._loop = loop
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.size = 0
        self.most = most
        self.ended = False
        self.fault: UpstreamFault | None = None
        self.flow: Flow | None = None
        self.idle = patience.idle
        self.give_up = now + patience.total
        self.deadline = min(now + patience.first_byte, self.give_up)
        self._parts: list[bytes] = []
        self._sink: Sink | None = None
        self._head: asyncio.Future[None] | None = None
        self._whole: asyncio.Future[None] | None = None

    async def head(self) -> None:
        """Waits for status and headers. Raises UpstreamFault."""
        if self.fault is None and not self.status:
            self._head = self._loop.create_future()
            await self._head
        if self.fault is not None:
            raise self.fault

    async def body(self) -> bytes:
        """Waits for all of it. Raises UpstreamFault."""
        if self.fault is None and not self.ended:
            self._whole = self._loop.create_future()
            await self._whole
        if self.fault is not None:
            raise self.fault
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def pipe(self, sink: Sink) -> None:
        """Gives the sink what has come, and from now on every piece as it comes."""
        parts, self._parts = self._parts, []
        for part in parts:
            sink.on_data(part)
        if self.ended:
            sink.on_end()
        elif self.fault is not None:
            sink.on_fault(self.fault)
        else:
            self._sink = sink

    def header(self, name: bytes) -> bytes:
        """The value of a header by its lower-case name, empty when it is not there."""
        for found, value in self.headers:
            if found == name:
                return value
        return b""

    def begin(self, status: int) -> None:
        """The head is complete."""
        self.status = status
        _wake(self._head)

    def data(self, data: bytes) -> bool:
        """Takes a piece of the body; False when the body has become larger than it may."""
        if self._sink is not None:
            self._sink.on_data(data)
            return True
        self.size += len(data)
        if self.size > self.most:
            return False
        self._parts.append(data)
        return True

    def end(self) -> None:
        """The body is complete."""
        self.ended = True
        if self._sink is not None:
            self._sink.on_end()
        _wake(self._whole)

    def fail(self, fault: UpstreamFault) -> None:
        """Nothing more will come."""
        if self.ended or self.fault is not None:
            return
        self.fault = fault
        if self._sink is not None:
            self._sink.on_fault(fault)
        _wake(self._head)
        _wake(self._whole)


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
