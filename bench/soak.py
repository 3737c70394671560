"""Ten minutes of calls with kill -9 every twenty seconds; afterwards the ledger has to be right to the nano-dollar.

    python bench/soak.py                       # ten minutes
    python bench/soak.py --seconds 60 --every 8

A gateway with SQLite and fsync is killed without warning, with its whole process tree, in the middle of the calls of
many callers, and started again on the same data. The provider runs apart and bills whatever it answers. At the end:
`ledger verify` finds every balance equal to its attempts, the provider's bill is within what the ledger counts and
within the limit, every call that was answered with its usage is settled at exactly its cost, and nothing stays held.
Exit 5 when any of it does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import uvloop
from gateway.machine import described, tree
from gateway.servers import costweir, free_port
from overspending.gateways import BUDGET, CUSTOMER, MODEL, RATES

from costweir.app.throwaway import CONTROL_FILE, ThrowAway
from costweir.control import Control
from costweir.control.directory import Budget
from costweir.control.keys import KeyWish
from costweir.gateway.mock import Faults, MockProvider, Rates
from costweir.gateway.mock.crowd import Errand, Tally, send_crowd
from costweir.guard.ledger import usd

CONFIG = """
log_level = "error"
ledger = {{ url = "sqlite:ledger.db", durability = "fsync" }}
gateway = {{ port = {port} }}
providers = [ {{ id = "up", kind = "mock", base_url = "{up}/v1", allow_private = true, breaker_failures = 1000 }} ]
models = [ {{ id = "{model}", provider = "up", context_tokens = 32000, max_output_tokens = 1000 }} ]
prices = [ {{ model = "{model}", effective = "2026-01-01", input = "{rates[input]}", output = "{rates[output]}" }} ]
customers = [ {{ id = "{customer}" }} ]
"""
PAGE = """# Kill -9 in the middle of calls

`python bench/soak.py {command}` on {machine}.

```text
{text}```

Callers hang up on a tenth of the calls; the provider is slow, hangs up or omits usage on a fifth. An attempt that was
cut off is `UNCERTAIN`: its hold became a charge, which is at least what the provider billed for it.
"""
#: How long a hold of a process that died may stay open before it becomes a charge; the ledger's lease and some room.
LEASE_PATIENCE = 400


class Victim:
    """The server that is killed. The port stays, so that callers find it again."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.process: subprocess.Popen[bytes] | None = None
        self.starts: list[float] = []

    def start(self) -> None:
        (self.home / "server.json").unlink(missing_ok=True)
        begun = time.monotonic()
        with (self.home / "server.log").open("ab") as log:
            ports = [f"--{face}-port=0" for face in ("web", "mcp", "otlp")]
            command = costweir("--quiet", "up", *ports, home=self.home)
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        while not (self.home / "server.json").exists():
            if self.process.poll() is not None:
                raise SystemExit((self.home / "server.log").read_text()[-2000:])
            time.sleep(0.01)
        self.starts.append(time.monotonic() - begun)

    def kill(self) -> None:
        """kill -9 of every process at once."""
        assert self.process is not None
        for pid in tree(self.process.pid):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(20)


async def main() -> int:
    given = arguments()
    with tempfile.TemporaryDirectory(prefix="costweir-soak-") as folder:
        home, port = Path(folder), free_port()
        faults = Faults(("slow", "hangs_up", "omits_usage"), percent=20, seed=given.seed)
        mock = MockProvider(rates={MODEL: Rates.usd(RATES)}, faults=faults, seed=given.seed, slow_seconds=0.3)
        address = await mock.start()
        text = CONFIG.format(port=port, up=address, model=MODEL, rates=RATES, customer=CUSTOMER)
        (home / "costweir.toml").write_text(text)
        limit = Decimal(given.limit_usd)
        with Control.open(home / CONTROL_FILE) as control:
            key = control.keys.create(KeyWish(CUSTOMER), by="soak")[1]
            for name, scope in ((BUDGET, {"customer": CUSTOMER}), ("all", {}), ("model", {"model": MODEL})):
                control.add(Budget(name, {"limit_usd": f"{limit:f}", "scope": scope, "window": "total"}))
        victim = Victim(home)
        await asyncio.to_thread(victim.start)
        url = f"http://127.0.0.1:{port}"
        calls = asyncio.create_task(
            keep_calling(Errand(url, key, MODEL, given.clients, given.clients * 5, aborts_percent=10), given)
        )
        kills = await keep_killing(victim, given.seconds, given.every)
        tally = await calls
        await asyncio.to_thread(victim.stop)
        await asyncio.to_thread(victim.start)
        try:
            return await judge(given, ThrowAway(home, victim.process, key), mock, tally, kills, victim)
        finally:
            victim.stop()
            await mock.close()


async def keep_calling(errand: Errand, given: argparse.Namespace) -> Tally:
    """Crowd after crowd, each with another seed, until the time is over."""
    tally, ends, seed = Tally(), time.monotonic() + given.seconds, given.seed
    while time.monotonic() < ends:
        seed += 1
        tally = tally.and_then(await send_crowd(replace(errand, seed=seed)))
        await asyncio.sleep(given.pause)
    return tally


async def keep_killing(victim: Victim, seconds: float, every: float) -> int:
    kills, ends = 0, time.monotonic() + seconds
    while time.monotonic() + every < ends:
        await asyncio.sleep(every)
        await asyncio.to_thread(victim.kill)
        await asyncio.to_thread(victim.start)
        kills += 1
    return kills


async def judge(
    given: argparse.Namespace, server: ThrowAway, mock: MockProvider, tally: Tally, kills: int, victim: Victim
) -> int:
    begun = time.monotonic()
    while True:
        with server.ledger() as ledger:
            balance = next(row for row in ledger.balances() if row.budget_id == BUDGET)
        if not balance.open_holds or time.monotonic() - begun > LEASE_PATIENCE:
            break
        await asyncio.sleep(0.5)
    waited = time.monotonic() - begun
    with server.ledger() as ledger:
        drift = list(ledger.verify())
        attempts = ledger.attempts(limit=100_000_000)
    verified = subprocess.run(
        costweir("ledger", "verify", home=server.folder), capture_output=True, check=False
    )
    states = Counter(row.state for row in attempts)
    certain = sum(row.charged + row.debt for row in attempts if row.state == "SETTLED")
    counted = balance.settled + balance.held + balance.debt
    limit = int(Decimal(given.limit_usd).scaleb(9))
    checks = {
        "every balance equals its attempts": not drift,
        "`costweir ledger verify` agrees": verified.returncode == 0,
        "the bill is within what the ledger counts": mock.bill.total <= counted,
        "the bill is within the limit": mock.bill.total <= limit,
        "what the ledger counts is within the limit": counted <= limit,
        "no hold is left open": not balance.open_holds,
        "every call that was billed is an attempt": mock.bill.calls
        <= states["SETTLED"] + states["UNCERTAIN"],
        "no attempt is billed beyond its hold": all(row.debt == 0 for row in attempts),
    }
    text = f"""\
{given.seconds:.0f} s, {kills} kills; a start after a kill took {max(victim.starts):.1f} s at most.
{tally.sent:,} calls: {tally.answered:,} answered, {tally.blocked:,} refused, {tally.left:,} left by their callers, \
{tally.lost:,} lost to a kill or a fault.
Attempts: {dict(states)}; holds of the dead became charges within {waited:.0f} s.
Billed ${usd(mock.bill.total)} for {mock.bill.calls:,} calls; settled with known usage ${usd(certain)}, \
counted in all ${usd(counted)} of ${usd(limit)}.
"""
    text += "".join(f"{'yes' if holds else 'NO '}  {what}\n" for what, holds in checks.items())
    print(text)
    if given.page:
        given.page.write_text(PAGE.format(command=" ".join(sys.argv[1:]), machine=described(), text=text))
    return 0 if all(checks.values()) else 5


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--every", type=float, default=20, help="seconds between two kills")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument(
        "--pause", type=float, default=0.05, help="seconds between two crowds of five calls a client"
    )
    parser.add_argument("--limit-usd", default="2000")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--page", type=Path, help="write what was found as a page, such as docs/soak.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
