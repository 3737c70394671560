"""The URL is the whole state, and periods are compared with like days."""

from __future__ import annotations

from datetime import date
from urllib.parse import parse_qsl

import pytest

from costweir.errors import UsageError
from costweir.web.pages.view import Days, View, like_days, read_view

DIMENSIONS = ("provider", "model", "customer", "token_class", "day", "month")
DEFAULT = Days(date(2026, 11, 1), date(2026, 11, 18))


def read(query: str) -> View:
    return read_view(parse_qsl(query), default=DEFAULT, dimensions=DIMENSIONS)


@pytest.mark.parametrize(
    ("now", "before"),
    [
        (("2026-11-01", "2026-11-18"), ("2026-10-01", "2026-10-18")),
        (("2026-11-01", "2026-11-30"), ("2026-10-01", "2026-10-31")),
        (("2026-03-01", "2026-03-30"), ("2026-02-01", "2026-02-28")),
        (("2026-11-05", "2026-11-11"), ("2026-10-29", "2026-11-04")),
        (("2026-09-01", "2026-11-30"), ("2026-06-02", "2026-08-31")),
    ],
)
def test_a_period_is_compared_with_like_days(now: tuple[str, str], before: tuple[str, str]) -> None:
    days = Days(*map(date.fromisoformat, now))
    assert like_days(days) == Days(*map(date.fromisoformat, before))


def test_a_weekly_view_keeps_its_weekdays() -> None:
    before = like_days(Days(date(2026, 11, 1), date(2026, 11, 18)), weeks=True)
    assert before.first.weekday() == date(2026, 11, 1).weekday()
    assert before.count == 18
    assert before.last < date(2026, 11, 1)


@pytest.mark.parametrize(
    "query",
    [
        "from=2026-11-01&to=2026-11-18&by=customer&per=week&vs=none&basis=effective&mark=lines",
        "sort=-tokens&rows=20&provider=anthropic,aws&model=gpt-4o&unknown=kept",
        "from=2025-01-01&to=2025-01-02&by=model",
    ],
)
def test_a_view_survives_its_own_address(query: str) -> None:
    view = read(query)
    assert read(view.url().partition("?")[2]) == view


def test_the_link_of_an_answer_is_read_as_well() -> None:
    view = read(
        "question=spend&by=day&by=customer&by=model&where=provider=aws&where=provider=gcp&from=2026-11-02"
    )
    assert (view.by, view.per) == ("customer", "day")
    assert view.where == {"provider": ("aws", "gcp")}
    assert view.unknown == ()


def test_what_is_not_said_is_the_default() -> None:
    view = read("")
    assert (view.days, view.by, view.per, view.vs, view.rows) == (DEFAULT, "provider", "day", "prev", 6)


def test_a_long_range_is_shown_by_month_and_a_middling_one_never_by_day() -> None:
    assert read("from=2026-01-01&to=2026-11-18").per == "month"
    assert read("from=2026-01-01&to=2026-11-18&per=day").per == "week"


def test_drilling_down_never_groups_by_what_is_filtered() -> None:
    view = read("by=provider").only("provider", "aws")
    assert (view.by, view.where) == ("model", {"provider": ("aws",)})
    deeper = view.only("model", "gpt-4o")
    assert deeper.by == "customer"


@pytest.mark.parametrize(
    "query", ["from=2026-02-30", "to=x", "mark=pie", "basis=metered", "vs=year", "rows=999"]
)
def test_a_wrong_value_is_named(query: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(query)
    assert query.partition("=")[2] in caught.value.message
    assert caught.value.hint
