"""Which meters a request meets. Found once for each subject, model and provider, and kept until one of their windows
ends; a balance that is not in memory is fetched from the journal when it is first met."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass

from costweir.guard.journal import Journal
from costweir.guard.ledger import Record, Subject
from costweir.guard.meters import NEVER, Counts, Key, Meter, Pace, Part, RollingMeter
from costweir.guard.policy import Policy, Rule, Scope, Values
from costweir.guard.windows import PerSession, Rolling, Window

#: Meters in memory before the idle ones are let go, and matches before all are found anew.
MANY_METERS = 100_000
MANY_MATCHES = 50_000
#: Less room than a call that costs nothing needs.
NOTHING = -1


@dataclass(slots=True, eq=False)
class Match:
    """What a request with one subject, model and provider meets, until `until`."""

    until: int
    meters: tuple[Meter, ...]
    #: Those of `meters` that move on with time.
    rolling: tuple[RollingMeter, ...]
    #: Those that refuse by what they hold in USD: every one has a limit.
    binding: tuple[tuple[Meter, int], ...]
    #: Those that refuse by the number of calls.
    counting: tuple[tuple[Meter, int], ...]
    paces: tuple[Pace, ...]
    stop: Record | None
    strict: bool
    new_session: bool

    def room(self) -> tuple[int, int, int]:
        """What may be held within every limit, what below every threshold where a cheaper model takes over, and the
        least that any limit has left."""
        room = soft = least = NEVER
        for meter, limit in self.binding:
            used = meter.used
            free = limit - used
            if free < least:
                least = free
            # A budget in debt mode refuses nothing until it is spent.
            if free < room and (meter.strict or free <= 0):
                room = free
            if meter.soft is not None and meter.soft - used < soft:
                soft = meter.soft - used
        for meter, calls in self.counting:
            if meter.calls >= calls:
                room = soft = NOTHING
        return room, soft, least


class Gauges:
    """The meters and paces of one policy."""

    def __init__(self, policy: Policy, journal: Journal) -> None:
        self.policy = policy
        self._journal = journal
        self._meters: dict[Key, Meter] = {}
        self._paces: dict[tuple[str, Scope], Pace] = {}
        self._matches: dict[tuple[Subject, str, str], Match] = {}

    def __iter__(self) -> Iterator[Meter]:
        return iter(self._meters.values())

    def match(self, subject: Subject, model: str, provider: str, *, now: int) -> Match:
        """What a request meets at `now`."""
        found = self._matches.get((subject, model, provider))
        if found is None or now >= found.until:
            if len(self._matches) >= MANY_MATCHES:
                self._matches.clear()
            found = self._find(self.policy.values(subject, model, provider), now)
            self._matches[subject, model, provider] = found
        for meter in found.rolling:
            meter.turn(now)
        return found

    def meters_of(self, subject: Subject, model: str, provider: str, *, at: int, now: int) -> list[Meter]:
        """Where an attempt that was admitted at `at` is counted."""
        values = self.policy.values(subject, model, provider)
        found: list[Meter] = []
        for rule in self.policy.match(values):
            scope = rule.member(values)
            if not rule.metered:
                continue
            if isinstance(rule.span, Rolling):
                found.append(self._part(self._rolling(rule, rule.span, scope, now), at))
            else:
                found.append(self._meter(rule, scope, rule.window(values, at)))
        return found

    def replace(self, policy: Policy, gone: Set[str], fresh: Iterable[Meter]) -> None:
        """Takes another policy: counters of the budgets `gone` go, `fresh` ones come, and every other meter obeys its
        rule's new limits."""
        self.policy = policy
        self._matches.clear()
        self._meters = {key: meter for key, meter in self._meters.items() if key[0] not in gone}
        self._paces = {key: pace for key, pace in self._paces.items() if key[0] in policy.by_id}
        for (name, _, _), meter in self._meters.items():
            meter.obey(policy.by_id[name])
        for (name, _), pace in self._paces.items():
            pace.rule = policy.by_id[name]
        self._meters |= {meter.key: meter for meter in fresh}

    def rewind(self) -> None:
        """Finds every window anew, because the clock was set."""
        self._matches.clear()

    def idle(self) -> dict[Key, Counts]:
        """The meters that nobody holds, when there are many; what they hold tells later whether they still idle."""
        if len(self._meters) < MANY_METERS:
            return {}
        return {key: meter.counts for key, meter in self._meters.items() if meter.open == 0}

    def forget(self, idle: dict[Key, Counts], now: int) -> None:
        """Lets go of meters that were not touched since; the journal has them."""
        self._matches.clear()
        self._paces = {key: pace for key, pace in self._paces.items() if not pace.idle(now)}
        for key, counts in idle.items():
            meter = self._meters.get(key)
            if meter is not None and meter.counts == counts:
                del self._meters[key]

    def _find(self, values: Values, now: int) -> Match:
        meters: list[Meter] = []
        paces: list[Pace] = []
        until = NEVER
        new_session = False
        for rule in self.policy.match(values):
            scope = rule.member(values)
            if rule.paced and rule.mode != "observe":
                paces.append(self._pace(rule, scope))
            if not rule.metered:
                continue
            if isinstance(rule.span, Rolling):
                meters.append(self._rolling(rule, rule.span, scope, now))
                continue
            window = rule.window(values, now)
            meter = self._meter(rule, scope, window)
            meters.append(meter)
            if window.end is not None:
                until = min(until, window.end)
            if isinstance(rule.span, PerSession) and values["session"] and not meter.stored:
                new_session = True
        refusing = [meter for meter in meters if meter.rule.mode != "observe"]
        binding = tuple((meter, meter.limit) for meter in refusing if meter.limit is not None)
        return Match(
            until=until,
            meters=tuple(meters),
            rolling=tuple(meter for meter in meters if isinstance(meter, RollingMeter)),
            binding=binding,
            counting=tuple((meter, meter.rule.calls) for meter in refusing if meter.rule.calls is not None),
            paces=tuple(paces),
            stop=self.policy.stop(values),
            strict=any(meter.rule.mode == "strict" for meter, _ in binding),
            new_session=new_session,
        )

    def _meter(self, rule: Rule, scope: Scope, window: Window) -> Meter:
        key = (rule.id, scope, window.id)
        meter = self._meters.get(key)
        if meter is None:
            meter = self._meters[key] = Meter(rule, scope, window, self._journal.find(key) or Counts())
        return meter

    def _rolling(self, rule: Rule, span: Rolling, scope: Scope, now: int) -> RollingMeter:
        key = (rule.id, scope, span.text)
        meter = self._meters.get(key)
        if not isinstance(meter, RollingMeter):
            meter = RollingMeter(rule, scope, span)
            for start, counts in self._journal.parts(rule, scope, span.since(now)):
                meter.add(Part(meter, span.at(start), counts))
            # Only now: a meter whose parts could not be read would count too little.
            self._meters[key] = meter
        meter.turn(now)
        return meter

    def _part(self, meter: RollingMeter, at: int) -> Part:
        window = meter.span.at(at)
        for part in meter.parts:
            if part.window.start == window.start:
                return part
        # It has left the window; what happens to it changes its row and nothing that counts.
        part = Part(meter, window, self._journal.find((meter.rule.id, meter.scope, window.id)) or Counts())
        part.gone = True
        return part

    def _pace(self, rule: Rule, scope: Scope) -> Pace:
        key = (rule.id, scope)
        pace = self._paces.get(key)
        if pace is None:
            pace = self._paces[key] = Pace(rule, scope)
        return pace
