"""The office behind the pages and the API: what people set, the settings, and more that only the server itself has.
The server's own is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, Protocol, TypeVar

from costweir.control import Control
from costweir.control.audit import Change
from costweir.control.mappings import OwnMapping
from costweir.domain.period import Month
from costweir.guard.ledgers.reader import LedgerReader
from costweir.queries.charge_pages import ChargesPage, ChargesRequest
from costweir.web.desk import Record

Result = TypeVar("Result")


class Mappings(Protocol):
    """What the operator says that lines of a bill mean, and what is stored by it."""

    def listed(self) -> Sequence[Record]:
        """Every mapping that was set by hand."""
        ...

    def complete(self, wish: Mapping[str, Any]) -> OwnMapping:
        """The mapping that a wish (`cloud, text, service, unit, meaning, evidence`) asks for, with what the rules read
        where it is silent. Raises ConfigError for a wrong slot, and Conflict for lines that the file maps."""
        ...

    def preview(self, put: OwnMapping | None = None, drop: str = "") -> Record:
        """What is stored and would mean something else, with one mapping more or less: `rows, lines, slots,
        closed_slots, billed, digest`. Raises NotFound."""
        ...

    def put(
        self, control: Control, mapping: OwnMapping, *, by: str
    ) -> tuple[Record | None, Record, Change | None]:
        """Keeps a mapping inside a transaction: before, after and the row for the audit chain."""
        ...

    def drop(self, control: Control, name: str, *, by: str) -> tuple[Record, Change]:
        """Forgets a mapping inside a transaction. Raises NotFound."""
        ...

    def apply(self, *, by: str, expect: str = "") -> Record:
        """Moves what is stored; the same as `preview` with `run_id`. Raises Conflict when that is not what `expect`
        stands for."""
        ...


class Connecting(Protocol):
    """Live sources that are not configured yet. A row has the keys of `[[sources]]`."""

    def policy(self, row: Mapping[str, object]) -> str:
        """The least that the source has to be allowed. Raises ConfigError for an option that is wrong."""
        ...

    def check(self, row: Mapping[str, object], *, add: bool = False, by: str = "") -> Record:
        """What `connect --json` says, and `every`. With `add` it is in the configuration when nothing stands in the
        way, and `by` in the audit chain. Raises ConfigError, and Conflict for an id that is taken or while another is
        tried."""
        ...


class Repricing(Protocol):
    """Later prices of calls, kept as adjustments beside them."""

    def preview(self, *, since: date | None, until: date | None, models: Sequence[str] = ()) -> Record:
        """What calls would cost at the prices known now: `rows, calls, before_usd, after_usd, delta_usd,
        still_unpriced_calls, assumption`."""
        ...

    def apply(
        self, *, by: str, since: date | None = None, until: date | None = None, models: Sequence[str] = ()
    ) -> Record:
        """Adjusts the calls; the same over what was adjusted, with `run_id`."""
        ...


class Budgets(Protocol):
    """Limits as they are defined, what they would have refused, and whether the gateway holds them."""

    def listed(self) -> Sequence[Record]:
        """Every budget, also those that plans make: `id, scope, each, window, limit_usd, mode, thresholds, calls,
        parallel, tokens_per_minute, requests_per_minute, expires, origin`."""
        ...

    def definition(self, name: str, changes: Mapping[str, Any]) -> Record:
        """What a budget of that name would be with some changes. Raises UsageError."""
        ...

    def preview(self, name: str, body: Mapping[str, Any], *, days: int) -> Record:
        """What a budget would have refused in the last days: `since, until, calls, cost_usd, blocked_calls,
        blocked_usd, blocked_customers, blocked_windows, first_blocked_at` and `rows` by customer."""
        ...

    def in_force(self, *, wait: bool = True) -> bool | None:
        """Whether the gateway applied what is set now, which may be waited for: None when it never ran here."""
        ...


class Office(Protocol):
    """Every method is safe to call from several threads."""

    @property
    def control(self) -> Control:
        """For reading. Changes go through `edit`."""
        ...

    def edit(self, change: Callable[[Control], Result]) -> Result:
        """Makes a change in one transaction and brings the warehouse in step."""
        ...

    def ledger(self) -> LedgerReader:
        """The gateway's ledger, for reading. Raises NotFound before the first start, and Unreachable for no file."""
        ...

    def settings(self) -> Mapping[str, object]:
        """Every setting as it is in force, secrets masked: `file` (a path or null) and `rows` of `key, value, origin,
        meaning, type, variables`."""
        ...

    @property
    def connecting(self) -> Connecting:
        """Trying and adding live sources."""
        ...

    @property
    def budgets(self) -> Budgets:
        """The limits of the gateway. Changes go through `edit`."""
        ...

    @property
    def mappings(self) -> Mappings:
        """What lines of bills mean by hand."""
        ...

    def chargeback(self, month: Month, *, basis: str, currency: str) -> Record:
        """What each customer pays for a month; the record of `costweir chargeback --json`."""
        ...

    def price_changes(self, *, since: date | None, every: bool) -> Record:
        """What changed in the price book and whom it touches; the record of `costweir prices changes --json`."""
        ...

    @property
    def repricing(self) -> Repricing:
        """Later prices of calls."""
        ...

    def charges(self, request: ChargesRequest) -> ChargesPage:
        """One page of lines."""
        ...

    def prices(self, *, provider: str, model: str, on: date, own: bool) -> Sequence[Mapping[str, object]]:
        """The prices of a day; `own` lets the operator's own prices go before the book."""
        ...
