"""A stream on its way from the provider to the client: event by event, as soon as each is whole.

The usage in it settles the attempt. A client that leaves stops hearing, but the provider is heard to the end, so that
what it bills is known; a client that reads slowly slows the provider down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

import msgspec

from costweir.gateway.exchange import Exchange
from costweir.gateway.routes import Family
from costweir.gateway.sse import Events, TooLong, data_of
from costweir.gateway.upstream.faults import UpstreamFault
from costweir.gateway.upstream.reply import Reply
from costweir.guard.ledger import usd

#: What an event of a chat has to hold to be read; the few at the beginning are read whatever they hold, to know whether
#: anything was said. Reading all of them would cost more than everything else that is done for a stream.
_TELLING = (b'"usage":{', b'"usage": {', b'"finish_reason":"', b'"finish_reason": "', b"[DONE]")
_BEGINNING = 4


class Reader(Protocol):
    """Gathers usage from the events of one wire format."""

    def feed(self, data: bytes, /) -> object:
        """The data of one event."""
        ...


class _Chunk(msgspec.Struct):
    """What says that a chunk of a chat holds nothing but usage."""

    choices: list[msgspec.Raw] | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")


_chunk = msgspec.json.Decoder(_Chunk).decode
#: How the event of a message begins that has its final counts.
_ENDINGS = (b'{"type":"message_delta"', b'{"type": "message_delta"')


@dataclass(frozen=True, slots=True)
class Manner:
    """How a stream is passed on: without the usage that the caller did not ask for, without the provider's key, and for
    so long when nobody hears it any more. `cost` gives the nano-dollars of what was read so far, None while unknown."""

    hides_usage: bool
    abandoned_seconds: float
    mask: Callable[[bytes], bytes]
    cost: Callable[[], int | None]


class Relay:
    """Takes the stream of one reply. `done` is set when the provider has ended, well or not."""

    def __init__(
        self, exchange: Exchange, reply: Reply, reader: Reader, *, loop: asyncio.AbstractEventLoop, manner: Manner
    ) -> None:  # fmt: skip
        self._exchange = exchange
        self._reply = reply
        self._reader = reader
        self._loop = loop
        self._manner = manner
        self._events = Events()
        self._family: Family = exchange.route.family
        self._read = 0
        self.first: float | None = None
        self.fault: UpstreamFault | None = None
        self.done: asyncio.Future[None] = loop.create_future()
        exchange.watcher = self
        if exchange.disconnected:
            self.on_client_gone()

    # what the provider's connection calls

    def on_data(self, data: bytes) -> None:
        """Bytes came: whole events go on at once."""
        if self.first is None:
            self.first = perf_counter()
        try:
            events = self._events.feed(data)
        except TooLong:
            self._fail(UpstreamFault("too_large", "The provider sent an event that never ends.", sent=True))
            return
        if events:
            self._exchange.write(self._manner.mask(b"".join([self._passed(event) for event in events])))
            if self._exchange.congested and not self._exchange.disconnected and self._reply.flow is not None:
                self._reply.flow.pause_reading()
                # Silence is our own doing now.
                self._reply.deadline = self._reply.give_up

    def on_end(self) -> None:
        """The provider has said everything."""
        rest = self._events.rest()
        if rest.strip():
            self._exchange.write(self._manner.mask(self._passed(rest)))
        self._finish()

    def on_fault(self, fault: UpstreamFault) -> None:
        """The provider ended early."""
        self._fail(fault)

    # what the client's connection calls

    def on_client_ready(self) -> None:
        """The client reads again."""
        if self._reply.flow is not None:
            self._reply.deadline = min(self._loop.time() + self._reply.idle, self._reply.give_up)
            self._reply.flow.resume_reading()

    def on_client_gone(self) -> None:
        """Nobody reads any more; the rest is heard for the bill, within a bound."""
        self._reply.give_up = min(self._reply.give_up, self._loop.time() + self._manner.abandoned_seconds)
        self._reply.deadline = min(self._reply.deadline, self._reply.give_up)
        if self._reply.flow is not None:
            self._reply.flow.resume_reading()

    def _passed(self, event: bytes) -> bytes:
        """Reads one event, and gives what of it goes to the client: nothing of usage that it did not ask for, and the
        cost in the one that ends the counting."""
        if (
            self._family == "openai"
            and self._read > _BEGINNING
            and not any(map(event.__contains__, _TELLING))
        ):
            return event
        data = data_of(event)
        if not data:
            return event
        self._read += 1
        self._reader.feed(data)
        if not self._counts(data):
            return event
        if self._manner.hides_usage:
            return b""
        cost = self._manner.cost()
        return event if cost is None else with_cost(event, cost)

    def _counts(self, data: bytes) -> bool:
        """True for the event that says what everything came to."""
        if self._family == "anthropic":
            return data.startswith(_ENDINGS)
        return b'"usage"' in data and _is_usage_only(data)

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def _fail(self, fault: UpstreamFault) -> None:
        if self.fault is None:
            self.fault = fault
        self._finish()


def _is_usage_only(data: bytes) -> bool:
    try:
        chunk = _chunk(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return chunk.choices == [] and bytes(chunk.usage) != b"null"


def with_cost(event: bytes, nano: int) -> bytes:
    """An event with what the call cost as one more field of its object, `costweir`."""
    head, end, rest = event.rpartition(b"}")
    return b'%b,"costweir":{"cost_usd":"%b"}%b%b' % (head, usd(nano).encode(), end, rest)
