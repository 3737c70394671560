"""Calls that are turned away before a limit is asked: `why` knows them, and a caller hears nothing of the network."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from rig import CHAT, FakeKey, Rig, Wanted, chat, rig

from costweir.gateway.mock.caller import Heard
from costweir.guard import Start, open_ledger
from costweir.guard.ledger import Terms
from costweir.guard.ledgers.reader import LedgerReader
from costweir.guard.why import Why, explain


def told(heard: Heard) -> dict[str, Any]:
    return json.loads(heard.body)["costweir"]


def wanted(folder: Path, **more: Any) -> Wanted:
    """A gateway whose ledger another process can read."""
    return Wanted(ledger=open_ledger("sqlite:ledger.db", folder=folder, start=Start(Terms(), 1)), **more)


async def why(made: Rig, folder: Path, request_id: str) -> Why:
    await made.ledger.balances()
    with LedgerReader(folder / "ledger.db") as reader:
        return explain(reader, request_id)


@pytest.mark.parametrize(
    ("code", "key", "headers", "path", "model"),
    [
        ("key_invalid", "wrong", {}, CHAT, "big"),
        ("model_not_allowed", "cwk_test", {}, CHAT, "nothing"),
        ("model_not_allowed", "narrow", {}, CHAT, "big"),
        ("scope_not_allowed", "cwk_test", {"x-costweir-customer": "other"}, CHAT, "big"),
        ("endpoint_not_metered", "cwk_test", {}, "/v1/responses", "big"),
        ("invalid_request", "cwk_test", {}, CHAT, 7),
    ],
)
def test_why_knows_who_was_turned_away_at_the_door(
    tmp_path: Path, code: str, key: str, headers: dict[str, str], path: str, model: Any
) -> None:
    async def run() -> None:
        async with rig(tmp_path, wanted(tmp_path)) as made:
            made.keys.held["narrow"] = FakeKey("key_2", models=("small",))
            heard = await made.caller(key, **headers).post(path, chat(model=model))
            found = told(heard)
            assert found["code"] == code
            assert found["why_url"] == f"http://pages.example/why/{found['request_id']}"
            explained = await why(made, tmp_path, found["request_id"])
            assert explained.outcome == "refused"
            assert explained.summary in json.loads(heard.body)["error"]["message"]
            assert explained.refused is not None
            assert explained.refused.refusal.code == code
            assert explained.subject.customer == ("" if code == "key_invalid" else "acme")

    asyncio.run(run())


def test_a_caller_hears_nothing_of_where_a_provider_is_and_the_operator_does(tmp_path: Path) -> None:
    async def run() -> None:
        base = "http://127.0.0.1:9"
        async with rig(tmp_path, wanted(tmp_path, base=base)) as made:
            heard = await made.post(CHAT, chat())
            assert heard.status == 503
            assert b"127.0.0.1" not in heard.body
            found = told(heard)
            assert found["why_url"].endswith(found["request_id"])
            (attempt, *_) = (await why(made, tmp_path, found["request_id"])).to_json()["attempts"]  # pyright: ignore
            assert attempt["error_type"] == "connect"
            assert "127.0.0.1" in str(attempt["error_detail"])

    asyncio.run(run())


def test_strangers_do_not_push_out_what_others_were_refused_with(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, wanted(tmp_path)) as made:
            stranger, known = made.caller("wrong"), made.caller()
            refused = [told(await stranger.post(CHAT, chat())) for _ in range(60)]
            mine = told(await known.post(CHAT, chat(model="nothing")))
            await made.ledger.balances()
            with LedgerReader(tmp_path / "ledger.db") as reader:
                kept = {row.refusal.request_id for row in reader.refusals(limit=1000)}
            assert mine["request_id"] in kept
            assert 10 <= len(kept & {row["request_id"] for row in refused}) <= 30

    asyncio.run(run())
