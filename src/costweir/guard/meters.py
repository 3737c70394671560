"""What is counted: a meter for each limit, member and window, and a pace for limits in time or at once.

`used` is always settled + held + debt, so that admission compares one number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from costweir.guard.ledger import Holder
from costweir.guard.policy import Rule, Scope
from costweir.guard.windows import SECOND, Rolling, Window

NEVER = 1 << 62
MINUTE = 60 * SECOND
#: The key of a balance: the budget, its member, and the window (of a rolling one: the part).
Key = tuple[str, Scope, str]


@dataclass(slots=True)
class Counts:
    """What a balance holds. `told` is the highest threshold that was told, `blocked` is 1 once a refusal was; `row` is
    its number in a file, 0 where it has none."""

    settled: int = 0
    held: int = 0
    debt: int = 0
    open: int = 0
    calls: int = 0
    told: int = 0
    blocked: int = 0
    row: int = 0


class Meter:
    """One limit for one member in one window."""

    __slots__ = (
        "blocked", "calls", "debt", "held", "holders", "limit", "mark", "open", "row", "rule", "scope", "settled",
        "soft", "stored", "strict", "told", "used", "window",
    )  # fmt: skip

    def __init__(self, rule: Rule, scope: Scope, window: Window, counts: Counts) -> None:
        self.rule = rule
        self.scope = scope
        self.window = window
        self.settled = counts.settled
        self.held = counts.held
        self.debt = counts.debt
        self.used = counts.settled + counts.held + counts.debt
        self.open = counts.open
        self.calls = counts.calls
        self.told = counts.told
        self.blocked = counts.blocked
        self.row = counts.row
        self.stored = counts.row != 0
        #: Who holds it, as found for the last refusal, and when that was.
        self.holders: tuple[int, tuple[Holder, ...]] = (0, ())
        self.obey(rule)

    @property
    def whole(self) -> Meter:
        """What admission looks at: the meter itself, or the rolling one that it is a part of."""
        return self

    @property
    def key(self) -> Key:
        """What its balance is kept under."""
        return self.rule.id, self.scope, self.window.id

    @property
    def counts(self) -> Counts:
        """What it holds now."""
        return Counts(
            self.settled, self.held, self.debt, self.open, self.calls, self.told, self.blocked, self.row
        )

    def obey(self, rule: Rule) -> None:
        """Takes the limits of another rule of the same shape."""
        before, self.rule = self.rule, rule
        if before is not rule and before.refuses_like(rule):
            return
        self.limit = rule.limit
        self.soft = rule.degrades_at
        self.strict = rule.mode == "strict"
        self.mark = self._next_mark()

    def ends(self) -> int | None:
        """When something that is spent counts no more, None for never."""
        return self.window.end

    def turn(self, now: int) -> Meter:
        """Moves on to `now` and gives what a hold of that instant is kept in; only rolling windows have parts."""
        return self

    def hold(self, amount: int) -> None:
        """Sets room aside."""
        self.held += amount
        self.used += amount
        self.open += 1
        self.calls += 1

    def end(self, held: int, charged: int, debt: int, calls: int) -> None:
        """Gives a hold back and charges what it cost; `calls` is 1 for a call that never was."""
        self.held -= held
        self.settled += charged
        self.debt += debt
        self.used += charged + debt - held
        self.open -= 1
        self.calls -= calls

    def correct(self, charged: int, debt: int) -> None:
        """Changes what an attempt that ended was charged by a difference."""
        self.settled += charged
        self.debt += debt
        self.used += charged + debt

    def passed(self) -> Sequence[int]:
        """The thresholds that spent cost has passed since the last time; they count as told from now on."""
        if self.limit is None:
            return ()
        spent = 100 * (self.settled + self.debt)
        steps = [step for step in self.rule.thresholds if step > self.told and spent >= self.limit * step]
        if steps:
            self.told = steps[-1]
            self.mark = self._next_mark()
        return steps

    def _next_mark(self) -> int:
        """The spent amount at which the next threshold is passed."""
        if self.limit is None:
            return NEVER
        left = [step for step in self.rule.thresholds if step > self.told]
        return -(-self.limit * left[0] // 100) if left else NEVER


class RollingMeter(Meter):
    """A limit over the time that just passed. Its numbers are the sums of its parts; an open hold counts as long as it
    is open, even when its part has left the window."""

    __slots__ = ("parts", "span")

    def __init__(self, rule: Rule, scope: Scope, span: Rolling) -> None:
        super().__init__(rule, scope, Window(span.text, 0, None), Counts())
        self.span = span
        self.parts: deque[Part] = deque()

    def ends(self) -> int | None:
        """When the oldest part leaves the window."""
        return self.span.expires(self.parts[0].window.start) if self.parts else None

    def turn(self, now: int) -> Meter:
        """Drops the parts that left the window and gives the part of `now`."""
        parts, span = self.parts, self.span
        while parts and span.expires(parts[0].window.start) <= now:
            self._drop(parts.popleft())
        if not parts or parts[-1].window.start + span.width <= now:
            self.add(Part(self, span.at(now), Counts()))
        if parts[-1].window.start <= now:
            return parts[-1]
        return self._earlier(now)

    def add(self, part: Part) -> None:
        """Takes a part in; parts come in the order of time."""
        self.parts.append(part)
        self.settled += part.settled
        self.held += part.held
        self.debt += part.debt
        self.used += part.used
        self.open += part.open
        self.calls += part.calls
        self.told = max(self.told, part.told)
        self.mark = self._next_mark()

    def _earlier(self, now: int) -> Part:
        """The part of an instant before the newest part, after somebody set the clock back."""
        window = self.span.at(now)
        for part in self.parts:
            if part.window.start == window.start:
                return part
        earlier = Part(self, window, Counts())
        later = sum(part.window.start > window.start for part in self.parts)
        self.parts.insert(len(self.parts) - later, earlier)
        return earlier

    def _drop(self, part: Part) -> None:
        part.gone = True
        self.settled -= part.settled
        self.debt -= part.debt
        self.used -= part.settled + part.debt
        self.calls -= part.calls
        # Without a window that closes, thresholds are told again once the spend has fallen and rises anew.
        spent = 100 * (self.settled + self.debt)
        self.told = max(
            (
                step
                for step in self.rule.thresholds
                if step <= self.told and spent >= (self.limit or 0) * step
            ),
            default=0,
        )
        self.blocked = 0
        self.mark = self._next_mark()


class Part(Meter):
    """A piece of a rolling window. What happens to it happens to the whole as well, as far as it still counts."""

    __slots__ = ("_whole", "gone")

    def __init__(self, whole: RollingMeter, window: Window, counts: Counts) -> None:
        super().__init__(whole.rule, whole.scope, window, counts)
        self._whole = whole
        self.gone = False
        #: The whole knows when the next threshold is passed.
        self.mark = 0

    @property
    def whole(self) -> Meter:
        """The rolling meter."""
        return self._whole

    def ends(self) -> int | None:
        """When it leaves the window."""
        return self._whole.span.expires(self.window.start)

    def hold(self, amount: int) -> None:
        """Sets room aside here and in the whole."""
        super().hold(amount)
        self._whole.hold(amount)

    def end(self, held: int, charged: int, debt: int, calls: int) -> None:
        """Gives a hold back; once the part left the window, its charge does not count in the whole."""
        super().end(held, charged, debt, calls)
        if self.gone:
            self._whole.end(held, 0, 0, 0)
        else:
            self._whole.end(held, charged, debt, calls)

    def correct(self, charged: int, debt: int) -> None:
        """Changes a charge here, and in the whole while it counts."""
        super().correct(charged, debt)
        if not self.gone:
            self._whole.correct(charged, debt)

    def passed(self) -> Sequence[int]:
        """The thresholds that the whole has passed."""
        steps = self._whole.passed()
        self.told = self._whole.told
        return steps


class Pace:
    """Tokens and requests in any 60 seconds, and calls at the same moment. Admissions are counted by the second and
    forgotten a minute after that second ended, so that no minute ever holds more than the limit."""

    __slots__ = ("open", "requests", "rule", "scope", "seconds", "tokens")

    def __init__(self, rule: Rule, scope: Scope) -> None:
        self.rule = rule
        self.scope = scope
        self.open = 0
        self.tokens = 0
        self.requests = 0
        #: Second, tokens, requests.
        self.seconds: deque[list[int]] = deque()

    def wait(self, now: int, tokens: int) -> int | None:
        """Nanoseconds until a call of that many tokens may be admitted, 0 for now, None while nobody can say."""
        self._forget(now)
        rule = self.rule
        if rule.parallel is not None and self.open >= rule.parallel:
            return None
        over_tokens = 0 if rule.tokens_per_minute is None else self.tokens + tokens - rule.tokens_per_minute
        over_requests = (
            0 if rule.requests_per_minute is None else self.requests + 1 - rule.requests_per_minute
        )
        if over_tokens <= 0 and over_requests <= 0:
            return 0
        for second, old_tokens, old_requests in self.seconds:
            over_tokens -= old_tokens
            over_requests -= old_requests
            if over_tokens <= 0 and over_requests <= 0:
                return (second + 61) * SECOND - now
        return None

    def idle(self, now: int) -> bool:
        """True when nothing of it counts."""
        self._forget(now)
        return not self.open and not self.seconds

    def _forget(self, now: int) -> None:
        seconds = self.seconds
        while seconds and (seconds[0][0] + 61) * SECOND <= now:
            _, tokens, requests = seconds.popleft()
            self.tokens -= tokens
            self.requests -= requests

    def take(self, now: int, tokens: int) -> None:
        """Counts a call that begins."""
        self.recall(now // SECOND, tokens, 1)
        self.open += 1

    def recall(self, second: int, tokens: int, requests: int) -> None:
        """Counts calls of a second that is not before the newest one."""
        if self.seconds and self.seconds[-1][0] == second:
            last = self.seconds[-1]
            last[1] += tokens
            last[2] += requests
        else:
            self.seconds.append([second, tokens, requests])
        self.tokens += tokens
        self.requests += requests

    def give_back(self, at: int, tokens: int) -> None:
        """Takes back a call that never was."""
        second = at // SECOND
        for entry in reversed(self.seconds):
            if entry[0] == second:
                entry[1] -= tokens
                entry[2] -= 1
                self.tokens -= tokens
                self.requests -= 1
                return
            if entry[0] < second:
                return
