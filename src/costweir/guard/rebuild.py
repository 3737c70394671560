"""Balances from attempts: what every counter has to be, worked out from what was admitted and how it ended, and nothing
else. A new limit starts from it (L1, edits), and `verify` compares with it (L3)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from costweir.guard.journal import Tally
from costweir.guard.meters import Counts, Key, Meter, Part, RollingMeter
from costweir.guard.policy import Policy, Rule, Scope
from costweir.guard.windows import DAY, SECOND, Calendar, PerSession, Rolling, Window

#: Every zone's midnight lies on a quarter of an hour.
QUARTER = 900 * SECOND
#: Rules without windows need not tell times apart.
ANY = 0


def step(rule: Rule) -> int:
    """How finely attempts have to be told apart in time to count them for a rule."""
    if isinstance(rule.span, Rolling):
        return rule.span.width
    if isinstance(rule.span, Calendar):
        return QUARTER
    return DAY if isinstance(rule.span, PerSession) else ANY


def since(rule: Rule, now: int) -> int:
    """From when on attempts count for a rule's open windows."""
    if isinstance(rule.span, Rolling):
        return rule.span.since(now)
    return rule.span.at(now).start


class Recount:
    """Adds up what attempts say about balances. The past of a large file may be added in a thread of its own; what
    happened since is added at the end."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._found: dict[Key, tuple[Rule, Scope, Window, Counts]] = {}
        self._ready: dict[Key, Meter] = {}

    def add(self, wanted: Collection[str], tally: Tally) -> None:
        """Adds a tally to the rules with these ids."""
        values = self._policy.values(tally.subject, tally.model, tally.provider)
        for rule in self._policy.match(values):
            if not rule.metered or rule.id not in wanted:
                continue
            scope, window = rule.member(values), rule.window(values, tally.at)
            key = (rule.id, scope, window.id)
            if key not in self._found:
                self._found[key] = (rule, scope, window, Counts())
            self._ready.pop(key, None)
            counts = self._found[key][3]
            counts.settled += tally.settled
            counts.held += tally.held
            counts.debt += tally.debt
            counts.open += tally.open
            counts.calls += tally.calls

    def prepare(self, now: int) -> None:
        """Makes meters of what was added, so that only those that change afterwards are left for `meters`."""
        for key, (rule, scope, window, counts) in self._found.items():
            if not isinstance(rule.span, Rolling) and (counts.open or _open(rule, window, now)):
                self._ready[key] = Meter(rule, scope, window, counts)

    def meters(self, now: int) -> list[Meter]:
        """The meters of the windows that are open at `now`, and of those that still hold something."""
        rest = (item for key, item in self._found.items() if key not in self._ready)
        made = assembled(item for item in rest if item[3].open or _open(item[0], item[2], now))
        return [*self._ready.values(), *made]


def counted(policy: Policy, tallies: Iterable[tuple[Collection[str], Tally]], *, now: int) -> list[Meter]:
    """The meters that tallies add up to. Each tally comes with the ids of the rules it is for."""
    recount = Recount(policy)
    for wanted, tally in tallies:
        recount.add(wanted, tally)
    return recount.meters(now)


def _open(rule: Rule, window: Window, now: int) -> bool:
    """True while a window counts at `now`."""
    if isinstance(rule.span, Rolling):
        return rule.span.expires(window.start) > now
    return window.end is None or window.end > now


def assembled(found: Iterable[tuple[Rule, Scope, Window, Counts]]) -> list[Meter]:
    """Meters of balances; the parts of a rolling window become one."""
    meters: list[Meter] = []
    rolling: dict[tuple[str, Scope], RollingMeter] = {}
    for rule, scope, window, counts in sorted(found, key=lambda item: item[2].start):
        if isinstance(rule.span, Rolling):
            whole = rolling.get((rule.id, scope))
            if whole is None:
                whole = rolling[rule.id, scope] = RollingMeter(rule, scope, rule.span)
                meters.append(whole)
            whole.add(Part(whole, window, counts))
        else:
            meters.append(Meter(rule, scope, window, counts))
    return meters


def rows(meters: Iterable[Meter]) -> list[Meter]:
    """What is kept of them: the parts of a rolling meter instead of the whole."""
    return [row for meter in meters for row in (meter.parts if isinstance(meter, RollingMeter) else (meter,))]
