"""Calls that wait a moment for room in a limit of pace (tokens or requests a minute, calls at once) before they fail.

A wait is short, and so is the queue. Calls of one customer for one budget stand in a lane, in the order in which they
came, and only the first of a lane asks the ledger; so nobody's crowd stands before somebody else's call. Whoever waits
holds nothing, and a caller who hangs up is forgotten.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from costweir.gateway.exchange import Exchange
from costweir.guard.ledger import Ask, Hold, Ledger, Refusal, Subject

#: How many calls wait at most, in one lane and in all.
MOST_IN_A_LANE = 100
MOST = 1_000
#: Seconds between two questions of the first in a lane, where nobody can say when a call ends; more with many lanes.
_STEP_SECONDS = 0.005
_LANES_A_STEP = 8

#: The budget and its member.
_Limit = tuple[str, tuple[tuple[str, str], ...]]


class _Waiter:
    """One call in a lane. Its client's connection wakes it when nobody waits any more."""

    __slots__ = ("_loop", "_woken")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._woken: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """Something happened."""
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    def on_client_ready(self) -> None:
        """A call that waits writes nothing."""

    def on_client_gone(self) -> None:
        """Nobody waits any more."""
        self.wake()

    async def pause(self, seconds: float) -> None:
        """Waits so long, or until it is woken."""
        self._woken = self._loop.create_future()
        timer = self._loop.call_later(seconds, self.wake)
        try:
            await self._woken
        finally:
            timer.cancel()


@dataclass(slots=True)
class Queue:
    """The lanes of one gateway. A call waits `seconds` at most; with 0 none waits."""

    loop: asyncio.AbstractEventLoop
    seconds: float = 2
    waiting: int = 0
    """How many calls wait now."""
    _lanes: dict[str, dict[_Limit, deque[_Waiter]]] = field(
        default_factory=dict[str, "dict[_Limit, deque[_Waiter]]"]
    )

    async def reserve(self, ledger: Ledger, ask: Ask, exchange: Exchange) -> Hold | Refusal:
        """Asks the ledger, behind those of the same caller who wait for the same room already."""
        for limit in self._lanes.get(_owner(ask.subject), ()):
            if _meets(limit, ask):
                return await self._stand(ledger, ask, exchange, limit=limit)
        answer = await ledger.reserve(ask, send=True)
        if isinstance(answer, Refusal) and answer.code == "rate_limited":
            return await self.wait(ledger, ask, exchange, refusal=answer)
        return answer

    async def wait(self, ledger: Ledger, ask: Ask, exchange: Exchange, *, refusal: Refusal) -> Hold | Refusal:
        """Asks again after a refusal that `ask.waits` kept from being told, and tells the last one. The hold of a
        caller who is gone by then is given back."""
        limit = refusal.budget_id, tuple(refusal.scope.items())
        return await self._stand(ledger, ask, exchange, limit=limit, refusal=refusal)

    async def _stand(
        self, ledger: Ledger, ask: Ask, exchange: Exchange, *, limit: _Limit, refusal: Refusal | None = None
    ) -> Hold | Refusal:
        answer: Hold | Refusal | None = refusal
        lane = self._lanes.get(_owner(ask.subject), {}).get(limit, deque())
        if self.seconds and self.waiting < MOST and len(lane) < MOST_IN_A_LANE:
            with self._place(ask.subject, limit, lane) as waiter:
                exchange.watcher = waiter
                answer = await self._asked(ledger, ask, exchange, place=(lane, waiter), refusal=refusal)
                exchange.watcher = None
        if answer is None:
            # It stood behind others until its time was over.
            answer = await ledger.reserve(ask, send=True)
        if isinstance(answer, Hold) and exchange.disconnected:
            ledger.release(answer.attempt, "caller_gone", {"outcome": "aborted"})
            text = "The caller left before there was room."
            answer = Refusal("rate_limited", ask.request_id, text, limit[0], dict(limit[1]))
        if isinstance(answer, Refusal) and answer.code == "rate_limited":
            ledger.refused(ask, answer)
        return answer

    @contextmanager
    def _place(self, subject: Subject, limit: _Limit, lane: deque[_Waiter]) -> Generator[_Waiter]:
        """A place at the end of a lane. Whoever leaves it lets the next one ask."""
        waiter, owner = _Waiter(self.loop), _owner(subject)
        self._lanes.setdefault(owner, {})[limit] = lane
        lane.append(waiter)
        self.waiting += 1
        try:
            yield waiter
        finally:
            self.waiting -= 1
            lane.remove(waiter)
            if lane:
                lane[0].wake()
            else:
                del self._lanes[owner][limit]
                if not self._lanes[owner]:
                    del self._lanes[owner]

    async def _asked(
        self, ledger: Ledger, ask: Ask, exchange: Exchange, *, place: tuple[deque[_Waiter], _Waiter],
        refusal: Refusal | None,
    ) -> Hold | Refusal | None:  # fmt: skip
        """What the ledger says once it is this call's turn and there is room, or said last; None without a turn."""
        (lane, waiter), end = place, self.loop.time() + self.seconds
        while lane[0] is not waiter:
            left = end - self.loop.time()
            if left <= 0 or exchange.disconnected:
                return refusal
            await waiter.pause(left)
        while not exchange.disconnected:
            if refusal is not None:
                pause = self._until(refusal)
                if self.loop.time() + pause > end:
                    return refusal
                await waiter.pause(pause)
                if exchange.disconnected:
                    break
            answer = await ledger.reserve(ask, send=True)
            if isinstance(answer, Hold) or answer.code != "rate_limited":
                return answer
            refusal = answer
        return refusal

    def _until(self, refusal: Refusal) -> float:
        """Seconds until it is worth asking again."""
        if refusal.resets_at is not None:
            return refusal.retry_after or 0
        return _STEP_SECONDS * (1 + len(self._lanes) // _LANES_A_STEP)


def _owner(subject: Subject) -> str:
    return subject.customer or subject.key


def _meets(limit: _Limit, ask: Ask) -> bool:
    """Whether a call is about a limit: everything that its member names."""
    first = ask.candidates[0]
    things = {"model": first.model, "provider": first.provider}
    return all(things.get(kind, getattr(ask.subject, kind, "")) == name for kind, name in limit[1])
