"""A whole gateway in the event loop of a test: real sockets, a real ledger, the built-in provider before it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

from costweir.config import load
from costweir.gateway.admission import Door
from costweir.gateway.app import Desk, create_app
from costweir.gateway.journal import Journal
from costweir.gateway.mock import Faults, MockProvider, Rates
from costweir.gateway.mock.caller import Caller, Heard
from costweir.gateway.protocol import Caps, drop_the_slow, protocol_for
from costweir.gateway.roster import Roster
from costweir.gateway.serving import Serving
from costweir.gateway.witness import Witness
from costweir.guard import Start, open_ledger
from costweir.guard.ledger import Attempt, Ledger, Terms
from costweir.prices.book import Book

KEY = "cwk_test"
CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
CHEAP = {"input": "0.30", "output": "1.50", "cache_read": "0.03", "cache_write": "0.38"}
PRICES = {"input": "3.00", "output": "15.00", "cache_read": "0.30", "cache_write": "3.75"}


@dataclass(frozen=True)
class FakeKey:
    """A virtual key."""

    id: str = "key_1"
    customer: str = "acme"
    models: tuple[str, ...] = ()
    may_assert: tuple[str, ...] = ("session", "user")


@dataclass
class FakeKeys:
    """Keys by their text."""

    held: dict[str, FakeKey] = field(default_factory=lambda: {KEY: FakeKey()})

    def find(self, text: str) -> FakeKey | None:
        return self.held.get(text)


def budget(limit: str, name: str = "acme-day", **more: Any) -> dict[str, Any]:
    """A strict budget of the customer `acme` for a day."""
    return {
        "id": name, "scope": {"customer": "acme"}, "limit_usd": limit, "window": "day", "timezone": "UTC",
        "mode": "strict", "thresholds": [50, 80, 95, 100],
    } | more  # fmt: skip


def chat(text: str = "hi", model: str = "big", **more: Any) -> bytes:
    """The body of a chat."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": text}], **more}).encode()


def message(text: str = "hi", model: str = "clever", **more: Any) -> bytes:
    """The body of a message."""
    wanted = {"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": text}], **more}
    return json.dumps(wanted).encode()


@dataclass
class Rig:
    """The running parts. `lines` is the journal."""

    url: str
    mock: MockProvider
    ledger: Ledger
    serving: Serving
    server: uvicorn.Server
    keys: FakeKeys
    lines: list[bytes]
    port: int
    callers: list[Caller] = field(default_factory=list[Caller])

    def caller(self, key: str = KEY, **headers: str) -> Caller:
        """A client with a key."""
        made = Caller(self.url, {"authorization": f"Bearer {key}", **headers})
        self.callers.append(made)
        return made

    async def post(self, path: str, body: bytes, **headers: str) -> Heard:
        """One call on a connection of its own."""
        caller = self.caller(**headers)
        return await caller.post(path, body)

    async def attempts(self) -> Sequence[Attempt]:
        """The ledger's rows, oldest first."""
        return list(reversed(await self.ledger.attempts(limit=1000)))

    async def spent(self) -> int:
        """Nano-dollars that all budgets together count as gone."""
        return sum(row.settled + row.debt for row in await self.ledger.balances())

    async def quiet(self) -> None:
        """Waits until no call is under way."""
        async with asyncio.timeout(10):
            while self.serving.witness.metrics.in_flight:
                await asyncio.sleep(0.005)


def prices_of(model: str) -> dict[str, str]:
    """USD per 1,000,000 tokens."""
    return CHEAP if model == "small" else PRICES


def settings_text(base: str, more: str = "", provider: str = "") -> str:
    """A configuration with an OpenAI and an Anthropic provider, both of them the mock."""

    def rates(model: str) -> str:
        return "".join(f'{name} = "{value}"\n' for name, value in prices_of(model).items())

    models = {"big": "up", "small": "up", "clever": "ant", "spare": "up2"}
    rows = "".join(
        f'[[models]]\nid = "{name}"\nprovider = "{where}"\nupstream = "{name}-1"\ncontext_tokens = 128000\n'
        f"max_output_tokens = 4096\n"
        + ('degrade_to = ["small"]\n' if name == "big" else "")
        + f'[[prices]]\nmodel = "{name}"\neffective = "2026-01-01"\n{rates(name)}\n'
        for name, where in models.items()
    )
    return (
        f'[[providers]]\nid = "up"\nkind = "openai"\nbase_url = "{base}/v1"\nallow_private = true\n{provider}\n'
        f'[[providers]]\nid = "up2"\nkind = "openai"\nbase_url = "{base}/v1"\nallow_private = true\n'
        f'[[providers]]\nid = "ant"\nkind = "anthropic"\nbase_url = "{base}"\nallow_private = true\n'
        f"{rows}{more}\n"
    )


@dataclass(frozen=True)
class Wanted:
    """What a rig is made of."""

    budgets: Sequence[dict[str, Any]] = ()
    faults: Faults | None = None
    caps: Caps = field(default_factory=Caps)
    provider: str = ""
    base: str = ""
    ledger: Ledger | None = None
    fallback: tuple[str, ...] = ()
    degrade: bool = True
    hosts: tuple[bytes, ...] = ()
    abandoned: float = 5
    slow_seconds: float = 0.5


@contextlib.asynccontextmanager
async def rig(folder: Path, wanted: Wanted | None = None) -> AsyncIterator[Rig]:
    """Starts everything, and ends it."""
    wanted = wanted or Wanted()
    loop = asyncio.get_running_loop()
    rates = {f"{name}-1": Rates.usd(prices_of(name)) for name in ("big", "small", "clever", "spare")}
    mock = MockProvider(rates=rates, faults=wanted.faults, slow_seconds=wanted.slow_seconds)
    base = await mock.start()
    text = settings_text(wanted.base or base, provider=wanted.provider)
    if wanted.fallback:
        text = text.replace(
            'upstream = "big-1"', f'upstream = "big-1"\nfallback = {json.dumps(wanted.fallback)}'
        )
    if not wanted.degrade:
        text = text.replace('degrade_to = ["small"]', "")
    (folder / "costweir.toml").write_text(text)
    settings = load(path=folder / "costweir.toml", environ={}, overrides={"data_dir": str(folder / "data")})
    ledger = wanted.ledger or open_ledger(
        "memory:", folder=folder, start=Start(Terms(budgets=wanted.budgets, customers={"acme": ""}), 1)
    )
    book = Book.load(overrides=[row.model_dump(mode="json", exclude_none=True) for row in settings.prices])
    roster = Roster.of(settings, book, mocks={})
    lines: list[bytes] = []
    keys = FakeKeys()
    witness = Witness(loop, Journal(loop, lines.append), address="http://pages.example")
    serving = Serving(loop, Door(roster, keys), ledger, witness, abandoned_seconds=wanted.abandoned)
    desk = Desk(serving, secret="inside")
    config = uvicorn.Config(
        create_app(desk), http=protocol_for(serving, wanted.caps, wanted.hosts), loop="none", log_level="error",
        access_log=False, lifespan="off", ws="none", port=0, timeout_graceful_shutdown=5, server_header=False,
    )  # fmt: skip
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
    task = loop.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.001)
    sweep = loop.create_task(drop_the_slow(server.server_state.connections, every=0.05))
    port = server.servers[0].sockets[0].getsockname()[1]
    made = Rig(f"http://127.0.0.1:{port}", mock, ledger, serving, server, keys, lines, port)
    try:
        yield made
    finally:
        for caller in made.callers:
            await caller.close()
        sweep.cancel()
        await asyncio.gather(sweep, return_exceptions=True)
        server.should_exit = True
        await task
        await roster.close()
        witness._journal.flush()
        await ledger.close()
        await mock.close()
