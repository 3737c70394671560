"""The office of this process: changes to what people set, each in one transaction and followed by the warehouse, and
the settings as they are in force."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, TypeVar

from costweir.app.budgets import Budgets, ledger_file
from costweir.app.connecting import Connecting
from costweir.app.desk import LocalDesk
from costweir.app.finance import chargeback, price_changes, shared_rules
from costweir.app.mappings import Mappings
from costweir.app.repricing import Repricing
from costweir.control import Control
from costweir.control.tokens import Token
from costweir.domain.money import decimal_text
from costweir.domain.period import Month
from costweir.guard.ledgers.reader import LedgerReader
from costweir.insights.shared import chargeback_record
from costweir.queries.charge_pages import ChargesPage, ChargesRequest, read_charges

if TYPE_CHECKING:
    from costweir.config import Settings

Result = TypeVar("Result")


class DeskOffice:
    """Implements `web.office.Office` on the stores of a desk. Safe to use from several threads."""

    def __init__(self, desk: LocalDesk, settings: Settings) -> None:
        self._desk = desk
        self._settings = settings
        self._connecting = Connecting(desk, settings)
        self._mappings = Mappings(desk, settings)
        self._repricing = Repricing(desk, settings)
        self._opening = threading.Lock()
        self._ledger: LedgerReader | None = None

    @property
    def control(self) -> Control:
        """For reading."""
        return self._desk.control

    def edit(self, change: Callable[[Control], Result]) -> Result:
        """Makes a change in one transaction and brings the warehouse in step."""
        return self._desk.edit(change)

    def token(self, text: str) -> Token | None:
        """The token of this text when it may be used now."""
        return self._desk.control.tokens.find(text)

    def ledger(self) -> LedgerReader:
        """The gateway's ledger, for reading."""
        path = ledger_file(self._settings)
        with self._opening:
            if self._ledger is None:
                self._ledger = LedgerReader(path)
        return self._ledger

    def settings(self) -> Mapping[str, object]:
        """Every setting as it is in force, secrets masked: `file` and `rows`."""
        from costweir import config

        values, origins = config.shown(self._settings), config.origin(self._settings)
        rows = [
            {
                "key": item.key, "value": values[item.key], "origin": origins[item.key], "meaning": item.meaning,
                "type": item.type, "variables": list(item.variables),
            }
            for item in config.settings_list()
            if item.key in values
        ]  # fmt: skip
        return {"file": str(self._settings.file) if self._settings.file else None, "rows": rows}

    @property
    def connecting(self) -> Connecting:
        """Trying and adding live sources."""
        return self._connecting

    @property
    def budgets(self) -> Budgets:
        """The limits of the gateway."""
        return Budgets(self._desk.control, self._settings.ledger_path)

    @property
    def mappings(self) -> Mappings:
        """What lines of bills mean by hand."""
        return self._mappings

    def chargeback(self, month: Month, *, basis: str, currency: str) -> Mapping[str, object]:
        """What each customer pays for a month."""
        rules = shared_rules(self._settings)
        found, answer = chargeback(self._desk.ask, rules, month, basis=basis, currency=currency)
        return chargeback_record(found, answer, str(month))

    def price_changes(self, *, since: date | None, every: bool) -> Mapping[str, object]:
        """What changed in the price book and whom it touches."""
        from costweir.prices.book import Book

        own = [row.model_dump(mode="json", exclude_none=True) for row in self._settings.prices]
        today = datetime.now(UTC).date()
        return price_changes(self._desk.ask, Book.load(overrides=own), since=since, today=today, every=every)[
            0
        ]

    @property
    def repricing(self) -> Repricing:
        """Later prices of calls."""
        return self._repricing

    def charges(self, request: ChargesRequest) -> ChargesPage:
        """One page of lines."""
        return read_charges(self._desk.warehouse, request)

    def prices(self, *, provider: str, model: str, on: date, own: bool) -> Sequence[Mapping[str, object]]:
        """The prices of a day, in USD for 1,000,000 tokens; per request, image or search where the name says so."""
        from costweir.prices.book import Book

        mine = (
            [row.model_dump(mode="json", exclude_none=True) for row in self._settings.prices] if own else []
        )
        return [
            {
                "provider": rate.provider, "model": rate.model, "tier": rate.tier, "routing": rate.routing,
                "effective": _day(rate.effective), "known_from": _day(rate.known_from),
                "rates": {f"{bucket}_usd": decimal_text(amount) for bucket, amount in rate.rates.items()},
                "source": rate.source, "price_version": rate.version,
            }
            for rate in Book.load(overrides=mine).list(provider=provider, match=model, on=on)
        ]  # fmt: skip


def _day(day: date) -> str | None:
    return None if day == date.min else day.isoformat()
