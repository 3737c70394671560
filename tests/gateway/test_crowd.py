"""The crowd: every call is counted once, and a seed repeats it."""

from __future__ import annotations

import asyncio
import json
from random import Random

import pytest

from costweir.gateway.mock import Faults, MockProvider
from costweir.gateway.mock.caller import Heard
from costweir.gateway.mock.crowd import Errand, Tally, request, send_crowd, send_until_refused

ERRAND = Errand("http://127.0.0.1:9", "key", "m", clients=50, requests=300, seed=3)


def sent(errand: Errand, *names: str) -> tuple[MockProvider, Tally]:
    async def whole() -> tuple[MockProvider, Tally]:
        provider = MockProvider(faults=Faults(names, percent=30, seed=errand.seed), slow_seconds=0.05)
        address = await provider.start()
        try:
            here = Errand(**{name: getattr(errand, name) for name in errand.__slots__} | {"url": address})
            return provider, await send_crowd(here)
        finally:
            await provider.close()

    return asyncio.run(whole())


def test_every_call_is_counted_once() -> None:
    provider, tally = sent(ERRAND)
    assert (tally.answered, tally.sent, provider.bill.calls) == (300, 300, 300)


@pytest.mark.parametrize(("fault", "count"), [("hangs_up", "lost"), ("bills_then_5xx", "failed")])
def test_what_goes_wrong_is_counted_as_such(fault: str, count: str) -> None:
    _, tally = sent(ERRAND, fault)
    assert 60 < getattr(tally, count) < 130
    assert tally.sent == 300


def test_some_hang_up_and_are_billed_all_the_same() -> None:
    errand = Errand("", "key", "m", clients=20, requests=200, seed=1, aborts_percent=50)
    provider, tally = sent(errand, "slow")
    assert tally.left > 50
    assert tally.sent == 200
    assert provider.bill.calls >= tally.answered


def test_a_seed_repeats_the_requests() -> None:
    first, again, other = (request(ERRAND, Random(seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_nobody_listens_is_lost_and_not_raised() -> None:
    tally = asyncio.run(send_crowd(Errand("http://127.0.0.1:9", "key", "m", clients=3, requests=6)))
    assert tally.lost == tally.sent == 6


def test_the_refusals_of_the_gateway_are_told_from_those_of_the_provider() -> None:
    tally = Tally()
    refusal = {"error": {"message": "no"}, "costweir": {"code": "budget_exceeded", "needed_usd": "0.01"}}
    tally.add(Heard(402, {}, bytearray(json.dumps(refusal).encode()), complete=True), hung_up=False)
    assert (tally.blocked, tally.codes["budget_exceeded"]) == (1, 1)
    assert tally.refusal == refusal
    assert tally.last == refusal["costweir"]
    tally.add(Heard(429, {}, bytearray(b'{"error": {}}'), complete=True), hung_up=False)
    assert (tally.blocked, tally.failed, tally.last) == (1, 1, None)


def test_one_caller_alone_stops_at_the_first_refusal_or_at_its_last_call() -> None:
    async def whole() -> Tally:
        provider = MockProvider()
        try:
            return await send_until_refused(Errand(await provider.start(), "key", "m", 1, 5, smallest=True))
        finally:
            await provider.close()

    assert asyncio.run(whole()).answered == 5
