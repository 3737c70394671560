"""The way of a call: held, forwarded as it came, passed back as it came, settled; and every way it can fail."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rig import CHAT, MESSAGES, FakeKey, Wanted, budget, chat, message, rig

from costweir.gateway.mock import Faults
from costweir.gateway.mock.caller import Heard
from costweir.guard.ledger import usd


def told(heard: Heard) -> dict[str, Any]:
    return json.loads(heard.body)


def test_a_call_costs_what_the_provider_bills_and_the_reply_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, Wanted([budget("5.00")])) as made:
            heard = await made.post(CHAT, chat(max_completion_tokens=50))
            assert heard.status == 200
            assert told(heard)["object"] == "chat.completion"
            assert heard.headers["x-costweir-cost-usd"] == usd(made.mock.bill.total)
            assert heard.headers["x-costweir-model"] == "big"
            assert heard.headers["x-costweir-request-id"].startswith("req_")
            assert len(heard.headers["x-costweir-request-id"]) == 30
            remaining = 5_000_000_000 - made.mock.bill.total
            assert heard.headers["x-costweir-remaining-usd"] == usd(remaining)
            assert await made.spent() == made.mock.bill.total
            (row,) = await made.attempts()
            assert (row.state, row.certainty, row.request_id) == (
                "SETTLED", "reported", heard.headers["x-costweir-request-id"],
            )  # fmt: skip
            assert row.held >= row.charged > 0

    asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, chat(max_tokens=40, stream=True)),
        (CHAT, chat(max_tokens=40, stream=True, stream_options={"include_usage": True})),
        (MESSAGES, message(stream=True)),
        (MESSAGES, message()),
        ("/v1/embeddings", json.dumps({"model": "big", "input": ["one", "two"]}).encode()),
    ],
)
def test_every_metered_path_settles_with_the_providers_own_figures(
    tmp_path: Path, path: str, body: bytes
) -> None:
    async def run() -> None:
        async with rig(tmp_path, Wanted([budget("5.00")])) as made:
            heard = await made.post(path, body)
            await made.quiet()
            assert heard.status == 200
            assert made.mock.bill.total > 0
            assert await made.spent() == made.mock.bill.total

    asyncio.run(run())


def test_usage_is_seen_by_the_gateway_and_only_by_the_caller_who_asked(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, Wanted([budget("5.00")])) as made:
            quiet = await made.post(CHAT, chat(max_tokens=40, stream=True))
            loud = await made.post(
                CHAT, chat(max_tokens=40, stream=True, stream_options={"include_usage": True})
            )
            assert b'"usage":{' not in quiet.body
            assert b'"usage":{' in loud.body
            assert bytes(quiet.body).endswith(b"data: [DONE]\n\n")
            assert [row.certainty for row in await made.attempts()] == ["reported", "reported"]

    asyncio.run(run())


def test_what_the_budget_does_not_hold_is_refused_before_the_provider_hears_of_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, Wanted([budget("0.000001")])) as made:
            heard = await made.post(CHAT, chat())
            assert heard.status == 402
            assert heard.headers["x-should-retry"] == "false"
            said = told(heard)["costweir"]
            assert said["code"] == "budget_exceeded"
            assert said["budget_id"] == "acme-day"
            assert said["limit_usd"] == "0.000001"
            assert said["why_url"] == f"http://pages.example/why/{said['request_id']}"
            assert made.mock.bill.total == 0
            assert made.mock.bill.calls == 0

    asyncio.run(run())


def test_nothing_is_sent_that_was_not_held_by_500_callers_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, Wanted([budget("0.02")], degrade=False)) as made:
            heard = await asyncio.gather(
                *(made.post(CHAT, chat(max_completion_tokens=100)) for _ in range(500))
            )
            await made.quiet()
            assert {one.status for one in heard} == {200, 402}
            assert made.mock.bill.total <= 20_000_000
            assert await made.spent() == made.mock.bill.total

    asyncio.run(run())


def test_the_body_reaches_the_provider_byte_for_byte_but_for_what_must_be_set(tmp_path: Path) -> None:
    body = (
        b'{"model": "big" , "messages":[{"role":"user","content":"\\u00fc \xc3\xbc  1.0e2"}],'
        b' "temperature": 1.0e0, "max_completion_tokens":7}'
    )

    async def run() -> None:
        seen: list[bytes] = []

        async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            seen.append(head + await reader.readexactly(length))
            writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(upstream, "127.0.0.1", 0)
        base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with rig(tmp_path, Wanted(base=base)) as made:
            heard = await made.post(CHAT, body, cookie="a=b", **{"openai-organization": "org-theirs"})
            assert heard.status == 400
        server.close()
        head, _, sent = seen[0].partition(b"\r\n\r\n")
        assert b'[{"role":"user","content":"\\u00fc \xc3\xbc  1.0e2"}]' in sent
        assert b"1.0e0" in sent
        assert json.loads(sent) == json.loads(body) | {"model": "big-1", "max_tokens": 7}
        assert b"cwk_test" not in seen[0]
        assert b"cookie" not in head.lower()
        assert b"org-theirs" not in head

    asyncio.run(run())


@pytest.mark.parametrize(
    ("fault", "status", "state"),
    [
        ("hangs_up", 502, "UNCERTAIN"),
        ("bills_then_5xx", 500, "UNCERTAIN"),
        ("rate_limits", 429, "RELEASED"),
        ("omits_usage", 200, "UNCERTAIN"),
        ("malformed", 200, "UNCERTAIN"),
        ("html", 502, "UNCERTAIN"),
    ],
)
def test_a_failure_charges_the_hold_unless_the_provider_provably_billed_nothing(
    tmp_path: Path, fault: str, status: int, state: str
) -> None:
    async def run() -> None:
        wanted = Wanted([budget("5.00")], provider="retries = 0")
        async with rig(tmp_path, wanted) as made:
            heard = await made.post(CHAT, chat(f"[[mock: {fault}]]", max_completion_tokens=20))
            assert heard.status == status
            (row,) = await made.attempts()
            assert row.state == state
            assert row.charged == (0 if state == "RELEASED" else row.held)
            assert await made.spent() >= made.mock.bill.total

    asyncio.run(run())


def test_each_retry_holds_its_own_money(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, Wanted([budget("5.00")], provider="retries = 2")) as made:
            heard = await made.post(CHAT, chat("[[mock: bills_then_5xx]]", max_completion_tokens=20))
            rows = await made.attempts()
            assert heard.status == 500
            assert [row.state for row in rows] == ["UNCERTAIN"] * 3
            assert len({row.attempt for row in rows}) == 3
            assert len({row.request_id for row in rows}) == 1
            assert await made.spent() == sum(row.held for row in rows) >= made.mock.bill.total

    asyncio.run(run())


def test_another_model_answers_when_the_provider_cannot_be_reached(tmp_path: Path) -> None:
    async def run() -> None:
        wanted = Wanted([budget("5.00")], fallback=("spare",), provider="retries = 0", degrade=False)
        async with rig(tmp_path, wanted) as made:
            made.serving.door.roster.links["up"].pool.resolver.port = 1
            heard = await made.post(CHAT, chat(max_completion_tokens=20))
            assert heard.status == 200
            assert heard.headers["x-costweir-model"] == "spare"
            assert heard.headers["x-costweir-degraded-from"] == "big"
            assert [(row.model, row.state) for row in await made.attempts()] == [
                ("big", "RELEASED"), ("spare", "SETTLED"),
            ]  # fmt: skip

    asyncio.run(run())


def test_a_provider_that_fails_again_and_again_is_left_alone(tmp_path: Path) -> None:
    async def run() -> None:
        wanted = Wanted(provider="retries = 0\nbreaker_failures = 2\nbreaker_seconds = 60")
        async with rig(tmp_path, wanted) as made:
            for _ in range(2):
                assert (await made.post(CHAT, chat("[[mock: bills_then_5xx]]"))).status == 500
            heard = await made.post(CHAT, chat())
            assert heard.status == 503
            assert int(heard.headers["retry-after"]) > 0
            assert len(await made.attempts()) == 2

    asyncio.run(run())


def test_a_stand_in_serves_what_the_budget_cannot_carry_any_more(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, Wanted([budget("0.01")])) as made:
            held = [await made.post(CHAT, chat(max_completion_tokens=600)) for _ in range(4)]
            served = [one.headers.get("x-costweir-model") for one in held if one.status == 200]
            assert "small" in served
            degraded = next(one for one in held if one.headers.get("x-costweir-model") == "small")
            assert degraded.headers["x-costweir-degraded-from"] == "big"
            firm = await made.post(CHAT, chat(max_completion_tokens=600), **{"x-costweir-no-degrade": "1"})
            assert firm.status == 402

    asyncio.run(run())


def test_a_cap_is_lowered_to_what_fits_and_the_caller_is_told(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, Wanted([budget("0.01")], degrade=False)) as made:
            heard = await made.post(CHAT, chat(max_completion_tokens=4000))
            assert heard.status == 200
            assert 256 <= int(heard.headers["x-costweir-clamped-to"]) < 4000
            assert made.mock.bill.total <= 10_000_000

    asyncio.run(run())


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_a_caller_who_hangs_up_is_charged_what_was_used(tmp_path: Path, path: str) -> None:
    body = chat(max_tokens=400, stream=True) if path == CHAT else message(max_tokens=400, stream=True)

    async def run() -> None:
        wanted = Wanted([budget("5.00")], faults=Faults(("slow",)), slow_seconds=0.05)
        async with rig(tmp_path, wanted) as made:
            caller = made.caller()
            heard = await caller.post(path, body, abandon_after=1)
            assert not heard.complete
            await made.quiet()
            (row,) = await made.attempts()
            assert (row.state, row.certainty) == ("SETTLED", "reported")
            assert row.charged == made.mock.bill.total
            assert row.call["outcome"] == "aborted"

    asyncio.run(run())


def test_a_stream_that_is_cut_charges_the_hold_and_tells_the_caller(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path, Wanted([budget("5.00")])) as made:
            heard = await made.post(CHAT, chat("[[mock: hangs_up]]", max_tokens=400, stream=True))
            await made.quiet()
            rows = await made.attempts()
            assert rows[-1].state == "UNCERTAIN"
            assert rows[-1].charged == rows[-1].held
            if heard.status == 200:
                assert b'"error"' in heard.body
                assert not heard.complete

    asyncio.run(run())


def test_a_key_opens_only_its_models_and_says_only_what_it_may(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path) as made:
            made.keys.held["narrow"] = FakeKey("key_2", models=("small",), may_assert=())
            wrong = await made.post(CHAT, chat(), key="no such key")
            model = await made.post(CHAT, chat(model="big"), key="narrow")
            other = await made.post(CHAT, chat(model="small"), key="narrow", **{"x-costweir-customer": "b"})
            session = await made.post(CHAT, chat(model="small"), key="narrow", **{"x-costweir-session": "s"})
            own = await made.post(CHAT, chat(model="small"), key="narrow", **{"x-costweir-customer": "acme"})
            codes = [told(one).get("costweir", {}).get("code") for one in (wrong, model, other, session)]
            assert codes == ["key_invalid", "model_not_allowed", "scope_not_allowed", "scope_not_allowed"]
            assert [one.status for one in (wrong, model, other, session, own)] == [401, 403, 403, 403, 200]

    asyncio.run(run())


def test_what_is_not_metered_is_refused_by_name(tmp_path: Path) -> None:
    async def run() -> None:
        async with rig(tmp_path) as made:
            for path in ("/v1/files", "/v1/responses", "/v1/audio/speech", "/v1/batches", "/v1/assistants/x"):
                heard = await made.post(path, b"{}")
                assert heard.status == 403
                assert told(heard)["costweir"]["code"] == "endpoint_not_metered"
                assert path in told(heard)["error"]["message"]
            assert (await made.post("/nowhere", b"{}")).status == 404
            assert (await made.caller().get(CHAT)).status == 405
            unknown = await made.post("/v1/messages/batches", b"{}")
            assert told(unknown)["type"] == "error"

    asyncio.run(run())


def test_models_and_budgets_are_those_of_the_key(tmp_path: Path) -> None:
    async def run() -> None:
        others = budget("9.00", "theirs", scope={"customer": "other"})
        async with rig(tmp_path, Wanted([budget("5.00"), others])) as made:
            made.keys.held["narrow"] = FakeKey("key_2", models=("small",))
            made.keys.held["other"] = FakeKey("key_3", customer="other")
            assert (await made.post(CHAT, chat(max_completion_tokens=20))).status == 200
            assert (await made.post(CHAT, chat(max_completion_tokens=20), key="other")).status == 200
            models = told(await made.caller("narrow").get("/v1/models"))
            assert [row["id"] for row in models["data"]] == ["small"]
            mine = told(await made.caller().get("/v1/me/budget"))
            assert {row["budget_id"] for row in mine["rows"]} == {"acme-day"}
            assert "other" not in json.dumps(mine)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, chat(max_tokens=40, stream=True, stream_options={"include_usage": True})),
        (MESSAGES, message(stream=True)),
    ],
)
def test_the_event_that_counts_a_stream_says_what_it_cost(tmp_path: Path, path: str, body: bytes) -> None:
    async def run() -> None:
        async with rig(tmp_path, Wanted([budget("5.00")])) as made:
            heard = await made.post(path, body)
            await made.quiet()
            events = [json.loads(line[6:]) for line in heard.body.split(b"\n") if line.startswith(b"data: {")]
            told = [event for event in events if "costweir" in event]
            assert [event["costweir"] for event in told] == [{"cost_usd": usd(made.mock.bill.total)}]
            assert told[0]["usage"]

    asyncio.run(run())


def test_texts_are_counted_when_their_bytes_do_not_fit(tmp_path: Path) -> None:
    text = "The quick brown fox jumps over the lazy dog. " * 200

    async def run() -> None:
        # 9,000 bytes at 3.75 USD a million are 0.034 USD; the 2,000 tokens that they are cost a fifth.
        async with rig(tmp_path, Wanted([budget("0.02")], degrade=False)) as made:
            heard = await made.post(CHAT, chat(text, max_tokens=300))
            assert heard.status == 402
            models = made.serving.door.roster.models
            known = replace(models["big"].terms, tokenizer="o200k_base", rewrites=False, preamble=0)
            models["big"] = replace(models["big"], terms=known)
            heard = await made.post(CHAT, chat(text, max_tokens=300))
            assert heard.status == 200
            (row,) = await made.attempts()
            assert row.debt == 0
            assert row.charged <= row.held <= 20_000_000
            # What fits even less is refused, and told once.
            heard = await made.post(CHAT, chat(text * 20, max_tokens=300))
            assert heard.status == 402
            kept = made.ledger._journal.refusals  # pyright: ignore
            assert [entry.refusal.request_id for entry in kept].count(
                told(heard)["costweir"]["request_id"]
            ) == 1
            assert sum(event.kind == "blocked" for event in await made.ledger.events(0)) == 1

    asyncio.run(run())
