"""The two gateways on trial: each is started, given one budget, called by the crowd, and judged by the same bill."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from random import Random

from gateway.machine import tree
from gateway.peers import MASTER_KEY, environment, litellm_budget
from gateway.peers import PEERS as _PEERS
from gateway.servers import free_port

from costweir.app.throwaway import CONTROL_FILE, ThrowAway, throw_away
from costweir.app.verdict import Books, Verdict
from costweir.control import Control
from costweir.control.directory import Budget
from costweir.gateway.mock import Faults, MockProvider, Rates
from costweir.gateway.mock.caller import Caller
from costweir.gateway.mock.crowd import Errand, Tally, request, send_crowd, send_until_refused
from costweir.guard.ledger import usd
from overspending.scenarios import LIMIT, Scenario

MODEL, CUSTOMER, BUDGET = "big", "acme", "on-trial"
RATES = {"input": "3.00", "output": "15.00"}
CONTEXT, LONGEST = 32_000, 4_096


@contextlib.asynccontextmanager
async def provider(scenario: Scenario) -> AsyncIterator[tuple[MockProvider, str]]:
    """The adversary on a port."""
    faults = Faults(scenario.faults, percent=scenario.percent, seed=scenario.seed)
    mock = MockProvider(rates={MODEL: Rates.usd(RATES)}, faults=faults, seed=scenario.seed, slow_seconds=0.2)
    try:
        yield mock, await mock.start()
    finally:
        await mock.close()


def errand(scenario: Scenario, url: str, key: str) -> Errand:
    return Errand(
        url,
        key,
        MODEL,
        scenario.clients,
        scenario.requests,
        seed=scenario.seed,
        aborts_percent=scenario.aborts,
    )


def result(scenario: Scenario, mock: MockProvider, *, blocked: int, counted: int, limit: int = LIMIT) -> dict:
    bill = mock.bill.total
    return {
        "limit": limit, "billed": bill, "overspend": max(0, bill - limit), "counted": counted, "blocked": blocked,
        "calls": mock.bill.calls, "said": f"billed ${usd(bill)} of ${usd(limit)}, own books ${usd(max(0, counted))}",
    }  # fmt: skip


class CostweirOnTrial:
    """A throw-away server for each scenario: SQLite with fsync, one strict budget, model suspended when it breaks."""

    name = "Costweir"

    def __init__(self) -> None:
        self.edits = self.breaches = 0

    async def try_scenario(self, scenario: Scenario) -> dict:
        async with provider(scenario) as (mock, address), self._server(address) as server:
            meanwhile = asyncio.create_task(self._meanwhile(scenario, server))
            wanted = errand(scenario, server.gateway, server.key)
            tally = await send_crowd(wanted)
            meanwhile.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await meanwhile
            if scenario.edits:
                with Control.open(server.folder / CONTROL_FILE) as control:
                    control.drop(Budget, "on-trial-too")
                self._set(server, LIMIT)
                await self._applied(server)
            books = await self._quiet(server)
            if not scenario.breaks:
                for smallest in (False, True):
                    alone = Errand(
                        server.gateway, server.key, MODEL, 1, 300, seed=scenario.seed, smallest=smallest
                    )
                    tally = tally.and_then(await send_until_refused(alone))
                    books = await self._quiet(server)
            return self._judged(scenario, server, tally=tally, books=books, mock=mock)

    def _judged(
        self, scenario: Scenario, server: ThrowAway, *, tally: Tally, books: Books, mock: MockProvider
    ) -> dict:
        needed = int(Decimal(str((tally.last or {}).get("needed_usd") or 0)).scaleb(9))
        with server.ledger() as ledger:
            drift = list(ledger.verify())
        verdict = Verdict(
            books=books, billed=mock.bill.total, admitted=0, blocked=tally.blocked, smallest_hold=needed, needed=needed,
            faults=scenario.faults, calls_billed=mock.bill.calls, verified=not drift,
        )  # fmt: skip
        holds = verdict.holds and not verdict.phantom and not self.breaches and verdict.ledger_equals_bill
        row = result(scenario, mock, blocked=tally.blocked, counted=books.counted)
        said = f"{verdict.sentence} unused ${usd(books.unused)}, smallest hold ${usd(needed)}; {dict(tally.statuses)}"
        said += f"; {self.edits} edits, {self.breaches} breaches" if scenario.edits else ""
        return row | {
            "holds": holds, "debt": books.debt, "unused": books.unused, "smallest": needed, "said": said,
            "uncertain": books.uncertain, "seconds": tally.seconds, "lost": tally.lost, "edits": self.edits,
        }  # fmt: skip

    @contextlib.asynccontextmanager
    async def _server(self, address: str) -> AsyncIterator[ThrowAway]:
        tables = (
            ("providers", {"id": "up", "kind": "mock", "base_url": address + "/v1", "allow_private": True,
                           "breaker_failures": 1000, "max_connections": 4000}),
            ("models", {"id": MODEL, "provider": "up", "context_tokens": CONTEXT, "max_output_tokens": LONGEST}),
            ("prices", {"model": MODEL, "effective": "2026-01-01", **RATES}),
            ("customers", {"id": CUSTOMER}),
        )  # fmt: skip
        with tempfile.TemporaryDirectory(prefix="costweir-overspend-") as folder:
            async with throw_away(Path(folder), {"log_level": "error"}, tables, customer=CUSTOMER) as server:
                self._set(server, LIMIT)
                await self._applied(server)
                yield server

    @staticmethod
    def _set(server: ThrowAway, limit: int, name: str = BUDGET) -> None:
        """What `costweir budget set` does: writes the control database that the gateway watches."""
        amount = f"{Decimal(limit).scaleb(-9):f}"
        budget = Budget(name, {"limit_usd": amount, "scope": {"customer": CUSTOMER}, "window": "total"})
        with Control.open(server.folder / CONTROL_FILE) as control:
            control.add(budget)

    @staticmethod
    async def _applied(server: ThrowAway) -> None:
        """Waits until the ledger holds what was set."""
        with Control.open(server.folder / CONTROL_FILE, read_only=True) as control:
            wanted = control.stops.revision
        async with asyncio.timeout(10):
            while True:
                with server.ledger() as ledger:
                    if ledger.revision >= wanted:
                        return
                await asyncio.sleep(0.02)

    async def _meanwhile(self, scenario: Scenario, server: ThrowAway) -> None:
        drawn = Random(scenario.seed)
        while scenario.edits:
            await self._edit(server, drawn.choice((LIMIT, LIMIT // 2, LIMIT // 3, LIMIT // 10)), BUDGET)
            await self._edit(server, LIMIT // drawn.choice((1, 2, 4)), "on-trial-too")
            with Control.open(server.folder / CONTROL_FILE) as control:
                control.drop(Budget, "on-trial-too")
            await asyncio.sleep(0.05)
        while scenario.lifts:
            with Control.open(server.folder / CONTROL_FILE) as control:
                control.stops.lift(MODEL, time.time_ns(), by="bench")
            await asyncio.sleep(0.2)

    async def _edit(self, server: ThrowAway, limit: int, name: str) -> None:
        """Sets a budget, and checks law L1 (edits): from then on nothing is admitted beyond the new limit. What was
        held already stays, so the count may stand above a lower limit, but it may not grow there."""
        self._set(server, limit, name)
        await self._applied(server)
        before = self._counted(server, name)
        await asyncio.sleep(0.1)
        after = self._counted(server, name)
        self.edits += 1
        self.breaches += after > max(limit, before)

    @staticmethod
    def _counted(server: ThrowAway, name: str) -> int:
        with server.ledger() as ledger:
            balance = next(row for row in ledger.balances() if row.budget_id == name)
        return balance.settled + balance.held + balance.debt

    @staticmethod
    async def _quiet(server: ThrowAway) -> Books:
        deadline = time.monotonic() + 30
        while True:
            with server.ledger() as ledger:
                balance = next(row for row in ledger.balances() if row.budget_id == BUDGET)
                uncertain = len(ledger.attempts(state="UNCERTAIN", limit=1_000_000))
            if not balance.open_holds or time.monotonic() > deadline:
                return Books.of(balance, uncertain=uncertain)
            await asyncio.sleep(0.2)


class LiteLLMOnTrial:
    """LiteLLM's proxy with its own hold on a key's budget, in memory; every scenario gets a key of its own."""

    def __init__(self, name: str, port: int, upstream_port: int) -> None:
        self.name, self.port, self.upstream_port, self.keys = name, port, upstream_port, 0

    @classmethod
    @contextlib.asynccontextmanager
    async def started(cls, installed: Path, *, fail_closed: bool) -> AsyncIterator[LiteLLMOnTrial]:
        port, upstream = free_port(), free_port()
        kind = "fail_closed_budget_enforcement" if fail_closed else "as it comes"
        command = litellm_budget(
            installed, port, upstream, budget=f"{Decimal(LIMIT).scaleb(-9)}", fail_closed=fail_closed,
            model=_CONFIG.format(
                port=upstream, model=MODEL, master=MASTER_KEY, context=CONTEXT, longest=LONGEST,
                fail_closed=str(fail_closed).lower(),
            ),
        )  # fmt: skip
        log = installed / f"litellm-overspend-{port}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, env=environment(_PEERS["litellm"]), stdout=out, stderr=out, start_new_session=True
            )
        try:
            caller = Caller(f"http://127.0.0.1:{port}")
            for _ in range(600):
                with contextlib.suppress(OSError):
                    if (await caller.get("/health/liveliness")).status == 200:
                        break
                await asyncio.sleep(0.1)
            await caller.close()
            yield cls(f"LiteLLM, {kind}", port, upstream)
        finally:
            for pid in tree(process.pid):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()
            shutil.rmtree(installed / f"litellm-budget-{port}", ignore_errors=True)
            log.unlink(missing_ok=True)

    async def try_scenario(self, scenario: Scenario) -> dict:
        self.keys += 1
        key = f"sk-trial-{self.keys}"
        faults = Faults(scenario.faults, percent=scenario.percent, seed=scenario.seed)
        mock = MockProvider(
            rates={MODEL: Rates.usd(RATES)}, faults=faults, seed=scenario.seed, slow_seconds=0.2
        )
        await mock.start(port=self.upstream_port)
        try:
            wanted = errand(scenario, f"http://127.0.0.1:{self.port}", key)
            tally = await send_crowd(wanted)
            await asyncio.sleep(3)
            blocked, counted = tally.failed, -1
            more, counted = await self._until_refused(key, scenario)
            blocked += more
        finally:
            await mock.close()
        row = result(scenario, mock, blocked=blocked, counted=counted)
        unused = max(0, LIMIT - mock.bill.total)
        return row | {
            "holds": not row["overspend"], "debt": None, "unused": unused, "smallest": None, "uncertain": None,
            "seconds": tally.seconds, "lost": tally.lost, "said": f"{row['said']}; {dict(tally.statuses)}",
        }  # fmt: skip

    async def _until_refused(self, key: str, scenario: Scenario) -> tuple[int, int]:
        """One caller alone until it is refused; and what LiteLLM's refusal says it has counted."""
        wanted = Errand(f"http://127.0.0.1:{self.port}", key, MODEL, 1, 60, seed=scenario.seed)
        caller = Caller(wanted.url, {"authorization": f"Bearer {key}"})
        counted = -1
        try:
            for number in range(wanted.requests):
                path, body = request(wanted, Random(wanted.seed * 1_000_003 + number))
                heard = await caller.post(path, body)
                told = re.search(rb"Current cost: ([0-9.e-]+)", bytes(heard.body))
                if told:
                    counted = int(Decimal(told[1].decode()).scaleb(9))
                    return 1, counted
        finally:
            await caller.close()
        return 0, counted


_CONFIG = """
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_base: http://127.0.0.1:{port}/v1
      api_key: sk-up
      max_retries: 0
      input_cost_per_token: 0.000003
      output_cost_per_token: 0.000015
    model_info:
      max_input_tokens: {context}
      max_output_tokens: {longest}
      max_tokens: {longest}
litellm_settings:
  telemetry: false
  num_retries: 0
  request_timeout: 60
  callbacks: bench_hook.accounting
general_settings:
  master_key: {master}
  custom_auth: bench_hook.check
  custom_auth_run_common_checks: true
  always_include_stream_usage: true
  fail_closed_budget_enforcement: {fail_closed}
router_settings:
  num_retries: 0
  disable_cooldowns: true
"""
