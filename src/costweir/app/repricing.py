"""Later prices of calls: looked at, and kept as adjustments beside the calls."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from costweir.app import rerate
from costweir.control.audit import Change
from costweir.domain.money import decimal_text
from costweir.insights.breakdown import add

if TYPE_CHECKING:
    from costweir.app.desk import LocalDesk
    from costweir.config import Settings
    from costweir.prices.book import Book

Record = Mapping[str, object]


class Repricing:
    """The prices of the calls of one desk. Safe to use from several threads."""

    def __init__(self, desk: LocalDesk, settings: Settings) -> None:
        self._desk = desk
        self._settings = settings

    def preview(self, *, since: date | None, until: date | None, models: Sequence[str] = ()) -> Record:
        """What calls would cost at the prices known now: `rows` by month, provider and model, largest change first."""
        answer = self._desk.ask(rerate.request_for(since, until, models))
        return told(rerate.preview(answer, self._book()))

    def apply(
        self, *, by: str, since: date | None = None, until: date | None = None, models: Sequence[str] = ()
    ) -> Record:
        """Adjusts every call whose price was learned or corrected; the same as `preview` with `run_id`, over the calls
        that were adjusted. Done again it changes nothing."""
        now = datetime.now(UTC)
        run = f"rerate_{int(now.timestamp() * 1000):012x}{secrets.token_hex(5)}"
        with self._desk.changing():
            answer = self._desk.ask(rerate.request_for(since, until, models))
            book = self._book()
            wanted = told(rerate.preview(answer, book))
            if wanted["rows"]:
                # The chain comes first: no call is adjusted without a row that says by whom.
                about = {name: wanted[name] for name in ("calls", "before_usd", "after_usd", "delta_usd")}
                asked = {"since": _text(since), "until": _text(until), "models": list(models)}
                with self._desk.control.transaction():
                    self._desk.control.audit.add(
                        Change(by, "calls.rerate", f"run:{run}", None, {**asked, "planned": about})
                    )
            adjusting = rerate.Adjusting(run, by, now)
            done = rerate.together(rerate.adjust(self._desk.warehouse, answer, book, adjusting))
        return {**told(done), "run_id": run if done else ""}

    def _book(self) -> Book:
        from costweir.prices.book import Book

        return Book.load(
            overrides=[row.model_dump(mode="json", exclude_none=True) for row in self._settings.prices]
        )


def told(rows: Sequence[rerate.Rerated]) -> Record:
    """The rows and their sums as JSON."""
    return {
        "rows": [row.to_json() for row in rows], "calls": sum(row.calls for row in rows),
        "before_usd": decimal_text(add(row.before for row in rows)),
        "after_usd": decimal_text(add(row.after for row in rows)),
        "delta_usd": decimal_text(add(row.delta for row in rows)),
        "still_unpriced_calls": sum(row.unpriced_after for row in rows), "assumption": rerate.ASSUMPTION,
    }  # fmt: skip


def _text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
