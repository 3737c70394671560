"""The weir: decides what may be sent, in one synchronous step over every limit that a request meets.

Nothing here waits or writes. What happened is told to a `Journal`, in the order in which it happened; a journal that
keeps that can rebuild every number (laws L1, L2, L3). One thread only.

The step: a candidate's hold is `fixed + cap * output_rate`, and its meters leave so much room. What fits is arithmetic,
so degrading, clamping and blocking are one decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from costweir.errors import Conflict, NotFound
from costweir.guard.gauges import Gauges, Match
from costweir.guard.journal import Entry, Journal
from costweir.guard.learning import Learned
from costweir.guard.ledger import Ask, Candidate, Hold, Refusal, Settled, Settlement
from costweir.guard.meters import Meter
from costweir.guard.options import Choice, Fault, Option
from costweir.guard.policy import Policy
from costweir.guard.refusing import Refuser
from costweir.guard.windows import SECOND

#: How long an attempt may be open without a sign of life.
LEASE = 600 * SECOND
#: Ended attempts that are remembered, so that a repeat is answered without the file.
REMEMBERED = 4_096
HOUR = 3_600 * SECOND
#: No single call holds or costs more than a million dollars; sums of nano-dollars stay whole numbers everywhere.
MOST = 10**15


class Weir:
    """Holds, charges and gives back. `clock` gives nanoseconds and never goes back by itself."""

    def __init__(
        self,
        policy: Policy,
        journal: Journal,
        *,
        clock: Callable[[], int],
        next_attempt: int,
        lease: int = LEASE,
    ) -> None:
        self.gauges = Gauges(policy, journal)
        #: Models that broke their bound, and when.
        self.suspended: dict[str, int] = {}
        #: Attempts that are HELD or SENT.
        self.open: dict[int, Entry] = {}
        self._journal = journal
        self._clock = clock
        self._next = next_attempt
        self._lease = lease
        self._ended: dict[int, Entry] = {}
        self._sessions: dict[str, tuple[int, int]] = {}
        self._refuser = Refuser(journal, self.open)
        #: Experience, while there are budgets that are held by it; and the worst cases of what is open by it.
        self._learned = Learned() if policy.has_debt else None
        self._bounds: dict[int, int] = {}

    @property
    def policy(self) -> Policy:
        """The rules that hold."""
        return self.gauges.policy

    def admit(self, ask: Ask, *, sent: bool) -> Hold | Refusal:
        """Holds the first candidate that fits, or says why none does."""
        now = self._clock()
        first = ask.candidates[0]
        match = self.gauges.match(ask.subject, first.model, first.provider, now=now)
        if match.stop is not None:
            return self._refuser.stopped(ask, match.stop, now)
        choice = self._choose(ask, match, now)
        if not isinstance(choice, Choice):
            return choice
        candidate, match = ask.candidates[choice.place], choice.match
        for pace in match.paces:
            wait = pace.wait(now, candidate.tokens)
            if wait != 0:
                return self._refuser.paced(ask, pace, candidate.tokens, wait=wait, now=now)
        if match.new_session and not self._begins_session(ask.subject.key, now):
            return self._refuser.crowded(ask, now)
        match.new_session = False
        return self._hold(ask, choice, now, sent=sent)

    def sent(self, attempt: int) -> None:
        """HELD -> SENT. Raises Conflict when the hold ended, so that nothing is sent without one."""
        entry = self.open.get(attempt)
        if entry is None:
            raise Conflict(
                "The hold of this attempt ended before it was sent.",
                hint="Reserve again; a hold lasts ten minutes.",
            )
        if entry.state == "HELD":
            entry.state = "SENT"
            self._journal.sent(entry)

    def settle(self, attempt: int, settlement: Settlement) -> Settled:
        """Charges what an attempt cost; at most its hold, and the rest as debt. Unknown cost charges the hold."""
        entry = self.open.get(attempt)
        if entry is None:
            return self._settle_late(attempt, settlement)
        cost = settlement.cost
        if cost is None:
            self._end(entry, settlement, charged=entry.held, debt=0)
            entry.state = "UNCERTAIN"
        else:
            charged, debt = _split(cost, entry.held)
            self._end(entry, settlement, charged=charged, debt=debt)
            entry.state = "SETTLED"
        self._journal.ended(entry, settlement, self._clock())
        self._look(entry, within=self._learn(entry, cost) if self._bounds else 0)
        entry.meters = ()
        return Settled(entry.charged, entry.debt)

    def release(self, attempt: int, reason: str, call: Mapping[str, object]) -> bool:
        """Gives a hold back whole. False for an attempt that ended already."""
        entry = self.open.get(attempt)
        if entry is None:
            return False
        # Nothing was billed; of what would have been used nobody knows anything.
        settlement = Settlement(0, "unknown", call={**call, "reason": reason})
        self._end(entry, settlement, charged=0, debt=0, never_was=1)
        entry.state = "RELEASED"
        self._journal.ended(entry, settlement, self._clock())
        entry.meters = ()
        self._bounds.pop(attempt, None)
        return True

    def undo(self, attempt: int) -> None:
        """Takes an attempt back that could not be kept: nobody was told of it, so nothing is told to the journal."""
        entry = self.open.get(attempt)
        if entry is not None:
            self._end(entry, Settlement(0, "unknown"), charged=0, debt=0, never_was=1)
            entry.meters = ()
            del self._ended[attempt]
            self._bounds.pop(attempt, None)
            self._journal.undone(entry)

    def keep_refusal(self, ask: Ask, refusal: Refusal) -> None:
        """Tells the journal of a refusal that was none of a limit's."""
        self._journal.refused(ask, refusal, self._clock())

    def extend(self, attempt: int) -> bool:
        """Renews a lease. False for an attempt that ended already."""
        entry = self.open.get(attempt)
        if entry is None:
            return False
        entry.lease = self._clock() + self._lease
        return True

    def expire(self) -> int:
        """Ends what nobody renewed: a hold that was never sent is given back, a sent one is charged (law L3)."""
        now = self._clock()
        ended = [entry for entry in self.open.values() if entry.lease <= now]
        for entry in ended:
            self.abandon(entry)
        return len(ended)

    def abandon(self, entry: Entry) -> None:
        """Ends an attempt that nobody answers for any more."""
        if entry.state == "HELD":
            self.release(entry.attempt, "lease_ended", {})
        else:
            self.settle(entry.attempt, Settlement(None, "unknown", call={"reason": "lease_ended"}))

    def resume(self, entry: Entry) -> None:
        """Takes up an open attempt of an earlier process. Its meters hold it already."""
        entry.meters = self.gauges.meters_of(
            entry.subject, entry.model, entry.provider, at=entry.at, now=self._clock()
        )
        self.open[entry.attempt] = entry

    def swap(self, policy: Policy, gone: Iterable[str], fresh: Iterable[Meter]) -> None:
        """Makes another policy hold; `fresh` are the meters of its new and changed rules, which count the open attempts
        already."""
        self.gauges.replace(policy, frozenset(gone), fresh)
        if not policy.has_debt:
            self._learned = None
        elif self._learned is None:
            self._learned = Learned()
        now = self._clock()
        for entry in self.open.values():
            entry.meters = self.gauges.meters_of(
                entry.subject, entry.model, entry.provider, at=entry.at, now=now
            )
        for model, at in list(self.suspended.items()):
            if policy.terms.lifted.get(model, -1) >= at:
                del self.suspended[model]
                self._journal.suspend(model, 0)
        for meter in self.gauges:
            self._tell_passed(meter, now)

    def _choose(self, ask: Ask, match: Match, now: int) -> Choice | Refusal:
        """The model asked for, whole, while it leaves every budget below its threshold or nothing may stand in."""
        first = ask.candidates[0]
        room, soft, least = match.room()
        if soft < room and len(ask.candidates) > 1:
            room = soft
        whole = first.fixed + first.cap * first.output_rate
        if whole <= room and not self._fault(first, match):
            return Choice(0, first.cap, whole, match, least - whole)
        return self._second_best(ask, match, room, now)

    def _second_best(self, ask: Ask, match: Match, room: int, now: int) -> Choice | Refusal:
        """A stand-in, whole; then whichever comes first with a smaller cap; then a refusal."""
        first = Option(0, ask.candidates[0], match, room)
        fault = self._fault(first.candidate, match)
        able = [] if fault else [first]
        if not ask.no_degrade:
            able += self._stand_ins(ask, now)
        if not able:
            return self._refuser.unfit(ask, fault, now)
        if not (ask.no_degrade and len(ask.candidates) > 1):
            for option in able:
                if option.place and option.whole <= option.room:
                    return option.choice(option.candidate.cap)
            for option in able:
                cap = option.cap_that_fits()
                if cap is not None:
                    return option.choice(cap)
        return self._refuser.over(ask, able[0], now)

    def _stand_ins(self, ask: Ask, now: int) -> Iterable[Option]:
        for index, candidate in enumerate(ask.candidates[1:], start=1):
            match = self.gauges.match(ask.subject, candidate.model, candidate.provider, now=now)
            if match.stop is None and not self._fault(candidate, match):
                yield Option(index, candidate, match, match.room()[0])

    def _fault(self, candidate: Candidate, match: Match) -> Fault | None:
        """Why no call to this candidate is admitted whatever room there is (law L5)."""
        if candidate.fixed + candidate.cap * candidate.output_rate > MOST:
            return "unbounded_request"
        if not match.strict:
            return None
        if not candidate.priced:
            return "price_unknown"
        if not candidate.bounded:
            return "unbounded_request"
        return "suspended" if candidate.model in self.suspended else None

    def _hold(self, ask: Ask, choice: Choice, now: int, *, sent: bool) -> Hold:
        match, held = choice.match, choice.held
        candidate = ask.candidates[choice.place]
        worst = 0
        if self._learned is not None and match.binding and not match.strict:
            worst, held = held, self._learned.enough(candidate.model, candidate.provider, held)
            self._bounds[self._next] = worst
        entry = Entry(self._next, ask, candidate, held=held, at=now)
        self._next += 1
        entry.lease = now + self._lease
        if sent:
            entry.state = "SENT"
        entry.meters = tuple(meter.turn(now) for meter in match.meters) if match.rolling else match.meters
        for meter in entry.meters:
            if not meter.stored:
                self._journal.begin(meter)
            meter.hold(held)
        entry.paces = match.paces
        for pace in match.paces:
            pace.take(now, candidate.tokens)
        self.open[entry.attempt] = entry
        self._journal.opened(entry)
        return Hold(
            entry.attempt, ask.request_id, choice.place, choice.cap, held,
            max(0, choice.least + choice.held - held) if match.binding else None, match.strict, choice.clamped,
            worst if worst > held else 0,
        )  # fmt: skip

    def _end(
        self, entry: Entry, settlement: Settlement, *, charged: int, debt: int, never_was: int = 0
    ) -> None:
        held = entry.held
        for meter in entry.meters:
            meter.end(held, charged, debt, never_was)
        for pace in entry.paces:
            pace.open -= 1
            if never_was:
                pace.give_back(entry.at, entry.tokens)
        entry.charged = charged
        entry.debt = debt
        entry.certainty = settlement.certainty
        entry.paces = ()
        del self.open[entry.attempt]
        self._ended[entry.attempt] = entry
        if len(self._ended) > REMEMBERED:
            del self._ended[next(iter(self._ended))]

    def _settle_late(self, attempt: int, settlement: Settlement) -> Settled:
        """Usage that comes after its attempt ended: it replaces what was charged for not knowing, and nothing else."""
        entry = self._ended.get(attempt) or self._journal.ended_entry(attempt)
        if entry is None:
            raise NotFound(
                f"There is no attempt {attempt}.", hint="Settle with the number that reserve gave."
            )
        if entry.state != "UNCERTAIN" or settlement.cost is None:
            return Settled(entry.charged, entry.debt, repeated=True)
        now = self._clock()
        charged, debt = _split(settlement.cost, entry.held)
        change = (charged - entry.charged, debt - entry.debt)
        corrected = {"at": now, "before": entry.charged + entry.debt}
        settlement = replace(settlement, call={**settlement.call, "corrected": corrected})
        meters = self.gauges.meters_of(entry.subject, entry.model, entry.provider, at=entry.at, now=now)
        for meter in meters:
            meter.correct(*change)
        entry.state, entry.charged, entry.debt = "SETTLED", charged, debt
        entry.certainty = settlement.certainty
        self._ended[attempt] = entry
        self._journal.corrected(entry, settlement, meters=meters, change=change)
        entry.meters = meters
        self._look(entry)
        entry.meters = ()
        return Settled(charged, debt)

    def _learn(self, entry: Entry, cost: int | None) -> int:
        """Keeps what an attempt cost of its worst case, where it was held by experience; gives that worst case."""
        bound = self._bounds.pop(entry.attempt, 0)
        if bound and cost is not None and self._learned is not None:
            self._learned.note(entry.model, entry.provider, cost=cost, bound=bound)
        return bound

    def _look(self, entry: Entry, *, within: int = 0) -> None:
        """Tells what an end brought about: thresholds that were passed, and a bound that did not hold. `within` is the
        worst case where less was held."""
        for meter in entry.meters:
            if meter.settled + meter.debt >= meter.mark:
                self._tell_passed(meter, self._clock())
        if entry.debt and entry.charged + entry.debt > within:
            now = self._clock()
            # Without a strict budget a call may have no bound at all; what such a caller does must not keep others out.
            strict = any(meter.strict and meter.limit is not None for meter in entry.meters)
            detail = {
                "attempt": entry.attempt, "request_id": entry.request_id, "model": entry.model,
                "provider": entry.provider, "held": entry.held, "debt": entry.debt, "suspended": strict,
            }  # fmt: skip
            self._journal.tell("bound_broken", None, detail, now)
            if strict:
                self.suspended[entry.model] = now
                self._journal.suspend(entry.model, now)

    def _tell_passed(self, meter: Meter, now: int) -> None:
        for step in meter.passed():
            detail = {"threshold": step, "limit": meter.limit, "spent": meter.settled + meter.debt}
            self._journal.tell("threshold", meter, detail, now)

    def _begins_session(self, key: str, now: int) -> bool:
        """Counts a new session of a key; False when it began too many in this hour."""
        hour, begun = self._sessions.get(key, (0, 0))
        if hour != now // HOUR:
            hour, begun = now // HOUR, 0
        if begun >= self.policy.terms.sessions_per_hour:
            return False
        self._sessions[key] = (hour, begun + 1)
        return True


def _split(cost: int, held: int) -> tuple[int, int]:
    """What a cost charges within its hold, and what goes beyond it."""
    if cost < 0:
        raise ValueError(f"a call cannot cost {cost}")
    cost = min(cost, MOST)
    return (cost, 0) if cost <= held else (held, cost - held)
