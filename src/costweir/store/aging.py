"""The statements by which old lines and calls are let go. What they come to by day stays, so no total moves (law L6).

A line that is older than what is kept never comes back: a bill that is loaded again fills its roll-up and leaves only
the lines of the days that are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Literal

from costweir.errors import UsageError
from costweir.store.schema import SLOT_FILTER
from costweir.store.warehouse import Value

Facts = Literal["charges", "calls"]

_DAILY = (
    "usage_date", "usage_month", "x_provider", "x_model", "x_customer", "x_project", "x_feature", "x_outcome",
)  # fmt: skip
_KEPT_FROM = "SELECT MAX(a.kept_from) FROM kept AS a WHERE a.table_name = 'charges'"

_KEEP_CALLS = (
    f"INSERT INTO calls_daily ({', '.join(_DAILY)}, line_count, without_usd, x_input_tokens, x_output_tokens, "  # noqa: S608
    f"x_tokens, metered_cost) SELECT {', '.join(f'f.{name}' for name in _DAILY)}, COUNT(*), "
    "SUM(CASE WHEN f.x_has_usd THEN 0 ELSE 1 END), SUM(f.x_input_tokens), SUM(f.x_output_tokens), "
    "SUM(f.x_tokens), SUM(f.metered_cost) FROM calls_facts AS f WHERE f.usage_date < $before "
    f"GROUP BY {', '.join(f'f.{name}' for name in _DAILY)}"
)
_DROP_ADJUSTMENTS = (
    "DELETE FROM call_adjustments WHERE call_id IN "
    "(SELECT k.call_id FROM calls AS k WHERE k.usage_date < $before)"
)
#: What has to be done before rows go, by table. Takes `$before`.
_FIRST: Mapping[Facts, Sequence[str]] = {"charges": (), "calls": (_KEEP_CALLS, _DROP_ADJUSTMENTS)}
#: Takes away the lines of a slot that are older than what is kept; run after its roll-up was filled.
DROP_OLD = f"DELETE FROM charges WHERE {SLOT_FILTER} AND usage_date < ({_KEPT_FROM})"  # noqa: S608
#: The days whose roll-up can be filled again from the lines.
OPEN_DAYS = f"usage_date >= COALESCE(({_KEPT_FROM}), CAST('0001-01-01' AS DATE))"


def check(before: date) -> None:
    """Raises UsageError unless `before` is the first day of a month: months are let go as a whole."""
    if before.day != 1:
        raise UsageError(f"{before} is not the first day of a month.", hint="Months are let go as a whole.")


def count(facts: Facts) -> str:
    """How many rows are older than `$before`."""
    return f"SELECT COUNT(*) FROM {facts} WHERE usage_date < $before"  # noqa: S608


def first(facts: Facts) -> Sequence[str]:
    """What is written down before the rows go. Takes `$before`."""
    return _FIRST[facts]


def note(facts: Facts, before: date, now: datetime) -> Sequence[tuple[str, Mapping[str, Value]]]:
    """The statements that say from which day on the table is whole, each with its parameters."""
    return (
        ("DELETE FROM kept WHERE table_name = $facts", {"facts": facts}),
        ("INSERT INTO kept VALUES ($facts, $before, $now)", {"facts": facts, "before": before, "now": now}),
    )
