"""The kinds of value that flags take: a day, a month, a dimension with its value."""

from __future__ import annotations

import re
from datetime import date, timedelta

import click

from costweir.domain.period import Month

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Day(click.ParamType[date]):
    """A day written `YYYY-MM-DD`."""

    name = "day"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Reads the day, or fails as a usage error."""
        if isinstance(value, date):
            return value
        text = str(value)
        try:
            day = date.fromisoformat(text)
        except ValueError:
            day = None
        # fromisoformat also takes 20261101 and 2026-W44-1, which nobody means here.
        if day is None or day.isoformat() != text:
            self.fail(f"{text!r} is not a day; write it as 2026-11-01", param, ctx)
        return day


class MonthOf(click.ParamType[Month]):
    """A month written `YYYY-MM`."""

    name = "month"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Month:
        """Reads the month, or fails as a usage error."""
        if isinstance(value, Month):
            return value
        try:
            return Month.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Filter(click.ParamType[tuple[str, str]]):
    """A filter written `DIM=VALUE`; the value may be empty or hold further equals signs."""

    name = "filter"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Splits at the first equals sign, or fails as a usage error."""
        if isinstance(value, tuple):
            return value  # pyright: ignore[reportUnknownVariableType]
        dimension, equals, wanted = str(value).partition("=")
        if not equals or not dimension:
            self.fail(f"{value!r} is not a filter; write it as customer=acme", param, ctx)
        return dimension, wanted


class Scope(Filter):
    """What a budget is about, written `KIND=ID`."""

    name = "scope"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Splits at the first equals sign, or fails as a usage error; a kind that there is none of, too."""
        from costweir.config.problems import nearest
        from costweir.guard.policy import KINDS

        kind, member = super().convert(value, param, ctx)
        if kind not in KINDS:
            near = nearest(kind, KINDS)
            meant = f"did you mean {near}?" if near else f"the kinds are {', '.join(sorted(KINDS))}"
            self.fail(f"{kind!r} is nothing that a budget can be about; {meant}", param, ctx)
        return kind, member


class Span(click.ParamType[timedelta]):
    """A span of time written as a number with `m`, `h` or `d`."""

    name = "span"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Reads the span, or fails as a usage error."""
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"([0-9]{1,5})([mhd])", str(value))
        if found is None:
            self.fail(f"{value!r} is not a time; write it as 30d, 12h or 90m", param, ctx)
        return timedelta(**{_UNITS[found[2]]: int(found[1])})


DAY = Day()
SPAN = Span()
MONTH = MonthOf()
FILTER = Filter()
SCOPE = Scope()
