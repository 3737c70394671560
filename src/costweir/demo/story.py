"""The story, day by day: who used how many tokens of what. Whole numbers only, drawn from seeded generators.

Growth, weekdays, a winter holiday, customers that join, models that come and go, one customer that runs away:
all of it is fixed by (seed, today, scale), so that two worlds of the same arguments are equal to the byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random

from costweir.demo.cast import Actor, actors, runaway
from costweir.demo.catalogue import CURRENT, FULL_MONTHS, Sku, Stream, Workload, workloads
from costweir.domain.charge import UNTAGGED
from costweir.domain.period import Month

#: Days between a day and its arrival in the provider's export.
LAG_DAYS: Mapping[str, int] = {"aws": 2, "azure": 2, "gcp": 1, "anthropic": 1}
#: Full months, and the open one, that AWS writes by the hour.
HOURLY_FROM = CURRENT - 1
#: Monday to Sunday, in thousandths of a plain working day.
_WEEKDAY = (1150, 1200, 1180, 1150, 1000, 330, 260)
#: Thousandths by which usage grows a month.
_GROWTH = 36
#: Thousandths of all tagged lines that are written without their tags.
_FORGOTTEN = 15
#: Office hours that an hourly day is spread over.
_HOURS = ((9, 350), (13, 400), (16, 250))
#: Monthly US dollars below which a workload is not used every day.
_OCCASIONAL = Decimal(12)


@dataclass(frozen=True, slots=True)
class Use:
    """One line to be billed: `amount` tokens (or images ...) of a SKU on a day, or in one hour of it."""

    stream: Stream
    sku: Sku
    month: int
    day: date
    hour: int | None
    amount: int
    customer: str
    owner: str
    project: str
    feature: str
    part: int

    @property
    def quantity(self) -> Decimal:
        """Pricing units, exact."""
        return Decimal(self.amount) / self.sku.block

    @property
    def price(self) -> Decimal:
        """US dollars a pricing unit."""
        return self.sku.prices[self.month]

    @property
    def cost(self) -> Decimal:
        """US dollars: quantity times price, exact."""
        return self.quantity * self.price


def at_hour(day: date, hour: int = 0) -> datetime:
    """An instant in UTC."""
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Stage:
    """When the world takes place: 12 full months and the month of `today`."""

    today: date

    @property
    def months(self) -> tuple[Month, ...]:
        """The 13 months, oldest first."""
        month = Month.of(self.today)
        found = [month]
        for _ in range(FULL_MONTHS):
            month = month.previous
            found.append(month)
        return tuple(reversed(found))

    def last_day(self, provider: str) -> date:
        """The last day that the provider has delivered."""
        return self.today - timedelta(days=LAG_DAYS[provider])

    def days(self, provider: str, month: int) -> tuple[date, ...]:
        """The delivered days of a month; none while nothing of it has arrived."""
        first = self.months[month].first
        last = min(self.last_day(provider), self.months[month].following.first - timedelta(days=1))
        return tuple(first + timedelta(days=n) for n in range((last - first).days + 1))

    def runaway_days(self) -> tuple[date, ...]:
        """The days on which the runaway customer runs away, in the current or the previous month."""
        start = self.today - timedelta(days=13)
        return tuple(start + timedelta(days=n) for n in range(runaway().days))


def play(stage: Stage, *, seed: int, scale: Decimal) -> Iterator[Use]:
    """Every use of every actor, actor by actor and day by day."""
    known = workloads()
    for actor in actors():
        for name, share in actor.uses:
            random = Random(f"{seed}/{actor.id}/{name}")
            yield from _play_workload(stage, actor, known[name], share, _Draw(random, scale))


@dataclass(frozen=True, slots=True)
class _Draw:
    random: Random
    scale: Decimal

    def copies(self) -> int:
        """How often a line is written: `scale` on average, exactly once at scale 1."""
        whole = int(self.scale)
        rest = int((self.scale - whole) * 1000)
        return whole + (1 if rest and self.random.randrange(1000) < rest else 0)


def _play_workload(stage: Stage, actor: Actor, workload: Workload, share: int, draw: _Draw) -> Iterator[Use]:
    monthly = actor.spend * share / 100
    occasional = monthly < _OCCASIONAL and actor.id != UNTAGGED
    # a month has about 27.3 plain working days; an occasional workload is used on every other day
    per_day = monthly / workload.request_cost() / Decimal("27.3") * (2 if occasional else 1)
    spike = stage.runaway_days() if actor.id == runaway().customer else ()
    for month in range(max(0, CURRENT - actor.joined), FULL_MONTHS + 1):
        base = int(per_day * _climb(actor, month) * _growth(month))
        for day in stage.days(workload.provider, month):
            level = draw.random.randrange(780, 1221) * _WEEKDAY[day.weekday()]
            absent = occasional and draw.random.randrange(2) == 1
            if day in spike:
                level *= runaway().times
            elif absent:
                continue
            if (day.month, day.day) >= (12, 24) or (day.month, day.day) == (1, 1):
                level = level * 45 // 100
            yield from _play_day(workload, actor.id, (month, day), base * level, draw)


def _play_day(
    workload: Workload, customer: str, when: tuple[int, date], level: int, draw: _Draw
) -> Iterator[Use]:
    """`level` is requests a day times 10^12: four factors are in thousandths."""
    month, day = when
    forgotten = workload.provider != "azure" and draw.random.randrange(1000) < _FORGOTTEN
    tagged = customer if not forgotten else UNTAGGED
    feature = workload.feature if workload.feature and not forgotten else UNTAGGED
    project = workload.project if customer != UNTAGGED and not forgotten else UNTAGGED
    hour = draw.random.randrange(8, 19)
    for stream, shares in workload.shares:
        for sku in stream.skus:
            amount = sku.amount * level * shares[month] * draw.random.randrange(920, 1081) // 10**17
            for part in range(draw.copies()):
                for at, piece in _spread(stream, month, hour, amount):
                    if piece > 0:
                        yield Use(
                            stream, sku, month, day, at, piece, tagged, customer, project, feature, part
                        )


def _spread(stream: Stream, month: int, hour: int, amount: int) -> tuple[tuple[int | None, int], ...]:
    if stream.provider == "gcp":
        return ((hour, amount),)
    if stream.provider != "aws" or month < HOURLY_FROM:
        return ((None, amount),)
    pieces = [(at, amount * weight // 1000) for at, weight in _HOURS]
    return ((pieces[0][0], amount - sum(piece for _, piece in pieces[1:])), *pieces[1:])


def _growth(month: int) -> int:
    """Thousandths of the last full month."""
    level = Decimal(1000)
    for _ in range(abs(month - (CURRENT - 1))):
        level = level * (1000 + _GROWTH) / 1000 if month > CURRENT - 1 else level * 1000 / (1000 + _GROWTH)
    return int(level)


def _climb(actor: Actor, month: int) -> int:
    """Thousandths of full use: a tenth before the ramp, then in even steps to all of it."""
    if not actor.ramp:
        return 1000
    begin = CURRENT - 1 - actor.ramp
    step = min(max(month - begin, 0), actor.ramp)
    return 100 + 900 * step // actor.ramp
