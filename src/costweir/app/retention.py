"""Lets old bill lines and calls go, as the settings say, at most once a day. Their sums by day stay (law L6)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from costweir.domain.period import Month

if TYPE_CHECKING:
    from costweir.config import Settings
    from costweir.control import Control
    from costweir.store.aging import Facts
    from costweir.store.warehouse import Warehouse

#: The day it was last done and for how many months, and the hour it was last tried, in the memory of the control
#: database.
_DONE, _TRIED = "retention", "retention:tried"


def retain(
    settings: Settings, control: Control, warehouse: Warehouse, *, now: datetime | None = None
) -> dict[str, int]:
    """How many lines and calls went, by table; nothing when no limit is set or it was done today already.

    Raises what `Warehouse.expire` raises, such as StoreLocked while somebody reads what is to go; it is then tried
    again an hour later, because questions that begin wait behind each try.
    """
    now = now or datetime.now(UTC)
    today, hour = now.date(), f"{now:%Y-%m-%dT%H}"
    charges, calls = settings.store.charge_months, settings.store.call_months
    mark = f"{today} {charges} {calls}"
    if not (charges or calls) or control.get(_DONE) == mark or control.get(_TRIED) == f"{hour} {mark}":
        return {}
    if warehouse.read_only:
        return {}
    control.put(_TRIED, f"{hour} {mark}")
    gone: dict[str, int] = {}
    limits: tuple[tuple[Facts, int | None], ...] = (("charges", charges), ("calls", calls))
    for facts, months in limits:
        if months:
            gone[facts] = warehouse.expire(facts, before=_back(Month.of(today), months).first)
    control.put(_DONE, mark)
    return {facts: count for facts, count in gone.items() if count}


def _back(month: Month, count: int) -> Month:
    """The month `count` months before."""
    years, number = divmod(month.year * 12 + month.number - 1 - count, 12)
    return Month(years, number + 1)
