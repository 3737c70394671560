"""A trial of the weir: a throw-away server with a real ledger, a provider that keeps its own bill, and a crowd.

Nothing of it touches the installation's data. What was spent is read from the provider's bill, never from the
ledger on trial.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from time import monotonic
from typing import TYPE_CHECKING

from costweir.app.throwaway import LEDGER_FILE, Tables, ThrowAway, throw_away
from costweir.app.verdict import Books, Verdict
from costweir.errors import UsageError
from costweir.gateway.mock import Faults, MockProvider, Rates
from costweir.gateway.mock.crowd import Errand, Tally, send_crowd, send_until_refused
from costweir.guard.ledger import usd

if TYPE_CHECKING:
    from costweir.config import Settings

#: USD per 1,000,000 tokens of the model that the trial calls.
RATES = {"input": "3.00", "output": "15.00", "cache_read": "0.30", "cache_write": "3.75"}
_NAME = "budget-test"
_SETTLE_PATIENCE = 20.0
_SETTLE_STEP = 0.2
_FAULTY_PERCENT = 30
_ABORTING_PERCENT = 30
_LAST_DROPS = 200
_MANY = 100_000_000
#: Hears what is being done, how much of it is done, and how much there is (0 while unknown).
Report = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How many clients send how many requests against which limit (nano-dollars), and what goes wrong meanwhile."""

    limit: int
    clients: int = 1_000
    requests: int = 5_000
    faults: tuple[str, ...] = ()
    seed: int = 0
    customer: str = ""
    """Whose limit it is; only named in the trial."""
    url: str = ""
    """A gateway that runs already; empty starts a throw-away one."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it: the verdict, what the crowd was told, and which kind of ledger it was."""

    verdict: Verdict
    tally: Tally
    ledger: str


def billed_rates() -> dict[str, str]:
    """What the provider charges: what the ledger is told."""
    return RATES


def try_weir(settings: Settings, plan: Plan, *, report: Report = lambda _what, _done, _all: None) -> Trial:
    """Runs a trial in a throw-away server. UsageError for an unknown fault, Unreachable when it does not start."""
    import uvloop

    return uvloop.run(_try(settings, plan, report))


async def _try(settings: Settings, plan: Plan, report: Report) -> Trial:
    by_provider = tuple(name for name in plan.faults if name != "client_aborts")
    faults = Faults(by_provider, percent=_FAULTY_PERCENT, seed=plan.seed)
    provider = MockProvider(rates={_NAME: Rates.usd(billed_rates())}, faults=faults, seed=plan.seed)
    report("starting a throw-away gateway", 0, 0)
    base_url = await provider.start() + "/v1"
    ledger = settings.ledger
    if not ledger.url.startswith("sqlite:"):
        raise UsageError(
            "A trial needs a ledger that can be read from outside.",
            hint="Set ledger.url to sqlite:ledger.db.",
        )
    head = {"ledger.url": f"sqlite:{LEDGER_FILE}", "ledger.durability": ledger.durability}
    try:
        async with throw_away(settings.data_dir, head, _tables(plan, base_url), customer=_NAME) as server:
            tally = await _send(server, plan, report)
            verdict = Verdict(
                books=await _settled(server),
                billed=provider.bill.total,
                admitted=_admitted(server),
                blocked=tally.blocked,
                smallest_hold=_needed(tally),
                faults=plan.faults,
                calls_billed=provider.bill.calls,
                verified=await asyncio.to_thread(_rebuilds, server),
            )
    finally:
        await provider.close()
    return Trial(verdict, tally, f"{ledger.url.partition(':')[0]}, {ledger.durability}")


def _tables(plan: Plan, base_url: str) -> Tables:
    """The configuration: one model, and six scopes with budgets, of which the customer's is the one on trial."""
    narrow = {"scope.customer": _NAME, "limit_usd": usd(plan.limit), "window": "total"}
    wide = {"limit_usd": usd(plan.limit * 1_000), "window": "month"}
    others: dict[str, dict[str, str]] = {
        "everything": {},
        "plan": {"scope.plan": _NAME},
        "feature": {"scope.feature": _NAME},
        "model": {"scope.model": _NAME},
        "provider": {"scope.provider": _NAME},
    }
    return (
        ("providers", {
            "id": _NAME, "kind": "mock", "base_url": base_url, "allow_private": True, "breaker_failures": 1000,
        }),
        ("models", {
            "id": _NAME, "provider": _NAME, "context_tokens": 32_000, "max_output_tokens": 1_000,
        }),
        ("prices", {"model": _NAME, "effective": "2026-01-01", **RATES}),
        ("plans", {"id": _NAME, "price_usd": "0"}),
        ("customers", {"id": _NAME, "plan": _NAME}),
        ("budgets", {"id": _NAME, **narrow}),
        *(("budgets", {"id": f"{_NAME}-{name}", **scope, **wide}) for name, scope in others.items()),
    )  # fmt: skip


async def _send(server: ThrowAway, plan: Plan, report: Report) -> Tally:
    """The crowd first; then one caller alone, until it is refused, and again with the smallest request of all."""
    aborts = _ABORTING_PERCENT if "client_aborts" in plan.faults else 0
    errand = Errand(
        server.gateway, server.key, _NAME, plan.clients, plan.requests, seed=plan.seed, aborts_percent=aborts,
        headers={"x-costweir-feature": _NAME},
    )  # fmt: skip
    tally = await send_crowd(errand, done=lambda done, every: report("calls", done, every))
    report("waiting for the last settlements", 0, 0)
    for smallest in (False, True):
        await _settled(server)
        alone = replace(errand, requests=_LAST_DROPS, aborts_percent=0, smallest=smallest)
        tally = tally.and_then(await send_until_refused(alone))
    return tally


async def _settled(server: ThrowAway) -> Books:
    """The budget's books once no hold is open, or as they are when that takes too long."""
    deadline = monotonic() + _SETTLE_PATIENCE
    while True:
        with server.ledger() as ledger:
            balance = next(row for row in ledger.balances() if row.budget_id == _NAME)
            uncertain = len(ledger.attempts(state="UNCERTAIN", limit=1))
        if not balance.open_holds or monotonic() > deadline:
            return Books.of(balance, uncertain=uncertain)
        await asyncio.sleep(_SETTLE_STEP)


def _admitted(server: ThrowAway) -> int:
    """Requests that the ledger let through; a caller that hung up does not know."""
    with server.ledger() as ledger:
        return len({row.request_id for row in ledger.attempts(limit=_MANY)})


def _rebuilds(server: ThrowAway) -> bool:
    with server.ledger() as ledger:
        return not ledger.verify()


def _needed(tally: Tally) -> int:
    """Nano-dollars that the last refused call would have held."""
    return int(Decimal(str((tally.last or {}).get("needed_usd") or 0)).scaleb(9))
