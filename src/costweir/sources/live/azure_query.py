"""Azure Cost Management's query API as a quick start: daily cost and quantity of each meter, month by month.

It knows two groupings, so it shows either the product of a meter or a customer's tag, and no resources; exports are the
real path.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Literal

from costweir.errors import Error
from costweir.sources.live.azure_asking import Asking, Known
from costweir.sources.live.azure_login import Token, facts
from costweir.sources.live.azure_rest import Rest
from costweir.sources.live.azure_scope import Scope
from costweir.sources.live.calendar import by_month, utc_today, whole_months
from costweir.sources.live.pages import json_lines
from costweir.sources.live.source import Checked, Fetched, Finding, Report, Window

CostType = Literal["ActualCost", "AmortizedCost"]

#: A query without days may span this many months (microsoft/azure-skills, cost query guidance, 2026-08-21).
_MONTHS_AT_ONCE = 12


@dataclass(slots=True)
class AzureQuery:
    """One scope of Azure: a subscription, a resource group, a billing account or a management group.

    `scope` is its Azure path. `account` is the account that its months are stored under; give the billing account's id
    when an export of it is read too, so that the two replace each other instead of adding up. `customer_tag` takes the
    place of the meter's product among the two groupings, so that lines have a customer.
    """

    id: str
    scope: str
    token: Token
    account: str = ""
    customer_tag: str = ""
    cost: CostType = "ActualCost"
    endpoint: str = "https://management.azure.com"
    max_pages: int | None = None
    sleep: Callable[[timedelta], None] = lambda wait: time.sleep(wait.total_seconds())
    today: Callable[[], date] = utc_today

    @property
    def kind(self) -> str:
        """`azure-query`."""
        return "azure-query"

    @property
    def usual_lag(self) -> timedelta:
        """How late its data usually is."""
        return timedelta(hours=facts()["query"]["usual_lag_hours"])

    def policy(self) -> str:
        """The commands that give a principal the one role it needs."""
        return str(facts()["query"]["policy"]).replace("{scope}", Scope.parse(self.scope).path)

    def check(self) -> Checked:
        """Asks for the totals of the last twelve months and of the last 31 days: two requests."""
        try:
            scope = Scope.parse(self.scope, self.account)
            asking = Asking(self._rest(None), scope, self.cost)
            end = self.today()
            months = asking.months((end.replace(day=1) - timedelta(days=330)).replace(day=1), end)
            days = asking.days(end - timedelta(days=facts()["query"]["daily_days"] - 1), end)
        except Error as error:
            return Checked((Finding.of(error),), self.account)
        found = [Finding(ok=True, text=f"Azure lets these credentials read the costs of {scope.path}.")]
        if not months:
            found.append(Finding(ok=True, text="There is no cost in the last twelve months."))
        return Checked(
            tuple(found), scope.account, None, months[0].first if months else None, days[-1] if days else None
        )

    def fetch(self, window: Window, *, into: Path, report: Report) -> Fetched:
        """Writes one file of JSON lines a month; the running month ends today. A month without a row gives no file.

        Raises what `Source.fetch` raises.
        """
        scope = Scope.parse(self.scope, self.account)
        whole = whole_months(window, self.today())
        rest = self._rest(report)
        asking = Asking(rest, scope, self.cost, self.customer_tag)
        months = list(by_month(whole))
        files: list[Path] = []
        totals: dict[str, Decimal] = {}
        for start in range(0, len(months), _MONTHS_AT_ONCE):
            part = months[start : start + _MONTHS_AT_ONCE]
            report("asking Azure for units and totals", start, len(months))
            known = asking.known(part[0].since, part[-1].until - timedelta(days=1))
            for currency, amount in known.totals.items():
                totals[currency] = totals.get(currency, Decimal(0)) + amount
            for number, month in enumerate(part, start):
                report(f"asking Azure for {month.since:%Y-%m}", number, len(months))
                files += _written(asking, month, known, into)
        report("asked Azure", len(months), len(months))
        one = len(totals) == 1
        return Fetched(
            files=tuple(files),
            reader="azure-query",
            window=whole,
            provider_total=next(iter(totals.values())) if one else None,
            currency=next(iter(totals)) if one else "",
            requests=rest.posts,
            notes=self._notes(totals, rest),
        )

    def _rest(self, report: Report | None) -> Rest:
        def wait(time: timedelta) -> None:
            if report is not None:
                report(f"waiting {time.total_seconds():.0f} s, as Azure asks", 0, 0)
            self.sleep(time)

        return Rest(self.endpoint, self.token, wait, self.max_pages)

    def _notes(self, totals: Mapping[str, Decimal], rest: Rest) -> tuple[str, ...]:
        notes: list[str] = []
        if not self.customer_tag:
            notes.append(
                "Without customer_tag the lines have no customer; a cost export has tags and resources."
            )
        if len(totals) > 1:
            notes.append(f"The costs are in {len(totals)} currencies, so there is no one total to compare.")
        if rest.waited:
            notes.append(f"Azure made it wait {rest.waited.total_seconds():.0f} seconds.")
        return tuple(notes)


def _written(asking: Asking, month: Window, known: Known, into: Path) -> Sequence[Path]:
    target = into / f"azure-query-{month.since:%Y-%m}.jsonl"
    with json_lines(target) as lines:
        for rows in asking.lines(month.since, month.until - timedelta(days=1), known):
            lines.add(rows)
    if lines.count:
        return [target]
    target.unlink()
    return []
