"""A call that only came too fast waits a moment: behind its own, beside others, and for no longer than it may."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from rig import CHAT, FakeKey, Rig, Wanted, chat, rig

from costweir.gateway import queueing
from costweir.gateway.mock import Faults
from costweir.gateway.mock.caller import Heard

SLOW = Faults(("slow",))


def parallel(count: int, **scope: str) -> dict[str, Any]:
    return {"id": "few", "parallel": count, "scope": scope}


def wanted(*budgets: dict[str, Any], seconds: float = 0.1) -> Wanted:
    return Wanted(budgets, faults=SLOW, slow_seconds=seconds)


async def ask(made: Rig, key: str = "cwk_test", **more: Any) -> Heard:
    return await made.caller(key).post(CHAT, chat(max_tokens=5, **more))


def told(heard: Heard) -> dict[str, Any]:
    return json.loads(heard.body)["costweir"]


def test_calls_beyond_the_limit_wait_for_their_turn_and_never_more_run_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, wanted(parallel(2))) as made:
            calls = [asyncio.create_task(ask(made)) for _ in range(6)]
            most = 0
            while not all(call.done() for call in calls):
                most = max(most, made.ledger.stats()["open"])
                await asyncio.sleep(0.001)
            assert [call.result().status for call in calls] == [200] * 6
            assert most == 2
            assert made.serving.queue.waiting == 0

    asyncio.run(run())


def test_who_waited_long_enough_is_told_to_come_back(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, wanted(parallel(1), seconds=1.0)) as made:
            made.serving.queue.seconds = 0.2
            first = asyncio.create_task(ask(made))
            await asyncio.sleep(0.1)
            began = monotonic()
            late, other = await asyncio.gather(ask(made), ask(made))
            assert 0.15 < monotonic() - began < 0.8
            assert (late.status, other.status) == (429, 429)
            assert late.headers["retry-after"] == "1"
            assert told(late)["budget_id"] == "few"
            assert (await first).status == 200

    asyncio.run(run())


def test_what_a_minute_has_no_room_for_is_refused_at_once_with_the_instant(tmp_path: Path) -> None:
    async def run() -> None:
        budget = {"id": "rpm", "requests_per_minute": 1}
        async with rig(tmp_path, wanted(budget)) as made:
            assert (await ask(made)).status == 200
            began = monotonic()
            heard = await ask(made)
            assert monotonic() - began < 1
            assert heard.status == 429
            assert told(heard)["resets_at"].endswith("Z")
            assert int(heard.headers["retry-after"]) > 50

    asyncio.run(run())


def test_what_no_minute_ever_holds_is_not_worth_trying_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, wanted({"id": "tpm", "tokens_per_minute": 3})) as made:
            heard = await ask(made)
            assert (heard.status, heard.headers["x-should-retry"]) == (402, "false")
            assert "3 tokens a minute" in json.loads(heard.body)["error"]["message"]

    asyncio.run(run())


def test_a_caller_who_hangs_up_in_the_queue_leaves_no_hold(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, wanted(parallel(1), seconds=0.3)) as made:
            first = asyncio.create_task(ask(made))
            await asyncio.sleep(0.05)
            gone = made.caller()
            waiting = asyncio.create_task(gone.post(CHAT, chat(max_tokens=5)))
            while not made.serving.queue.waiting:
                await asyncio.sleep(0.005)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await gone.close()
            assert (await first).status == 200
            await made.quiet()
            assert [row.state for row in await made.attempts()] == ["SETTLED"]
            assert made.mock.bill.calls == 1

    asyncio.run(run())


def test_the_crowd_of_one_customer_does_not_stand_before_anothers_call(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, wanted(parallel(1), seconds=0.1)) as made:
            made.keys.held["zeta"] = FakeKey("key_2", "zeta")
            crowd = [asyncio.create_task(ask(made)) for _ in range(10)]
            await asyncio.sleep(0.05)
            one = await ask(made, "zeta")
            assert one.status == 200
            assert sum(task.done() for task in crowd) <= 6
            await asyncio.gather(*crowd)

    asyncio.run(run())


def test_a_lane_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queueing, "MOST_IN_A_LANE", 2)

    async def run() -> None:
        async with rig(tmp_path, wanted(parallel(1), seconds=0.3)) as made:
            first = asyncio.create_task(ask(made))
            await asyncio.sleep(0.05)
            heard = await asyncio.gather(*(ask(made) for _ in range(5)))
            assert sorted(one.status for one in heard) == [200, 200, 429, 429, 429]
            await first

    asyncio.run(run())


def test_a_wait_is_told_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, wanted(parallel(1), seconds=0.4)) as made:
            made.serving.queue.seconds = 0.1
            first = asyncio.create_task(ask(made))
            await asyncio.sleep(0.05)
            heard = await ask(made)
            kept = made.ledger._journal.refusals  # pyright: ignore
            assert [row.refusal.request_id for row in kept] == [told(heard)["request_id"]]
            await first

    asyncio.run(run())
