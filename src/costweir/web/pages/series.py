"""Answers over time made ready for a chart: buckets of days, weeks or months, and a series per member."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from costweir.domain.answer import Answer
from costweir.domain.charge import UNTAGGED
from costweir.insights.breakdown import Breakdown, by_member, gathered, matrix, rest
from costweir.web import charts
from costweir.web import format as fmt
from costweir.web.pages.view import Days


@dataclass(frozen=True, slots=True)
class Buckets:
    """Consecutive stretches of time: labels, first days, and the bucket that each ISO day lies in."""

    labels: tuple[str, ...]
    starts: tuple[date, ...]
    place: Mapping[str, int]
    last: date
    over: str = "day"

    def fill(self, amounts: Mapping[str, Decimal]) -> tuple[Decimal, ...]:
        """One exact amount per bucket."""
        return gathered(amounts, self.place, len(self.labels))


def buckets(days: Days, per: str, *, today: date) -> Buckets:
    """Buckets of a `day`, `week` (Monday first, cut at the ends) or `month`."""
    if per == "month":
        return _months(days)
    labels: list[str] = []
    starts: list[date] = []
    place: dict[str, int] = {}
    for day in days.each():
        if per == "day" or not starts or day.weekday() == 0:
            starts.append(day)
            labels.append(fmt.day(day, today=today))
        place[day.isoformat()] = len(starts) - 1
    return Buckets(tuple(labels), tuple(starts), place, days.last)


def _months(days: Days) -> Buckets:
    labels: list[str] = []
    starts: list[date] = []
    place: dict[str, int] = {}
    for day in days.each():
        if not starts or day.day == 1:
            starts.append(day)
            labels.append(fmt.short_month(day))
        place[day.isoformat()] = len(starts) - 1
    return Buckets(tuple(labels), tuple(starts), place, days.last)


@dataclass(frozen=True, slots=True)
class Stack:
    """The members of one dimension as series that add up to the total of every bucket."""

    series: tuple[charts.Series, ...]
    tokens: Mapping[str, str]
    totals: tuple[Decimal, ...]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a stack stands for: its dimension, the colour of each member, their names and links."""

    dimension: str
    tokens: Mapping[str, str]
    names: Mapping[str, str]
    links: Mapping[str, str]
    provisional: Mapping[str, frozenset[int]]
    other: str


def stack(parts: Breakdown, members: Answer, whole: Answer, time: Buckets, *, meaning: Meaning) -> Stack:
    """`members` is split by dimension and day for named ones and untagged, `whole` by day alone; what the
    named ones leave of a day is Other, so that nothing can be missing from a bar."""
    cells = matrix(members, meaning.dimension, time.over)
    shown = [name for name, _ in parts.named]
    if parts.untagged is not None:
        shown.append(UNTAGGED)
    totals = time.fill(by_member(whole, time.over))
    keyed = {str(place): total for place, total in enumerate(totals)}
    filled = {name: time.fill(cells.get(name, {})) for name in shown}
    taken = [{str(place): value for place, value in enumerate(values)} for values in filled.values()]
    left = rest(keyed, taken)
    made = [_series(name, filled[name], meaning) for name in shown if name != UNTAGGED]
    if parts.other != 0 or any(left.values()):
        late = meaning.provisional.get("", frozenset[int]())
        values = tuple(left[str(place)] for place in range(len(totals)))
        made.append(charts.Series(meaning.other, charts.OTHER, values, "", late))
    if UNTAGGED in filled:
        made.append(_series(UNTAGGED, filled[UNTAGGED], meaning))
    return Stack(tuple(made), meaning.tokens, totals)


def _series(name: str, values: tuple[Decimal, ...], meaning: Meaning) -> charts.Series:
    late = meaning.provisional.get(name, meaning.provisional.get("", frozenset[int]()))
    label, token = meaning.names.get(name, name), meaning.tokens.get(name, charts.OTHER)
    return charts.Series(label, token, values, meaning.links.get(name, ""), late)


def provisional(time: Buckets, open_from: date) -> Mapping[str, frozenset[int]]:
    """The buckets that hold a day from `open_from` on, for every series alike."""
    ends = [*time.starts[1:], time.last + timedelta(days=1)]
    return {"": frozenset(place for place, end in enumerate(ends) if end > open_from)}


def named_members(parts: Breakdown) -> tuple[str, ...]:
    """The members to ask for by day."""
    names = [name for name, _ in parts.named]
    return (*names, UNTAGGED) if parts.untagged is not None else tuple(names)


def align(before: Sequence[Decimal], buckets_now: int) -> tuple[Decimal, ...]:
    """The earlier period bucket by bucket, cut to the length of this one."""
    return tuple(before[:buckets_now])
