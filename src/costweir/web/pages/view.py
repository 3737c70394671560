"""The URL is the state: reads what a page shows from its query string, and writes the link to any
neighbouring view."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from urllib.parse import urlencode

from costweir.domain.period import Month
from costweir.errors import UsageError
from costweir.web.pages.paging import PER_PAGE, page_number

#: Dimensions that are a grouping over time and not a filter.
TIME = ("day", "month")
BASES = ("billed", "effective", "list", "contracted")
PER = ("day", "week", "month")
MARKS = ("stacked", "lines", "share")
COMPARE = ("prev", "none")
#: Rows of a page of the table; more would make it larger than its 60 KB.
MOST_ROWS = PER_PAGE
#: What drilling into a member moves to, most useful first; the first one not filtered yet is taken.
NEXT = ("provider", "model", "customer", "feature", "project", "token_class", "service")


@dataclass(frozen=True, slots=True)
class Days:
    """Inclusive days, as people read them."""

    first: date
    last: date

    @property
    def until(self) -> date:
        """First day after."""
        return self.last + timedelta(days=1)

    @property
    def count(self) -> int:
        """How many days."""
        return (self.last - self.first).days + 1

    def each(self) -> list[date]:
        """Every day, oldest first."""
        return [self.first + timedelta(days=step) for step in range(self.count)]


def like_days(days: Days, *, weeks: bool = False) -> Days:
    """The period to compare with: the same days of the month before, a whole month with a whole month,
    else as many days right before; on weekly views a whole number of weeks before, so that Mondays meet
    Mondays."""
    month = Month.of(days.first)
    if not weeks and days.first == month.first and days.last < month.following.first:
        before = month.previous
        if days.until == month.following.first:
            return Days(before.first, month.first - timedelta(days=1))
        return Days(before.first, before.first + timedelta(days=min(days.count, before.days) - 1))
    shift = -(-days.count // 7) * 7 if weeks else days.count
    return Days(days.first - timedelta(days=shift), days.last - timedelta(days=shift))


@dataclass(frozen=True, slots=True)
class View:
    """What Explore shows. `where` holds the filters, `unknown` the parameters that mean nothing here and
    are kept."""

    days: Days
    by: str = "provider"
    per: str = "day"
    vs: str = "prev"
    basis: str = ""
    mark: str = "stacked"
    sort: str = ""
    rows: int = 6
    page: int = 1
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    unknown: tuple[tuple[str, str], ...] = ()

    def url(self, path: str = "/explore") -> str:
        """The address of this view; what is the default is left out."""
        pairs = [("from", self.days.first.isoformat()), ("to", self.days.last.isoformat()), ("by", self.by)]
        plain = View(self.days)
        names = ("per", "vs", "basis", "mark", "sort")
        pairs += [
            (name, getattr(self, name)) for name in names if getattr(self, name) != getattr(plain, name)
        ]
        if self.rows != plain.rows:
            pairs.append(("rows", str(self.rows)))
        if self.page != plain.page:
            pairs.append(("page", str(self.page)))
        pairs += [(name, ",".join(values)) for name, values in self.where.items()]
        return f"{path}?{urlencode([*pairs, *self.unknown], safe=',')}"

    def only(self, dimension: str, member: str, *, known: Collection[str] = NEXT) -> View:
        """The drill-down: filters to one member and moves to the next useful grouping that is `known`."""
        where = {**self.where, dimension: (member,)}
        coming = next((name for name in NEXT if name in known and name not in where), dimension)
        return replace(self, where=where, by=coming, sort="", rows=6, page=1)

    def without(self, dimension: str) -> View:
        """The view without one filter."""
        where = {name: values for name, values in self.where.items() if name != dimension}
        return replace(self, where=where, page=1)


def explore_link(days: Days, *, by: str, where: Mapping[str, str] | None = None) -> str:
    """A link into Explore from another page."""
    return View(days, by=by, where={name: (value,) for name, value in (where or {}).items()}).url()


def read_view(
    query: Iterable[tuple[str, str]], *, default: Days, dimensions: Collection[str],
    bases: Collection[str] = BASES,
) -> View:  # fmt: skip
    """Reads a query string. Raises UsageError that names the parameter at fault; unknown names are kept.

    The link of an Answer is read as well: `question`, several `by`, and `where=DIM=VALUE`.
    """
    known: dict[str, str] = {}
    where: dict[str, tuple[str, ...]] = {}
    unknown: list[tuple[str, str]] = []
    for name, value in query:
        if name == "by" and (value in TIME or "by" in known):
            if value in TIME:
                known.setdefault("per", value)
        elif name == "where" and value.partition("=")[0] in dimensions:
            dimension, _, wanted = value.partition("=")
            where[dimension] = (*where.get(dimension, ()), wanted)
        elif name == "question":
            continue
        elif name in ("from", "to", "by", "per", "vs", "basis", "mark", "sort", "rows", "page"):
            known[name] = value
        elif name in dimensions and name not in TIME:
            where[name] = (*where.get(name, ()), *(part for part in value.split(",") if part))
        else:
            unknown.append((name, value))
    days = _days(known, default)
    view = View(
        days,
        by=_one_of("by", known, [name for name in dimensions if name not in TIME], "provider"),
        per=_one_of("per", known, PER, "day" if days.count <= 62 else "month"),
        vs=_one_of("vs", known, COMPARE, "prev"),
        basis=_one_of("basis", known, bases, ""),
        mark=_one_of("mark", known, MARKS, "stacked"),
        sort=known.get("sort", ""),
        rows=_rows(known),
        page=page_number(known.get("page", "")),
        where={name: values for name, values in where.items() if values},
        unknown=tuple(unknown),
    )
    return replace(view, per="week") if view.per == "day" and days.count > 92 else view


def _days(known: Mapping[str, str], default: Days) -> Days:
    first, last = _day("from", known, default.first), _day("to", known, default.last)
    if "to" not in known and last < first:
        last = first
    if last < first:
        raise UsageError(f"The range ends on {last} before it starts on {first}.", hint="Swap from and to.")
    if (last - first).days > 366 * 5:
        raise UsageError("The range is longer than five years.", hint="Choose fewer days.")
    return Days(first, last)


def _day(name: str, known: Mapping[str, str], default: date) -> date:
    text = known.get(name, "")
    if not text:
        return default
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{name}={text} is not a day.", hint="Write it as 2026-11-01.") from None


def _one_of(name: str, known: Mapping[str, str], allowed: Collection[str], default: str) -> str:
    value = known.get(name, "") or default
    if value != default and value not in allowed:
        raise UsageError(f"{name}={value} is not known here.", hint=f"Choose one of {', '.join(allowed)}.")
    return value


def _rows(known: Mapping[str, str]) -> int:
    text = known.get("rows", "6")
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_ROWS):
        raise UsageError(
            f"rows={text} is not a number from 1 to {MOST_ROWS}.", hint="Leave it out for six rows."
        )
    return int(text)
