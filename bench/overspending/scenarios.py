"""What the provider and the callers do to the gateway, and what may come of it."""

from __future__ import annotations

from dataclasses import dataclass

LIMIT = 1_000_000_000
"""Nano-dollars: one dollar."""


@dataclass(frozen=True)
class Scenario:
    """`faults` meet `percent` of the calls; `aborts` per cent of the callers hang up on their answer.

    `edits` changes budgets while the crowd calls. `lifts` lifts the suspension of the model over and over, so that a
    broken assumption goes on doing harm.
    """

    name: str
    says: str
    faults: tuple[str, ...] = ()
    percent: int = 30
    aborts: int = 0
    clients: int = 400
    requests: int = 1_600
    seed: int = 7
    edits: bool = False
    lifts: bool = False

    @property
    def breaks(self) -> bool:
        """True when an assumption that the bound is built on is broken on purpose."""
        return bool({"ignores_max_tokens", "doubles_usage"} & set(self.faults))


SCENARIOS = (
    Scenario("honest", "the provider does as it should"),
    Scenario("omits_usage", "30 % of the answers do not say what was used", ("omits_usage",)),
    Scenario("hangs_up", "30 % of the answers break off", ("hangs_up",)),
    Scenario("5xx", "30 % of the calls are billed and answered 500", ("bills_then_5xx",)),
    Scenario("aborts", "40 % of the callers hang up on slow answers", ("slow",), aborts=40),
    Scenario(
        "everything", "all of it at once", ("omits_usage", "hangs_up", "bills_then_5xx", "slow"), 60, 30
    ),
    Scenario("edits", "limits go up and down and budgets come and go meanwhile", ("slow",), edits=True),
    Scenario(
        "ignores_cap",
        "every answer is up to three times as long as was allowed",
        ("ignores_max_tokens",),
        100,
    ),
    Scenario("doubles_usage", "every call is reported and billed twice", ("doubles_usage",), 100),
)
HEAVY = (
    Scenario(
        "heavy", "everything at once, 3,000 callers, 20,000 calls",
        ("omits_usage", "hangs_up", "bills_then_5xx", "slow"), 60, 30, clients=3_000, requests=20_000,
    ),
    Scenario(
        "heavy_breaks", "caps ignored, and an operator lifts the suspension again and again; 3,000 callers",
        ("ignores_max_tokens",), 100, clients=3_000, requests=20_000, lifts=True,
    ),
)  # fmt: skip
