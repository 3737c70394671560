"""Currency rates that an operator gives: US dollars for one unit, by currency and the day from which each holds.

A key is a currency, such as `EUR`, whose rate then holds always, or a currency with its first day:
`EUR@2026-03-01`. A bill takes the newest rate that began on or before the end of its invoice month; a bill from before
the first one has none, and its amounts are left out of US dollars by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

from costweir.sources.formats.format import literal

Rates = Mapping[str, Decimal]


def key(currency: str, since: date | None = None) -> str:
    """The key of a rate."""
    return currency if since is None else f"{currency}@{since.isoformat()}"


def of(rates: Rates, currency: str, period: str) -> Decimal | None:
    """The rate of a currency for an invoice month (`YYYY-MM`), or None."""
    return next((rate for since, rate in _newest_first(rates, currency) if since <= period), None)


def sql(rates: Rates) -> str:
    """SQL for the rate of `billing_currency` in `x_period`; NULL where there is none."""
    currencies = dict.fromkeys(name.partition("@")[0] for name in rates)
    cases = [
        f" WHEN billing_currency = {literal(currency)}"
        + (f" AND x_period >= {literal(since)}" if since else "")
        + f" THEN {rate:f}"
        for currency in currencies
        if currency != "USD"
        for since, rate in _newest_first(rates, currency)
    ]
    return f"CASE{''.join(cases)} END" if cases else "NULL"


def applied(rates: Rates, currencies: Sequence[str], period: str) -> str:
    """The rates that a load in these currencies used, as one text that changes when they do."""
    used = {name: of(rates, name, period) for name in sorted(currencies) if name != "USD"}
    return ",".join(f"{name}={rate:f}" for name, rate in used.items() if rate is not None)


def _newest_first(rates: Rates, currency: str) -> list[tuple[str, Decimal]]:
    """First month and rate of a currency; of two in one month the later one, which holds at the month's end."""
    dated = {
        since: rate
        for name, rate in rates.items()
        for code, _, since in [name.partition("@")]
        if code == currency
    }
    months: dict[str, Decimal] = {}
    for since in sorted(dated):
        months[since[:7]] = dated[since]
    return sorted(months.items(), reverse=True)
