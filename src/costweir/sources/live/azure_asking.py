"""The queries that one fetch sends to Azure Cost Management, and what their answers mean together.

What comes back is checked against what was asked, because the service moves and cuts ranges without a word (law L7).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from costweir.domain.period import Month
from costweir.errors import SourceRejected
from costweir.sources.live.azure_answer import Page, Row, read_page
from costweir.sources.live.azure_login import facts
from costweir.sources.live.azure_rest import Refused, Rest
from costweir.sources.live.azure_scope import Scope

#: No month of meters has this many pages; an answer that has is one that does not end.
_MOST_PAGES = 2_000
_RATE = Decimal("1e-12")
_OLD_NAMES = {"Cost": "PreTaxCost", "CostUSD": "PreTaxCostUSD"}

Grouping = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Known:
    """What the undated queries say of a few months.

    `units` and `products` are by meter, `categories` by product; each only where there is exactly one. `totals` is by
    currency, `rates` (US dollars for one unit of it) by month and currency.
    """

    units: Mapping[str, str] = field(default_factory=dict[str, str])
    products: Mapping[str, str] = field(default_factory=dict[str, str])
    categories: Mapping[str, str] = field(default_factory=dict[str, str])
    totals: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    rates: Mapping[tuple[Month, str], Decimal] = field(default_factory=dict[tuple[Month, str], Decimal])


@dataclass(slots=True)
class Asking:
    """The queries about one scope. `cost` is ActualCost or AmortizedCost; days are UTC and both ends are included."""

    rest: Rest
    scope: Scope
    cost: str
    tag: str = ""

    def months(self, since: date, until: date) -> list[Month]:
        """The months with a row, in order."""
        pages = self._pages("Monthly", since, until, grouping=(), wanted=("cost",))
        return sorted({row.month("BillingMonth") for page in pages for row in page.rows()})

    def days(self, since: date, until: date) -> list[date]:
        """The days with a row, in order."""
        pages = self._pages("Daily", since, until, grouping=(), wanted=("cost",))
        return sorted({row.day("UsageDate") for page in pages for row in page.days_within(since, until)})

    def known(self, since: date, until: date) -> Known:
        """Units, products, categories, totals and rates of at most twelve months: two or three requests."""
        rows = self._control(since, until)
        totals: dict[str, Decimal] = {}
        for row in rows:
            currency = row.text("Currency")
            totals[currency] = totals.get(currency, Decimal(0)) + row.number(*_names("cost"))
        categories = self._pairs(since, until, "MeterSubcategory", "MeterCategory")
        products = self._pairs(since, until, "Meter", "MeterSubcategory") if self.tag else dict[str, str]()
        has_unit = bool(rows) and rows[0].has("UnitOfMeasure")
        units = _only((row.text("Meter"), row.text("UnitOfMeasure")) for row in rows if has_unit)
        return Known(units, products, categories, totals, _rates(rows))

    def lines(self, since: date, until: date, known: Known) -> Iterator[Iterator[Mapping[str, object]]]:
        """The rows of at most 31 days, page by page, with the headings of a cost export."""
        query = facts()["query"]
        first = ("TagKey", self.tag) if self.tag else ("Dimension", str(query["grouping"][0]))
        grouping = (first, ("Dimension", str(query["grouping"][1])))
        for page in self._pages("Daily", since, until, grouping=grouping, wanted=("cost", "quantity")):
            yield (self._line(row, known) for row in page.days_within(since, until))

    def _line(self, row: Row, known: Known) -> Mapping[str, object]:
        meter, day, currency = row.text("Meter"), row.day("UsageDate"), row.text("Currency")
        product = known.products.get(meter, "") if self.tag else row.text("MeterSubcategory")
        value = row.text("TagValue", self.tag) if self.tag else ""
        rate = known.rates.get((Month.of(day), currency))
        return {
            "UsageDate": f"{day:%Y%m%d}",
            "Cost": f"{row.number(*_names('cost')):f}",
            "UsageQuantity": f"{row.number(*_names('quantity')):f}",
            "Currency": currency,
            "MeterCategory": known.categories.get(product, ""),
            "MeterSubCategory": product,
            "Meter": meter,
            "UnitOfMeasure": known.units.get(meter, ""),
            "Tags": json.dumps({self.tag: value}, ensure_ascii=False) if value else "",
            "QueryUsdRate": "" if rate is None else f"{rate:f}",
            "QueryScope": self.scope.path,
            "QueryCostType": self.cost,
            "BillingAccountId": self.scope.account,
            "SubscriptionId": self.scope.subscription,
            "ResourceGroup": self.scope.group,
        }

    def _control(self, since: date, until: date) -> list[Row]:
        """The monthly totals, with the unit of each meter where the agreement knows that grouping."""
        by_unit = [("Dimension", str(name)) for name in facts()["query"]["control_grouping"]]
        tries: tuple[tuple[Grouping, tuple[str, ...]], ...] = (
            (by_unit, ("cost", "usd")),
            ((), ("cost", "usd")),
            ((), ("cost",)),
        )
        for grouping, wanted in tries:
            try:
                pages = list(self._pages("Monthly", since, until, grouping=grouping, wanted=wanted))
            except Refused:
                if len(wanted) == 1:
                    raise
            else:
                return [row for page in pages for row in page.rows()]
        raise AssertionError("the last try raises")

    def _pairs(self, since: date, until: date, key: str, value: str) -> Mapping[str, str]:
        grouping = (("Dimension", key), ("Dimension", value))
        pages = self._pages("None", since, until, grouping=grouping, wanted=("cost",))
        return _only((row.text(key), row.text(value)) for page in pages for row in page.rows())

    def _pages(
        self, granularity: str, since: date, until: date, *, grouping: Grouping, wanted: Sequence[str]
    ) -> Iterator[Page]:
        query = facts()["query"]
        sums = {name: {"name": query["aggregations"][name], "function": "Sum"} for name in wanted}
        body = {
            "type": self.cost,
            "timeframe": "Custom",
            "timePeriod": {"from": f"{since}T00:00:00Z", "to": f"{until}T23:59:59Z"},
            "dataset": {
                "granularity": granularity,
                "aggregation": sums,
                "grouping": [{"type": kind, "name": name} for kind, name in grouping],
            },
        }
        path = f"{self.scope.quoted}/providers/Microsoft.CostManagement/query"
        url = f"{path}?api-version={query['api_version']}"
        seen: set[str] = set()
        while url:
            seen.add(url)
            page = read_page(self.rest.post(url, body))
            yield page
            url = page.next_link
            if url in seen or len(seen) > _MOST_PAGES:
                raise SourceRejected(
                    "Azure's answer does not end: its pages lead in a circle.",
                    hint="Nothing was loaded. Try again, or use a cost export.",
                )


def _rates(rows: Sequence[Row]) -> Mapping[tuple[Month, str], Decimal]:
    """US dollars for one unit of each other currency, by month: Azure's own cost in dollars over its cost."""
    sums: dict[tuple[Month, str], tuple[Decimal, Decimal]] = {}
    for row in rows:
        if row.text("Currency") == "USD" or not row.has(*_names("usd")):
            continue
        key = row.month("BillingMonth"), row.text("Currency")
        usd, cost = sums.get(key, (Decimal(0), Decimal(0)))
        sums[key] = usd + row.number(*_names("usd")), cost + row.number(*_names("cost"))
    return {key: (usd / cost).quantize(_RATE) for key, (usd, cost) in sums.items() if cost and usd / cost > 0}


def _names(what: str) -> tuple[str, ...]:
    """How a sum may be called in an answer: by what was summed, by its old name, or by our name for it."""
    name = str(facts()["query"]["aggregations"][what])
    return name, _OLD_NAMES.get(name, name), what


def _only(pairs: Iterator[tuple[str, str]]) -> Mapping[str, str]:
    """Keys that have exactly one value; of the others nobody can say which one a row has."""
    found: dict[str, set[str]] = {}
    for key, value in pairs:
        found.setdefault(key, set()).add(value)
    return {key: next(iter(values)) for key, values in found.items() if len(values) == 1}
