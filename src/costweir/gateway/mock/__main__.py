"""`python -m costweir.gateway.mock --port N`: the mock provider in a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from decimal import Decimal

from costweir.errors import UsageError
from costweir.gateway.mock.bill import Rates
from costweir.gateway.mock.faults import FAULTS, Faults
from costweir.gateway.mock.server import MockProvider


def main() -> None:
    """Serves until it is told to stop, and prints its address on the first line."""
    parser = argparse.ArgumentParser(prog="python -m costweir.gateway.mock", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 for any free one")
    parser.add_argument(
        "--rate", action="append", default=[], metavar="MODEL=INPUT,OUTPUT", help="USD per 1,000,000 tokens"
    )
    parser.add_argument("--fault", action="append", default=[], metavar="NAME", help=", ".join(FAULTS))
    parser.add_argument("--percent", type=int, default=100, help="share of requests that a fault meets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--slow-seconds", type=float, default=0.5)
    given = parser.parse_args()
    try:
        provider = MockProvider(
            rates=dict(_rate(text) for text in given.rate),
            faults=Faults(tuple(given.fault), given.percent, given.seed),
            seed=given.seed,
            slow_seconds=given.slow_seconds,
        )
    except (UsageError, ValueError) as wrong:
        parser.error(str(wrong))
    import uvloop

    uvloop.run(_serve(provider, given.host, given.port))


async def _serve(provider: MockProvider, host: str, port: int) -> None:
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    sys.stdout.write(await provider.start(host=host, port=port) + "\n")
    sys.stdout.flush()
    await stopped.wait()
    await provider.close()


def _rate(text: str) -> tuple[str, Rates]:
    model, _, rates = text.partition("=")
    given: dict[str, Decimal | str] = dict(
        zip(("input", "output", "cache_read", "cache_write"), rates.split(","), strict=False)
    )
    if not model or "output" not in given:
        raise ValueError(f"{text!r} is no MODEL=INPUT,OUTPUT")
    return model, Rates.usd(given)


main()
