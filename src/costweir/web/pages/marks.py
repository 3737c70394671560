"""Annotations on a chart over time: numbered dots above the plot, and below it what each stands for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from urllib.parse import urlencode

from starlette.requests import Request

from costweir.control import Annotation
from costweir.errors import Error
from costweir.web.pages.series import Buckets
from costweir.web.pages.shell import Kit
from costweir.web.pages.view import Days

#: More dots than this would hide each other; the list has all.
MOST = 5
LIST = "/explore/annotations"


@dataclass(frozen=True, slots=True)
class Subject:
    """What a chart is about: its filters, and the members that it names one by one."""

    where: Mapping[str, Collection[str]] = field(default_factory=dict[str, Collection[str]])
    named: Mapping[str, Collection[str]] = field(default_factory=dict[str, Collection[str]])

    def concerns(self, note: Annotation) -> bool:
        """Whether an annotation is about something that the chart shows; one about all spend always is."""
        if not note.dimension:
            return True
        members = self.where.get(note.dimension) or self.named.get(note.dimension, ())
        return note.member in members


@dataclass(frozen=True, slots=True)
class Mark:
    """One dot: its number, the bucket it stands over, and its annotations."""

    number: int
    place: int
    label: str
    notes: tuple[Annotation, ...]


@dataclass(frozen=True, slots=True)
class Marks:
    """The dots of one chart, left to right; `more` annotations have none, and `add` leads to the form."""

    shown: tuple[Mark, ...] = ()
    more: int = 0
    add: str = ""

    @property
    def dots(self) -> tuple[tuple[int, int], ...]:
        """Bucket and number of each dot, for the chart."""
        return tuple((mark.place, mark.number) for mark in self.shown)


def read_marks(kit: Kit, request: Request, time: Buckets, *, days: Days, subject: Subject) -> Marks:
    """The annotations of a chart. Without them, or when they cannot be read, the chart stands all the same."""
    if kit.kept is None:
        return Marks()
    try:
        found = kit.kept.control.annotations.listed(
            since=days.first.isoformat(), until=days.until.isoformat()
        )
    except Error:
        return Marks()
    add = ""
    if kit.may_edit(request):
        add = _add_link(request, days.last, subject)
    return choose([note for note in found if subject.concerns(note)], time, add=add)


def choose(notes: Sequence[Annotation], time: Buckets, *, add: str = "") -> Marks:
    """One dot for each bucket that has any, the newest where there are too many."""
    by_place: dict[int, list[Annotation]] = {}
    for note in notes:
        if note.day in time.place:
            by_place.setdefault(time.place[note.day], []).append(note)
    places = sorted(by_place)
    shown = places[-MOST:]
    marks = [
        Mark(number, place, time.labels[place], tuple(by_place[place]))
        for number, place in enumerate(shown, start=1)
    ]
    return Marks(tuple(marks), sum(len(by_place[place]) for place in places[:-MOST]), add)


def _add_link(request: Request, day: date, subject: Subject) -> str:
    """The form, with the day and the only filter of the chart filled in."""
    pairs = [("day", day.isoformat())]
    single = [(name, next(iter(values))) for name, values in subject.where.items() if len(values) == 1]
    if len(single) == 1:
        pairs += [("dimension", single[0][0]), ("member", single[0][1])]
    asked = f"?{request.url.query}" if request.url.query else ""
    pairs.append(("back", f"{request.url.path}{asked}"))
    return f"{LIST}/edit?{urlencode(pairs)}"
