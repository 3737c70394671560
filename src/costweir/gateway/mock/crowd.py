"""Thousands of callers at once, repeatable by seed: what `costweir budget test` and the benchmarks send."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from time import perf_counter
from typing import Any, cast

import msgspec

from costweir.gateway.mock.caller import Caller, Heard

#: Sizes of prompts in words, and output caps; None lets the gateway set one.
_PROMPTS = (3, 12, 40, 150)
_CAPS = (16, 60, 200, 400, None)
#: The gateway's own words for a call that it did not let through.
_REFUSALS = frozenset(
    {
        "budget_exceeded", "rate_limited", "price_unknown", "unbounded_request", "endpoint_not_metered",
        "model_not_allowed", "scope_not_allowed", "key_invalid", "ledger_unavailable",
    }
)  # fmt: skip
_PATIENCE = 60.0
_DIALS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Errand:
    """What a crowd does: `requests` calls over `clients` connections, of which some hang up on the answer."""

    url: str
    key: str
    model: str
    clients: int
    requests: int
    seed: int = 0
    streams_percent: int = 50
    aborts_percent: int = 0
    forms: tuple[str, ...] = ("openai.chat",)
    smallest: bool = False
    """Sends the smallest request only: a word, and one token of output."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(slots=True)
class Tally:
    """What the crowd was told. Every request is in exactly one of the counts.

    `blocked` are refusals by the gateway itself, by code in `codes`; `failed` are other answers than 200;
    `left` are calls that the caller hung up on; `lost` had no answer.
    """

    answered: int = 0
    blocked: int = 0
    failed: int = 0
    left: int = 0
    lost: int = 0
    codes: Counter[str] = field(default_factory=Counter[str])
    statuses: Counter[int] = field(default_factory=Counter[int])
    refusal: dict[str, Any] | None = None
    """The first refusal, as the caller saw it, and its status."""
    refusal_status: int = 0
    last: dict[str, Any] | None = None
    """The `costweir` object of the last refusal, when the last call was refused."""
    seconds: float = 0.0

    def and_then(self, later: Tally) -> Tally:
        """Both together; the first refusal and the last are kept."""
        return Tally(
            *(
                getattr(self, name) + getattr(later, name)
                for name in ("answered", "blocked", "failed", "left", "lost")
            ),
            codes=self.codes + later.codes,
            statuses=self.statuses + later.statuses,
            refusal=self.refusal or later.refusal,
            refusal_status=self.refusal_status or later.refusal_status,
            last=later.last,
            seconds=self.seconds + later.seconds,
        )

    @property
    def sent(self) -> int:
        """All requests."""
        return self.answered + self.blocked + self.failed + self.left + self.lost

    def add(self, heard: Heard, *, hung_up: bool) -> None:
        """Counts one answer."""
        self.statuses[heard.status] += 1
        refusal = _refusal(heard)
        self.last = refusal and refusal["costweir"]
        if refusal is not None:
            self.blocked += 1
            self.codes[str(refusal["costweir"].get("code"))] += 1
            if self.refusal is None:
                self.refusal, self.refusal_status = refusal, heard.status
        elif hung_up:
            self.left += 1
        elif not heard.complete:
            self.lost += 1
        elif heard.status == 200:
            self.answered += 1
        else:
            self.failed += 1


async def send_crowd(errand: Errand, *, done: Callable[[int, int], None] = lambda _done, _all: None) -> Tally:
    """Sends the whole errand and tells how it went. `done` hears how many calls ended, out of how many."""
    tally, begun = Tally(), perf_counter()
    numbers = iter(range(errand.requests))
    dialling = asyncio.Semaphore(_DIALS_AT_ONCE)

    async def one_client() -> None:
        caller = _caller(errand)
        try:
            for number in numbers:
                if not caller.connected:
                    async with dialling:
                        await _connect(caller)
                await _call(errand, caller, number, tally)
                done(tally.sent, errand.requests)
        finally:
            await caller.close()

    await asyncio.gather(*(one_client() for _ in range(min(errand.clients, errand.requests))))
    tally.seconds = perf_counter() - begun
    return tally


async def send_until_refused(errand: Errand) -> Tally:
    """One caller alone goes on until it is refused, so that nothing that could still be spent is left behind.

    Stops after `errand.requests` calls at the latest.
    """
    tally, caller = Tally(), _caller(errand)
    try:
        for number in range(errand.requests):
            await _call(errand, caller, number, tally)
            if tally.last is not None:
                break
    finally:
        await caller.close()
    return tally


def _caller(errand: Errand) -> Caller:
    return Caller(errand.url, {"authorization": f"Bearer {errand.key}", **errand.headers})


async def _connect(caller: Caller) -> None:
    with suppress(OSError):
        await caller.connect()


async def _call(errand: Errand, caller: Caller, number: int, tally: Tally) -> None:
    drawn = Random(errand.seed * 1_000_003 + number)  # noqa: S311 - a test that can be repeated
    path, body = request(errand, drawn)
    hangs_up = drawn.randrange(100) < errand.aborts_percent
    after = drawn.choice((0, 1, 400)) if hangs_up else None
    heard = Heard()
    try:
        async with asyncio.timeout(_PATIENCE):
            heard = await caller.post(path, body, abandon_after=after)
    except (OSError, TimeoutError):
        await caller.close()
    tally.add(heard, hung_up=hangs_up and not heard.complete)


def request(errand: Errand, drawn: Random) -> tuple[str, bytes]:
    """Path and body of one request."""
    form, cap = drawn.choice(errand.forms), 1 if errand.smallest else drawn.choice(_CAPS)
    size = 1 if errand.smallest else drawn.choice(_PROMPTS)
    words = " ".join(f"row{drawn.randrange(1_000, 10_000)}" for _ in range(size))
    body: dict[str, Any] = {"model": errand.model, "messages": [{"role": "user", "content": words}]}
    if drawn.randrange(100) < errand.streams_percent:
        body["stream"] = True
    if form == "anthropic.messages":
        return "/v1/messages", msgspec.json.encode({**body, "max_tokens": cap or 300})
    if cap is not None:
        body["max_tokens"] = cap
    return "/v1/chat/completions", msgspec.json.encode(body)


def _refusal(heard: Heard) -> dict[str, Any] | None:
    if heard.status < 400 or not heard.complete:
        return None
    try:
        body = msgspec.json.decode(bytes(heard.body))
    except msgspec.DecodeError:
        return None
    given = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    own = given.get("costweir")
    code = cast("dict[str, Any]", own).get("code") if isinstance(own, dict) else None
    return given if code in _REFUSALS else None
