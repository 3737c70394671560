"""The ledger's port: what is asked before a call is sent, what is answered, and what is told when it ended.

Amounts are whole nano-dollars (law L10). A ledger never talks to a provider; it only promises that what it admits
fits every limit, under any interleaving and after any crash (laws L1, L2, L3, L8).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, Protocol, cast

from costweir.guard.codes import Code

#: Nano-dollars in a dollar.
NANO = 1_000_000_000

#: A row as people wrote it: the keys of the configuration file.
Record = Mapping[str, Any]

State = Literal["HELD", "SENT", "SETTLED", "RELEASED", "UNCERTAIN"]
Certainty = Literal["reported", "estimated", "unknown"]


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a request is for. An empty text means that nobody was named; a budget's scope matches on these."""

    customer: str = ""
    plan: str = ""
    key: str = ""
    user: str = ""
    session: str = ""
    feature: str = ""
    project: str = ""
    environment: str = ""
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """What people set, as plain records, so that a ledger can keep it beside its balances.

    `budgets` and `plans` have the keys of the configuration file (and a budget `expires` and `then`, the definition
    that follows); `customers` maps each to its plan; a stop has a `scope` (an empty one stops everything) and a
    `reason`; `lifted` maps a suspended model to the nanosecond up to which its suspensions are lifted.
    """

    budgets: Sequence[Record] = ()
    plans: Sequence[Record] = ()
    customers: Mapping[str, str] = field(default_factory=dict[str, str])
    stops: Sequence[Record] = ()
    lifted: Mapping[str, int] = field(default_factory=dict[str, int])
    sessions_per_hour: int = 1_000
    """How many new sessions a key may begin in an hour."""
    clock_confirmed: int = 0
    """How often somebody confirmed the machine's clock; one more takes it for right."""

    def to_json(self) -> str:
        """One line of canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Terms:
        """Reads what `to_json` wrote."""
        return cls(**json.loads(text))


# Made for every call, and frozen by agreement only: a frozen dataclass takes longer to make.
@dataclass(slots=True)
class Candidate:
    """One way to serve a request: `hold = fixed + cap * output_rate` bounds what the provider can bill for it.

    `fixed` (input, fees) and `output_rate` (one output token over all choices, rounded up) are nano-dollars.
    A cap between `floor` and `cap` may be granted; `floor == cap` forbids clamping. `priced` False means that no
    price is known: every strict budget refuses it (law L5). `bounded` False: something on it has no bound.
    """

    model: str
    provider: str
    fixed: int
    output_rate: int
    cap: int
    floor: int
    tokens: int
    price_version: str = ""
    priced: bool = True
    bounded: bool = True
    why: str = ""
    """One sentence on what has no price or no bound."""


# As above: frozen by agreement only.
@dataclass(slots=True)
class Ask:
    """A request before it is sent. The first candidate is the model asked for, the others its declared stand-ins."""

    request_id: str
    subject: Subject
    candidates: tuple[Candidate, ...]
    no_degrade: bool = False
    waits: bool = False
    """True when whoever asks waits and asks again where a pace refuses, so that such a refusal is not kept yet."""
    again: bool = False
    """True when whoever asks may ask again with less where a budget refuses, so that such a refusal is not kept yet."""


# As above: frozen by agreement only.
@dataclass(slots=True)
class Hold:
    """Room that is set aside, durable when the caller has it. `choice` is the index of the candidate that fits."""

    attempt: int
    request_id: str
    choice: int
    cap: int
    held: int
    remaining: int | None
    """The smallest room left over all budgets in USD, after this hold; None without any."""
    strict: bool
    """True when a strict budget stands behind it."""
    clamped: bool = False
    worst: int = 0
    """The worst case, where less is held by experience (debt mode); else 0."""


@dataclass(frozen=True, slots=True)
class Holder:
    """An open request that holds room in a budget, and when its lease ends."""

    request_id: str
    held: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request was not admitted: the codes of the contract, and the budget it met. Amounts in nano-dollars."""

    code: Code
    request_id: str
    message: str
    budget_id: str = ""
    scope: Mapping[str, str] = field(default_factory=dict[str, str])
    limit: int | None = None
    settled: int = 0
    held: int = 0
    needed: int = 0
    resets_at: datetime | None = None
    retry_after: float | None = None
    window_id: str = ""
    holders: tuple[Holder, ...] = ()
    """Who holds room in that budget, the largest first; at most ten."""

    @property
    def metered(self) -> bool:
        """True when it met a window of a budget, so that what is settled and held there is known."""
        return self.limit is not None or bool(self.window_id)


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal as it is kept, with what was asked."""

    ask: Ask
    refusal: Refusal
    at: datetime


# As above: frozen by agreement only.
@dataclass(slots=True)
class Settlement:
    """How an attempt ended. `cost` None means that usage or price is unknown: the hold is charged (UNCERTAIN).

    `usage` holds the buckets of `domain.usage.Usage`; `call` what the warehouse's Call needs besides.
    """

    cost: int | None
    certainty: Certainty
    tokens: int = 0
    usage: Mapping[str, int] = field(default_factory=dict[str, int])
    call: Mapping[str, object] = field(default_factory=dict[str, object])


# As above: frozen by agreement only.
@dataclass(slots=True)
class Settled:
    """What a settlement did: `charged` is at most the hold, `debt` is what went beyond it."""

    charged: int
    debt: int
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Balance:
    """One limit in one window. `remaining` is limit - settled - held - debt, None for a budget without USD."""

    budget_id: str
    scope: Mapping[str, str]
    window_id: str
    limit: int | None
    settled: int
    held: int
    debt: int
    open_holds: int
    resets_at: datetime | None = None

    @property
    def remaining(self) -> int | None:
        """What may still be held, never below zero."""
        return None if self.limit is None else max(0, self.limit - self.settled - self.held - self.debt)


@dataclass(frozen=True, slots=True)
class Correction:
    """Usage that came after an attempt of unknown cost had ended: when, and what was charged before; None for a call
    that had no price."""

    at: datetime
    before: int | None


# As above: frozen by agreement only.
@dataclass(slots=True)
class Attempt:
    """A row of the ledger: one try at a provider."""

    attempt: int
    request_id: str
    state: State
    subject: Subject
    model: str
    provider: str
    held: int
    charged: int
    debt: int
    certainty: Certainty | Literal[""]
    price_version: str
    created_at: datetime
    ended_at: datetime | None
    usage: Mapping[str, int] = field(default_factory=dict[str, int])
    call: Mapping[str, object] = field(default_factory=dict[str, object])

    @property
    def cost(self) -> int | None:
        """What it cost so far, debt included; None where no price is known, which is not the same as nothing (L5)."""
        unpriced = self.state == "UNCERTAIN" and not self.price_version
        return None if unpriced else self.charged + self.debt

    @property
    def correction(self) -> Correction | None:
        """What it was charged before its usage came late."""
        told = self.call.get("corrected")
        if not isinstance(told, Mapping):
            return None
        late = cast("Mapping[str, int]", told)
        moment = datetime.fromtimestamp(late["at"] // NANO, UTC)
        return Correction(moment, late["before"] if self.price_version else None)

    @property
    def outcome(self) -> str:
        """`ok`, `error` or `aborted`; empty while it is open."""
        return str(self.call.get("outcome", "error")) if self.ended_at is not None else ""

    @property
    def error(self) -> str:
        """What went wrong, in a word; an attempt that nobody was there to end was interrupted."""
        told = "outcome" in self.call or self.ended_at is None
        return str(self.call.get("error_type", "" if told else "interrupted"))


@dataclass(frozen=True, slots=True)
class Event:
    """Something that is told once: a threshold passed, a bound broken, a refusal. `seq` grows by one each."""

    seq: int
    at: datetime
    kind: str
    budget_id: str
    scope: Mapping[str, str]
    window_id: str
    detail: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Drift:
    """A balance that differs from what its attempts add up to."""

    budget_id: str
    window_id: str
    kept: int
    rebuilt: int
    scope: Mapping[str, str] = field(default_factory=dict[str, str])


class Ledger(Protocol):
    """What the gateway needs. Every method may be called at any time from the event loop's thread."""

    async def reserve(self, ask: Ask, *, send: bool = False) -> Hold | Refusal:
        """Holds the first candidate that fits, or says why none does. `send=True` commits the attempt as SENT at once,
        so that one durable commit stands before the first upstream byte."""
        ...

    async def sent(self, attempt: int) -> None:
        """HELD -> SENT, durable on return. Raises Conflict when the hold ended before, so that nothing is sent."""
        ...

    def extend(self, attempt: int) -> bool:
        """Renews the lease of an open attempt; a long stream calls it now and then. False once the attempt ended."""
        ...

    def settle(self, attempt: int, settlement: Settlement) -> Settled:
        """Takes effect at once and is made durable with the next commit; a repeat changes nothing. A crash before that
        commit charges the hold instead, which is more, never less."""
        ...

    def release(self, attempt: int, reason: str, call: Mapping[str, object]) -> bool:
        """Gives a hold back: never sent, or the provider provably billed nothing (refused connection, 4xx, 429)."""
        ...

    def refused(self, ask: Ask, refusal: Refusal) -> None:
        """Keeps a refusal that was made before the ledger was asked, so that `why` explains it as well. Returns at
        once; of a flood only a part is kept, and nothing while the ledger cannot be written."""
        ...

    async def apply(self, terms: Terms, revision: int) -> None:
        """Makes what people set hold. New and changed limits count their open windows first; durable on return, and
        until then the old ones hold. Raises ConfigError for a definition that cannot be read."""
        ...

    @property
    def revision(self) -> int:
        """The revision of the terms that hold."""
        ...

    @property
    def available(self) -> bool:
        """False while what is kept cannot be written, so that every reserve is refused."""
        ...

    def confirm_clock(self) -> None:
        """Takes the machine's clock for right after a step forward."""
        ...

    async def balances(self, scope: Mapping[str, str] | None = None) -> Sequence[Balance]:
        """Every limit of every open window, or of one scope."""
        ...

    async def attempts(self, *, request_id: str = "", state: str = "", limit: int = 100) -> Sequence[Attempt]:
        """Rows, newest first."""
        ...

    async def verify(self) -> Sequence[Drift]:
        """Rebuilds every open balance from the attempts alone; empty means equal."""
        ...

    async def outbox(self, after: int, limit: int = 1_000) -> Sequence[tuple[int, Attempt]]:
        """Ended attempts in the order they ended, with their sequence number."""
        ...

    async def events(self, after: int, limit: int = 1_000) -> Sequence[Event]:
        """Events in order."""
        ...

    def stats(self) -> Mapping[str, int]:
        """Numbers for gauges."""
        ...

    async def close(self) -> None:
        """Commits what is queued."""
        ...


def scope_words(scope: Mapping[str, str], each: Iterable[str] = ()) -> str:
    """`customer=acme, each session`, or `everything`."""
    named = [f"{kind}={member}" for kind, member in scope.items()]
    return ", ".join([*named, *(f"each {kind}" for kind in each)]) or "everything"


def dollars(nano: int) -> Decimal:
    """Nano-dollars as an exact amount."""
    return Decimal(nano).scaleb(-9)


def usd(nano: int) -> str:
    """`1500000000` -> `1.50`: nano-dollars as a decimal string without loss, with two places at the least."""
    sign, value = ("-", -nano) if nano < 0 else ("", nano)
    text = f"{sign}{value // NANO}.{value % NANO:09d}".rstrip("0")
    if text[-2] == ".":
        return text + "0"
    return text + "00" if text[-1] == "." else text
