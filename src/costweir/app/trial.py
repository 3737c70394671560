"""A trial of the weir: a throw-away server with a real ledger, a provider that keeps its own bill, and a crowd.

Nothing of it touches the installation's data. What was spent is read from the provider's bill, never from the
ledger on trial.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from costweir.app.stand import NAME, Stand, running_stand, throw_away_stand
from costweir.app.verdict import Verdict
from costweir.errors import UsageError
from costweir.gateway.mock import Faults
from costweir.gateway.mock.crowd import Errand, Tally, send_crowd, send_until_refused

if TYPE_CHECKING:
    from costweir.config import Settings

_FORMS = ("openai.chat", "anthropic.messages")
_FAULTY_PERCENT = 30
_ABORTING_PERCENT = 30
_LAST_DROPS = 200
_OTHER_FILES = 256
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


def try_weir(settings: Settings, plan: Plan, *, report: Report = lambda _what, _done, _all: None) -> Trial:
    """Runs a trial in a throw-away server. UsageError for an unknown fault, Unreachable when it does not start."""
    import uvloop

    make_room(plan.clients)
    return uvloop.run(_try(settings, plan, report))


def make_room(clients: int) -> None:
    """Lets this process and what it starts open enough sockets: two a client here. UsageError when it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * clients + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or wanted <= soft:
        return
    if hard != resource.RLIM_INFINITY and wanted > hard:
        most = max(1, (hard - _OTHER_FILES) // 2)
        raise UsageError(
            f"{clients:,} callers need {wanted:,} open files, and {hard:,} are allowed here.",
            hint=f"Give --clients {most}, or raise the limit with `ulimit -n {wanted}`.",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _try(settings: Settings, plan: Plan, report: Report) -> Trial:
    by_provider = tuple(name for name in plan.faults if name != "client_aborts")
    faults = Faults(by_provider, percent=_FAULTY_PERCENT, seed=plan.seed)
    if plan.url:
        place = running_stand(settings, plan.limit, faults, url=plan.url)
    else:
        report("starting a throw-away gateway", 0, 0)
        place = throw_away_stand(settings, plan.limit, faults)
    async with place as stand:
        tally = await _send(stand, plan, report)
        books = await stand.settled()
        billed, calls = await stand.billed()
        admitted, smallest = stand.admitted()
        needed = _needed(tally, stand.budget)
        verdict = Verdict(
            books=books,
            billed=billed,
            admitted=admitted,
            blocked=tally.blocked,
            smallest_hold=min(needed or smallest, smallest or needed),
            needed=needed,
            faults=plan.faults,
            calls_billed=calls,
            verified=await asyncio.to_thread(stand.rebuilds),
        )
    return Trial(verdict, tally, f"{settings.ledger.url.partition(':')[0]}, {settings.ledger.durability}")


async def _send(stand: Stand, plan: Plan, report: Report) -> Tally:
    """The crowd first; then one caller alone until it is refused, and again with the smallest call of each form."""
    aborts = _ABORTING_PERCENT if "client_aborts" in plan.faults else 0
    errand = Errand(
        stand.gateway, stand.key, stand.model, plan.clients, plan.requests, seed=plan.seed, aborts_percent=aborts,
        headers={"x-costweir-feature": NAME}, forms=_FORMS,
    )  # fmt: skip
    tally = await send_crowd(errand, done=lambda done, every: report("calls", done, every))
    report("waiting for the last settlements", 0, 0)
    alone = replace(errand, requests=_LAST_DROPS, aborts_percent=0)
    smallest = [replace(alone, forms=(form,), streams_percent=0, smallest=True) for form in _FORMS]
    for last in (alone, *smallest):
        await stand.settled()
        tally = tally.and_then(await send_until_refused(last))
    return tally


def _needed(tally: Tally, budget: str) -> int:
    """Nano-dollars that the last call would have held, if the budget on trial refused it; else 0."""
    last = tally.last or {}
    return int(Decimal(str(last.get("needed_usd") or 0)).scaleb(9)) if last.get("budget_id") == budget else 0
