"""`costweir why`: one request in a sentence, a table, or one JSON object, with no server running."""

from __future__ import annotations

import asyncio
from pathlib import Path

from costweir.guard import Start, open_ledger
from costweir.guard.ledger import Ask, Candidate, Hold, Refusal, Settlement, Subject, Terms

BIG = Candidate("big", "up1", 100_000_000, 1_000_000, 1_000, 1_000, 1_200, "v1")


def kept(folder: Path) -> None:
    """A ledger with one call that was served and one that was refused."""
    budget = {"id": "acme-day", "scope": {"customer": "acme"}, "limit_usd": "2.00", "window": "day"}

    async def run() -> None:
        folder.mkdir(parents=True)
        ledger = open_ledger("sqlite:ledger.db", folder=folder, start=Start(terms=Terms(budgets=[budget])))
        for name in ("a", "b"):
            answer = await ledger.reserve(Ask(f"req_{name}", Subject(customer="acme"), (BIG,)), send=True)
            if isinstance(answer, Hold):
                call = {"hold": [100_000_000, 1_000, 1_000_000]}
                ledger.settle(answer.attempt, Settlement(1_000_000_000, "reported", call=call))
        assert isinstance(answer, Refusal)
        await ledger.close()

    asyncio.run(run())


def test_a_call_and_a_refusal_are_explained(cli, home: Path) -> None:
    kept(home / "data")

    served = cli("why", "req_a", "--json").json
    refused = cli("why", "req_b", "--json").json

    assert (served["schema"], served["outcome"], served["attempts"][0]["settled_usd"]) == (
        "costweir.why/1", "served", "1.00",
    )  # fmt: skip
    assert (refused["outcome"], refused["refusal"]["needed_usd"]) == ("refused", "1.10")
    assert "0.10 + 1000 x 0.001" in cli("why", "req_a").out
    text = cli("why", "req_b").out
    assert "Budget acme-day for customer acme has 1.00 of 2.00 USD left" in text
    assert "900 output tokens of big would have fitted" in text
    assert "customer=acme" in text
    assert cli("why", "req_a", "--csv").out.startswith("attempt_id,state,model,")


def test_a_request_or_a_ledger_that_is_not_there_is_said(cli, home: Path) -> None:
    assert cli("why", "req_a", "--json").error["code"] == "not_found"
    kept(home / "data")

    done = cli("why", "req_zzz", "--json")
    assert (done.code, done.error["code"]) == (1, "not_found")
    assert "x-costweir-request-id" in done.error["hint"]


def test_a_ledger_in_memory_cannot_be_read_from_outside(cli, monkeypatch) -> None:
    monkeypatch.setenv("COSTWEIR_LEDGER__URL", "memory:")

    assert cli("why", "req_a", "--json").code == 1
