"""Where a trial of the weir takes place: in a throw-away server, or in the server that runs on this data directory."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from costweir.app.locks import MOCKS_FILE
from costweir.app.throwaway import LEDGER_FILE, Tables, throw_away
from costweir.app.verdict import Books
from costweir.control import Control
from costweir.control.directory import Budget
from costweir.control.keys import KeyWish
from costweir.errors import Unreachable, UsageError
from costweir.gateway.mock import Faults, MockProvider, Rates
from costweir.gateway.mock.caller import Caller
from costweir.gateway.mock.faults import BREAKING
from costweir.guard.ledger import usd
from costweir.guard.ledgers.reader import LedgerReader

if TYPE_CHECKING:
    from costweir.config import Settings
    from costweir.config.tables import Provider

#: USD per 1,000,000 tokens of the model that a throw-away server has.
RATES = {"input": "3.00", "output": "15.00", "cache_read": "0.30", "cache_write": "3.75"}
NAME = "budget-test"
_APPLY_PATIENCE, _SETTLE_PATIENCE = 5.0, 20.0
_APPLY_STEP, _SETTLE_STEP = 0.05, 0.2
_MANY = 100_000_000


@dataclass(frozen=True, slots=True)
class Stand:
    """A gateway to try, the budget on trial (also the name of its customer), and the provider with its bill.

    `billed_before` is what stood on the bill already, in nano-dollars and calls.
    """

    gateway: str
    key: str
    model: str
    budget: str
    ledger: Path
    provider: str
    billed_before: tuple[int, int] = (0, 0)

    async def billed(self) -> tuple[int, int]:
        """Nano-dollars and calls on the provider's own bill, since the trial began."""
        total, calls = await bill_of(self.provider)
        return total - self.billed_before[0], calls - self.billed_before[1]

    async def settled(self) -> Books:
        """The budget's books once no hold is open and nothing changes any more, or as they are when that takes too
        long. The ledger's file is a moment behind what was answered, so one look is not enough."""
        deadline = monotonic() + _SETTLE_PATIENCE
        before: Books | None = None
        while True:
            await asyncio.sleep(_SETTLE_STEP)
            with self._read() as ledger:
                balance = next(row for row in ledger.balances() if row.budget_id == self.budget)
                attempts = ledger.attempts(state="UNCERTAIN", limit=_MANY)
            uncertain = sum(row.subject.customer == self.budget for row in attempts)
            books = Books.of(balance, uncertain=uncertain)
            if (not balance.open_holds and books == before) or monotonic() > deadline:
                return books
            before = books

    def admitted(self) -> tuple[int, int]:
        """How many requests the ledger let through (a caller that hung up does not know), and the smallest hold."""
        with self._read() as ledger:
            own = [row for row in ledger.attempts(limit=_MANY) if row.subject.customer == self.budget]
        return len({row.request_id for row in own}), min((row.held for row in own), default=0)

    def rebuilds(self) -> bool:
        """Whether every balance equals what its attempts add up to."""
        with self._read() as ledger:
            return not ledger.verify()

    @contextmanager
    def _read(self) -> Generator[LedgerReader]:
        with LedgerReader(self.ledger) as reader:
            yield reader


def billed_rates() -> dict[str, str]:
    """What the provider of a throw-away server charges: what its ledger is told."""
    return RATES


@asynccontextmanager
async def throw_away_stand(settings: Settings, limit: int, faults: Faults) -> AsyncGenerator[Stand]:
    """A server of its own on a temporary folder, with the kind and durability of the ledger that is configured."""
    if not settings.ledger.url.startswith("sqlite:"):
        raise UsageError(
            "A trial needs a ledger that can be read from outside.",
            hint="Set ledger.url to sqlite:ledger.db.",
        )
    provider = MockProvider(rates={NAME: Rates.usd(billed_rates())}, faults=faults, seed=faults.seed)
    address = await provider.start()
    head = {"ledger.url": f"sqlite:{LEDGER_FILE}", "ledger.durability": settings.ledger.durability}
    try:
        async with throw_away(settings.data_dir, head, _tables(limit, address), customer=NAME) as server:
            yield Stand(server.gateway, server.key, NAME, NAME, server.folder / LEDGER_FILE, address)
    finally:
        await provider.close()


def _tables(limit: int, address: str) -> Tables:
    """The configuration: one model, and six scopes with budgets, of which the customer's is the one on trial."""
    narrow = {"scope.customer": NAME, "limit_usd": usd(limit), "window": "total"}
    wide = {"limit_usd": usd(limit * 1_000), "window": "month"}
    others: dict[str, dict[str, str]] = {
        "everything": {},
        "plan": {"scope.plan": NAME},
        "feature": {"scope.feature": NAME},
        "model": {"scope.model": NAME},
        "provider": {"scope.provider": NAME},
    }
    return (
        ("providers", {
            "id": NAME, "kind": "mock", "base_url": f"{address}/v1", "allow_private": True,
            "breaker_failures": 1000, "max_connections": 10_000,
        }),
        ("models", {"id": NAME, "provider": NAME, "context_tokens": 32_000, "max_output_tokens": 1_000}),
        ("prices", {"model": NAME, "effective": "2026-01-01", **RATES}),
        ("plans", {"id": NAME, "price_usd": "0"}),
        ("customers", {"id": NAME, "plan": NAME}),
        ("budgets", {"id": NAME, **narrow}),
        *(("budgets", {"id": f"{NAME}-{name}", **scope, **wide}) for name, scope in others.items()),
    )  # fmt: skip


@asynccontextmanager
async def running_stand(settings: Settings, limit: int, faults: Faults, *, url: str) -> AsyncGenerator[Stand]:
    """The gateway that runs on this data directory: a customer, a budget and a key for the time of the trial.

    Unreachable when nobody answers at `url`, UsageError when it has no model on a provider of kind `mock`. Budgets that
    cover everything count the trial too.
    A model that was suspended because the trial broke an assumption on purpose is lifted again.
    """
    await _reached(url)
    provider = next((row for row in settings.providers if row.kind == "mock"), None)
    model = next((row.id for row in settings.models if provider and row.provider == provider.id), None)
    if provider is None or model is None:
        raise UsageError(
            "The running gateway has no model on a provider of kind mock, so a trial would cost money.",
            hint="Leave out --url to try a throw-away gateway, or configure a provider of kind mock with a model.",
        )
    address = _address_of(provider, settings)
    name = f"{NAME}-{secrets.token_hex(4)}"
    amount = {"limit_usd": usd(limit), "scope": {"customer": name}, "window": "total"}
    before = await bill_of(address)
    with Control.open(settings.control_path) as control:
        wish = KeyWish(name, models=(model,), expires=timedelta(hours=1), name="budget test")
        key, text = control.keys.create(wish, by=NAME)
        control.add(Budget(name, amount))
        wanted = control.stops.revision
    ledger = settings.data_dir / settings.ledger.url.removeprefix("sqlite:")
    try:
        await _applied(ledger, wanted)
        await _switch(address, faults)
        yield Stand(url.rstrip("/").removesuffix("/v1"), text, model, name, ledger, address, before)
    finally:
        await _switch(address, Faults())
        with Control.open(settings.control_path) as control:
            control.drop(Budget, name)
            control.keys.revoke(key.id, by=NAME)
            if BREAKING & set(faults.names):
                control.stops.lift(model, time_ns(), by=NAME)


async def _reached(url: str) -> None:
    """Whether a gateway answers there. Raises Unreachable, and UsageError for what is no address."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise UsageError(f"{url!r} is no address of a gateway.", hint="Write it like http://127.0.0.1:4000.")
    caller = Caller(url.rstrip("/").removesuffix("/v1"))
    try:
        heard = await caller.get("/health")
    except (OSError, ValueError):
        heard = None
    finally:
        await caller.close()
    if heard is None or heard.status != 200:
        raise Unreachable(
            f"No gateway answers at {url}.", hint="Start it with `costweir up`, or leave out --url."
        )


def _address_of(provider: Provider, settings: Settings) -> str:
    if provider.base_url is not None:
        return str(provider.base_url).rstrip("/").removesuffix("/v1")
    try:
        told = json.loads((settings.data_dir / MOCKS_FILE).read_text(encoding="utf-8"))
        return str(told[provider.id])
    except (OSError, ValueError, KeyError):
        raise Unreachable(
            f"No gateway runs on {settings.data_dir} that says where its built-in provider {provider.id!r} is.",
            hint="Start it with `costweir up`, or name its data directory with --data-dir.",
        ) from None


async def _applied(ledger: Path, revision: int) -> None:
    """Waits until the gateway works with what was set. Unreachable when it does not in five seconds."""
    deadline = monotonic() + _APPLY_PATIENCE
    while monotonic() < deadline:
        with LedgerReader(ledger) as reader:
            if reader.revision >= revision:
                # The keys are read at the same time as the budgets; the answer to both is one step away.
                await asyncio.sleep(_SETTLE_STEP)
                return
        await asyncio.sleep(_APPLY_STEP)
    raise Unreachable(
        "The gateway does not take up the budget of the trial.", hint="Is it running on this data?"
    )


async def bill_of(address: str) -> tuple[int, int]:
    """Nano-dollars and calls on the bill of a mock provider. Unreachable when it does not answer."""
    told = await _desk(address, "/bill", None)
    return int(told["total_nano"]), int(told["calls"])


async def _switch(address: str, faults: Faults) -> None:
    wanted = {"names": list(faults.names), "percent": faults.percent, "seed": faults.seed}
    await _desk(address, "/faults", json.dumps(wanted).encode())


async def _desk(address: str, path: str, body: bytes | None) -> dict[str, Any]:
    caller = Caller(address)
    try:
        heard = await (caller.get(path) if body is None else caller.post(path, body))
        return json.loads(bytes(heard.body))
    except (OSError, ValueError):
        raise Unreachable(f"The mock provider at {address} does not answer.", hint="Is it running?") from None
    finally:
        await caller.close()
