"""What a trial of the weir proved: the provider's own bill beside the ledger, judged by law L1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from costweir.gateway.mock.faults import BREAKING
from costweir.guard.ledger import Balance, usd


@dataclass(frozen=True, slots=True)
class Books:
    """What the ledger says about the budget on trial, and how many of its attempts have no known usage."""

    limit: int
    settled: int
    held: int
    debt: int
    uncertain: int

    @classmethod
    def of(cls, balance: Balance, *, uncertain: int) -> Books:
        """From a balance of a budget in USD."""
        return cls(balance.limit or 0, balance.settled, balance.held, balance.debt, uncertain)

    @property
    def counted(self) -> int:
        """Everything that counts at admission."""
        return self.settled + self.held + self.debt

    @property
    def unused(self) -> int:
        """What could still be held."""
        return max(0, self.limit - self.counted)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a trial, amounts in nano-dollars.

    `smallest_hold` is the smallest that was held or asked for. `needed` is what the last call would have held, if the
    budget on trial refused it, and 0 if it was let through or something else refused it.
    """

    books: Books
    billed: int
    admitted: int
    blocked: int
    smallest_hold: int
    needed: int
    faults: tuple[str, ...]
    calls_billed: int
    verified: bool = True

    @property
    def overspend(self) -> int:
        """What the provider billed beyond the limit."""
        return max(0, self.billed - self.books.limit)

    @property
    def broken(self) -> Sequence[str]:
        """Faults of this trial that break an assumption the bound is built on."""
        return sorted(BREAKING & set(self.faults))

    @property
    def ledger_equals_bill(self) -> bool:
        """The bill is covered, and to the nano-dollar once no attempt is uncertain."""
        covered = self.billed <= self.books.counted
        return covered and (self.books.uncertain > 0 or self.billed == self.books.settled + self.books.debt)

    @property
    def phantom(self) -> bool:
        """True when the last call was refused although it would have fitted."""
        return 0 < self.needed <= self.books.unused

    @property
    def holds(self) -> bool:
        """True when nothing was overspent; where an assumption was broken on purpose, when all of it is debt."""
        if self.broken:
            return self.overspend <= self.books.debt
        return self.overspend == 0 and self.ledger_equals_bill and self.verified

    @property
    def sentence(self) -> str:
        """The verdict in one line."""
        bill, limit = usd(self.billed), usd(self.books.limit)
        if self.holds and not self.admitted:
            return f"Not tried: no call was let through, so nothing of ${limit} was spent."
        if self.holds and self.overspend == 0:
            if not self.blocked:
                return f"Not reached: the provider billed ${bill} of ${limit}, and no call had to be refused."
            debt = f", ${usd(self.books.debt)} of it as debt" if self.books.debt else ""
            return (
                f"Held: the provider billed ${bill} of ${limit}, and the ledger accounts for all of it{debt}."
            )
        if self.holds:
            broken = " and ".join(self.broken)
            return (
                f"Bounded: {broken} put the bill ${usd(self.overspend)} above ${limit}; "
                f"all of it is visible as debt (${usd(self.books.debt)})."
            )
        if self.overspend > self.books.debt:
            return (
                f"Overspent: the provider billed ${bill}, ${usd(self.overspend)} above the limit of ${limit}."
            )
        return f"Drift: the provider billed ${bill}, the ledger counts ${usd(self.books.counted)}."

    def to_json(self) -> Mapping[str, object]:
        """The fields of the contract."""
        return {
            "limit_usd": usd(self.books.limit),
            "provider_billed_usd": usd(self.billed),
            "settled_usd": usd(self.books.settled),
            "held_usd": usd(self.books.held),
            "debt_usd": usd(self.books.debt),
            "overspend_usd": usd(self.overspend),
            "admitted": self.admitted,
            "blocked": self.blocked,
            "unused_usd": usd(self.books.unused),
            "smallest_hold_usd": usd(self.smallest_hold),
            "assumptions_broken": list(self.broken),
            "ledger_equals_bill": self.ledger_equals_bill,
            "uncertain_attempts": self.books.uncertain,
            "calls_billed": self.calls_billed,
            "ledger_verified": self.verified,
            "phantom_block": self.phantom,
            "faults": list(self.faults),
            "verdict": self.sentence,
        }
