"""AWS Cost Explorer as a live source: quick to connect, a day late, and 0.01 USD a page, which is announced and capped.

Choice of grid: GetCostAndUsage takes two groupings, so one additive grid is fetched, SERVICE x USAGE_TYPE of the AI
services. With a customer tag it is TAG x USAGE_TYPE, asked service by service, which keeps the service too and costs a
page for each. For days since 2026-09-01 a grid of product attributes names the models (see `aws_grid`). Credits and
discounts are inside the amounts, because a third grouping would be needed to show them apart.
Facts: botocore 1.44.5 service model of ce-2017-10-25 and the API reference of ProductAttributeValues.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

from costweir.domain.money import quantity_text
from costweir.errors import ConfigError, Error, SourceRejected
from costweir.sources.classify import Classifier
from costweir.sources.live.aws_calls import Aws
from costweir.sources.live.aws_grid import (
    METRICS,
    GridLine,
    differing_models,
    once,
    read_page,
    tag_value,
    with_models,
)
from costweir.sources.live.calendar import utc_today, whole_months
from costweir.sources.live.http import unknown_shape
from costweir.sources.live.rowfile import Row, write_months
from costweir.sources.live.source import Checked, Fetched, Finding, Report, Window

PAGE_USD = Decimal("0.01")
#: Product attributes exist from this day on, and in botocore from this version on.
ATTRIBUTES_SINCE = date(2026, 9, 1)
_ATTRIBUTES_IN = (1, 43, 111)
#: What a line of a mixed service would say if it were about AI.
_AI_WORDS = "claude bedrock tokencount"

_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "CostweirReadsCostExplorer",
            "Effect": "Allow",
            "Action": ["ce:GetCostAndUsage", "ce:GetDimensionValues", "sts:GetCallerIdentity"],
            "Resource": "*",
        }
    ],
}


@dataclass(slots=True)
class _Purse:
    """The pages of one fetch, which cost money each."""

    most: int
    report: Report
    pages: int = 0

    def take(self, what: str) -> None:
        """Announces the next page, or refuses it."""
        if self.pages >= self.most:
            raise ConfigError(
                f"Cost Explorer has more than {self.most} pages for these days, at {PAGE_USD} USD each.",
                hint="Nothing was loaded. Raise max_pages, pull fewer months, or connect an S3 export, which is free.",
            )
        self.pages += 1
        self.report(f"Cost Explorer: {what}, {PAGE_USD * self.pages} USD so far", self.pages, 0)

    @property
    def spent(self) -> Decimal:
        """US dollars for the pages so far."""
        return PAGE_USD * self.pages


@dataclass(frozen=True, slots=True)
class CostExplorer:
    """One payer account, read by GetCostAndUsage.

    `customer_tag` is the cost allocation tag that names customers, or empty. `all_services` also fetches what is not
    AI. `max_pages` caps what one fetch may cost. `today` is there for tests.
    """

    id: str
    aws: Aws = field(default_factory=Aws)
    customer_tag: str = ""
    all_services: bool = False
    max_pages: int = 200
    today: Callable[[], date] = utc_today

    @property
    def kind(self) -> str:
        """`aws-ce`."""
        return "aws-ce"

    @property
    def usual_lag(self) -> timedelta:
        """AWS refreshes the data at least once in 24 hours; a day is complete a day later."""
        return timedelta(hours=48)

    def policy(self) -> str:
        """The IAM policy."""
        return json.dumps(_POLICY, indent=2)

    def check(self) -> Checked:
        """Signs in (free) and asks for the cost of each of the last 13 months (one page)."""
        try:
            account = self._account()
        except Error as error:
            return Checked((Finding.of(error),))
        signed = Finding(ok=True, text=f"Signed in to account {account}.")
        try:
            first, last = self._extent()
        except Error as error:
            return Checked((signed, Finding.of(error)), account)
        found = f"It has costs from {first} to {last}." if first else "It has no costs yet."
        paid = f"This check cost {PAGE_USD} USD; each page of a fetch costs the same, at most {self.max_pages} pages."
        findings = (signed, Finding(ok=True, text=found), Finding(ok=True, text=paid))
        return Checked(findings, account, first_day=first, last_day=last)

    def fetch(self, window: Window, *, into: Path, report: Report) -> Fetched:
        """See `Source.fetch`. Raises ConfigError when the pages would exceed `max_pages`."""
        months = whole_months(window, self.today())
        purse, before = _Purse(self.max_pages, report), self.aws.requests
        account = self._account()
        services, left_out = self._services(months, purse)
        lines: Sequence[GridLine] = []
        notes: list[str] = []
        if services:
            lines = once(list(self._lines(months, services, purse)))
            lines, notes = self._with_attributes(lines, months, purse)
        if left_out:
            notes.append(
                f"{len(left_out)} services that are not AI were left out: {', '.join(left_out[:5])} ..."
            )
        currencies = {line.currency for line in lines}
        files = write_months((self._row(line, account) for line in lines), into=into, stem="aws-ce")
        return Fetched(
            tuple(files), "aws-ce", months,
            provider_total=sum((line.unblended for line in lines), Decimal(0)) if len(currencies) < 2 else None,
            currency=currencies.pop() if len(currencies) == 1 else "",
            requests=self.aws.requests - before, request_cost_usd=purse.spent, notes=tuple(notes),
        )  # fmt: skip

    def _account(self) -> str:
        answer = self.aws.call(self.aws.client("sts").get_caller_identity)
        account = answer.get("Account")
        if not isinstance(account, str) or not account:
            raise unknown_shape("AWS", "GetCallerIdentity", "Account is missing")
        return account

    def _extent(self) -> tuple[date | None, date | None]:
        today = self.today()
        since = (today.replace(day=1) - timedelta(days=365)).replace(day=1)
        client = self.aws.client("ce")
        answer = self.aws.call(
            client.get_cost_and_usage, TimePeriod=_period(Window(since, today + timedelta(days=1))),
            Granularity="MONTHLY", Metrics=["UnblendedCost"],
        )  # fmt: skip
        try:
            used = [
                (
                    date.fromisoformat(item["TimePeriod"]["Start"]),
                    date.fromisoformat(item["TimePeriod"]["End"]),
                )
                for item in answer["ResultsByTime"]
                if Decimal(item["Total"]["UnblendedCost"]["Amount"])
            ]
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise unknown_shape(
                "Cost Explorer", "GetCostAndUsage", f"{type(error).__name__} {error}"
            ) from error
        if not used:
            return None, None
        return used[0][0], min(used[-1][1] - timedelta(days=1), today)

    def _services(self, months: Window, purse: _Purse) -> tuple[list[str], list[str]]:
        """The services to ask for and those left out. They are listed first: a wrong name in a filter is no error."""
        pages = self._pages(
            "get_dimension_values", "services", purse,
            TimePeriod=_period(months), Dimension="SERVICE", Context="COST_AND_USAGE",
        )  # fmt: skip
        try:
            names = [str(item["Value"]) for page in pages for item in page["DimensionValues"]]
        except (KeyError, TypeError) as error:
            raise unknown_shape("Cost Explorer", "GetDimensionValues", str(error)) from error
        if self.all_services:
            return names, []
        knows = Classifier.load()
        ai = [name for name in names if knows.is_ai("aws", name, "") or knows.is_ai("aws", name, _AI_WORDS)]
        return ai, [name for name in names if name not in ai]

    def _lines(self, months: Window, services: Sequence[str], purse: _Purse) -> Iterator[GridLine]:
        if not self.customer_tag:
            chosen = {} if self.all_services else {"Filter": _services_filter(services)}
            groups = (("DIMENSION", "SERVICE"), ("DIMENSION", "USAGE_TYPE"))
            for line in self._grid(months, groups, purse, **chosen):
                yield replace(line, service=line.first)
            return
        groups = (("TAG", self.customer_tag), ("DIMENSION", "USAGE_TYPE"))
        for service in services:
            for line in self._grid(months, groups, purse, Filter=_services_filter([service])):
                yield replace(line, service=service, tag=tag_value(line.first))

    def _with_attributes(
        self, lines: Sequence[GridLine], months: Window, purse: _Purse
    ) -> tuple[Sequence[GridLine], list[str]]:
        """The lines with their models where product attributes exist. Without them the usage types have to do."""
        since = max(months.since, ATTRIBUTES_SINCE)
        if self.customer_tag or since >= months.until or not _knows_attributes():
            return lines, []
        days = Window(since, months.until)
        by_type = (("PRODUCT_ATTRIBUTE", "model"), ("DIMENSION", "USAGE_TYPE"))
        by_kind = (("PRODUCT_ATTRIBUTE", "model"), ("PRODUCT_ATTRIBUTE", "inferenceType"))
        try:
            models = list(self._grid(days, by_type, purse))
            kinds = list(self._grid(days, by_kind, purse))
        except SourceRejected as error:
            return lines, [
                f"Models are read from usage types, because product attributes failed: {error.message}"
            ]
        doubtful = differing_models(models, kinds)
        notes = [f"Product attributes disagree for {', '.join(doubtful[:5])}."] if doubtful else []
        return with_models(lines, once(models)), notes

    def _grid(
        self, days: Window, groups: Sequence[tuple[str, str]], purse: _Purse, **more: object
    ) -> Iterator[GridLine]:
        what = " x ".join(key for _, key in groups)
        pages = self._pages(
            "get_cost_and_usage", what, purse,
            TimePeriod=_period(days), Granularity="DAILY", Metrics=list(METRICS),
            GroupBy=[{"Type": kind, "Key": key} for kind, key in groups], **more,
        )  # fmt: skip
        for page in pages:
            for line in read_page(page):
                if not days.since <= line.day < days.until:
                    raise unknown_shape("Cost Explorer", "GetCostAndUsage", f"{line.day} was not asked for")
                yield line

    def _pages(self, method: str, what: str, purse: _Purse, **params: object) -> Iterator[Mapping[str, Any]]:
        call = getattr(self.aws.client("ce"), method)
        token, seen = "", set[str]()
        while True:
            purse.take(what)
            page = self.aws.call(call, **params, **({"NextPageToken": token} if token else {}))
            yield page
            token = str(page.get("NextPageToken") or "")
            if not token:
                return
            if token in seen:
                raise unknown_shape("Cost Explorer", what, "a page token came twice")
            seen.add(token)

    def _row(self, line: GridLine, account: str) -> Row:
        return {
            "ce_account_id": account,
            "day": line.day.isoformat(),
            "next_day": (line.day + timedelta(days=1)).isoformat(),
            "service": line.service,
            "usage_type": line.usage_type,
            "model": line.model,
            "tag_key": self.customer_tag if line.tag else "",
            "tag_value": line.tag,
            "unblended_cost": quantity_text(line.unblended),
            "net_amortized_cost": quantity_text(line.net_amortized),
            "currency": line.currency,
            "usage_quantity": quantity_text(line.quantity),
            "usage_unit": line.unit,
            "estimated": "true" if line.estimated else "false",
        }


def _period(window: Window) -> Mapping[str, str]:
    return {"Start": window.since.isoformat(), "End": window.until.isoformat()}


def _services_filter(services: Sequence[str]) -> Mapping[str, object]:
    return {"Dimensions": {"Key": "SERVICE", "Values": list(services)}}


def _knows_attributes() -> bool:
    version = str(import_module("botocore").__version__)
    numbers = [int(part) for part in version.split(".")[:3] if part.isdigit()]
    return tuple(numbers) >= _ATTRIBUTES_IN


def day_totals(files: Path | Iterable[Path]) -> Mapping[date, Decimal]:
    """The unblended cost of each UTC day in files that `fetch` wrote: what a Cost and Usage Report is compared with."""
    totals: defaultdict[date, Decimal] = defaultdict(Decimal)
    for path in [files] if isinstance(files, Path) else files:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                row: Mapping[str, str] = json.loads(line)
                totals[date.fromisoformat(row["day"])] += Decimal(row["unblended_cost"])
    return dict(totals)
