"""Every kind of live source with its double at a port of this machine: how it is connected, and what its bill is now.

The bills are of the running month, because the program as a whole has no other clock than that of the machine.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.sources.conftest import NOVA, csv_text
from tests.sources.live import azure_blobs_double, azure_double, bigquery_double, doubles_http
from tests.sources.live.azure_blobs_double import BlobsDouble
from tests.sources.live.azure_double import AzureDouble, Use
from tests.sources.live.azure_exports import Container, halves
from tests.sources.live.bigquery_double import STANDARD, BigQueryDouble, Table, of_samples
from tests.sources.live.doubles_ce import CostExplorerDouble, Spent
from tests.sources.live.doubles_export import ExportDouble
from tests.sources.live.doubles_http import Asked, Reply
from tests.sources.live.doubles_organisation import KEY, OrganisationDouble, anthropic_cost, openai_cost

SAMPLES = Path(__file__).parents[3] / "samples"
TABLE = "shop-prod.billing.gcp_billing_export_v1_01AB2C_34D5E6_789F01"
AWS = {
    "AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "canary-secret-value", "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true",
}  # fmt: skip


@dataclass
class Kind:
    """`words` connect it, `environ` holds its credentials, `total` is its bill now, and `restate` changes that bill.

    `allows` stands in its policy; `rows`, `first` and `last` are what connecting has to say, None where the service
    does not tell.
    """

    provider: str
    words: list[str]
    environ: dict[str, str]
    total: Callable[[], Decimal]
    restate: Callable[[], None]
    allows: str
    first: date | None
    last: date | None
    rows: int | None = None
    secrets: list[str] = field(default_factory=list)


def today() -> date:
    return datetime.now(UTC).date()


def month() -> date:
    return today().replace(day=1)


@contextmanager
def aws_ce() -> Iterator[Kind]:
    double = CostExplorerDouble(
        [
            Spent(month(), "Amazon Bedrock", "USE1-NovaLite-input-tokens", Decimal("0.0900000001"), Decimal(1500)),
            Spent(month(), "Amazon Elastic Compute Cloud - Compute", "BoxUsage:m5.large", Decimal("7.25")),
        ],
        today(),
    )  # fmt: skip
    with doubles_http.serving(double.answer) as url:
        yield Kind(
            "aws", ["--base-url", url], AWS,
            lambda: sum((line.cost for line in double.bill if "Bedrock" in line.service), Decimal(0)),
            lambda: double.restate("USE1-NovaLite-input-tokens", "0.12"),
            "ce:GetCostAndUsage", month(), today(), secrets=["canary-secret-value"],
        )  # fmt: skip


@contextmanager
def aws_export() -> Iterator[Kind]:
    double = ExportDouble()
    double.define("carbon", "CARBON_EMISSIONS")
    double.define("ai-costs", "COST_AND_USAGE_REPORT")
    totals: list[Decimal] = []

    def deliver(*costs: str) -> None:
        dated = {
            name: text.replace("2026-11-01", f"{following():%Y-%m-%d}").replace("2026-10-05", f"{month():%Y-%m-%d}")
            .replace("2026-10-01", f"{month():%Y-%m-%d}") for name, text in NOVA.items()
        }  # fmt: skip
        lines = [dated | {"identity/LineItemId": cost, "lineItem/UnblendedCost": cost} for cost in costs]
        content = gzip.compress(csv_text(lines).encode())
        double.deliver(f"{month():%Y-%m}", f"run-{len(totals)}", ("part-0.csv.gz", content))
        totals.append(sum(map(Decimal, costs), Decimal(0)))

    deliver("0.09", "1.2345678901")
    with doubles_http.serving(double.answer) as url:
        yield Kind(
            "aws", ["--kind", "aws-export", "--base-url", url, "--url", f"s3://{double.bucket}/exports"], AWS,
            lambda: totals[-1], lambda: deliver("0.10", "1.5"), "s3:GetObject", month(), today(),
            secrets=["canary-secret-value"],
        )  # fmt: skip


@contextmanager
def gcp_bigquery() -> Iterator[Kind]:
    rows = of_samples(SAMPLES / "gcp" / "standard_2026-10.jsonl")
    for row in rows:
        row["invoice"]["month"] = f"{month():%Y%m}"
        row["export_time"] = f"{month()} 12:00:00 UTC"
        row["usage_start_time"], row["usage_end_time"] = f"{month()} 09:00:00 UTC", f"{month()} 10:00:00 UTC"
    table = Table(STANDARD, rows)

    def restate() -> None:
        # A correction is a row of its own that was exported later.
        table.rows.append({**rows[0], "cost": 0.125, "credits": [], "export_time": f"{month()} 13:00:00 UTC"})

    with bigquery_double.serving(BigQueryDouble({TABLE: table}, page_rows=5)) as double:
        yield Kind(
            "gcp", ["--table", TABLE, "--base-url", double.url, "--all-services"], {},
            lambda: table.total(f"{month():%Y%m}"), restate, "roles/bigquery.dataViewer", month(), month(),
            len(rows),
        )  # fmt: skip


@contextmanager
def azure_query() -> Iterator[Kind]:
    gpt = ("Azure OpenAI GPT5", "5.4 opt Dz 1M Tokens", "1M")
    bill = [Use(month(), *gpt, Decimal(2), Decimal("24.691357802469134"), customer="globex")]
    with identity() as environ, azure_double.serving(AzureDouble(bill)) as double:
        words = ["--scope", "/subscriptions/7e1f0c52-9b0a-4d7c-8a55-0a2f4d1c9e01", "--base-url", double.url]
        yield Kind(
            "azure", [*words, "--customer-tag", "customer_id"], environ,
            lambda: double.total(month(), today()),
            lambda: double.bill.append(Use(month(), *gpt, Decimal(1), Decimal("0.5"))),
            "Cost Management Reader", month(), month(), secrets=["its-header"],
        )  # fmt: skip


@contextmanager
def azure_export() -> Iterator[Kind]:
    double = BlobsDouble()
    container = Container(double)
    totals: list[Decimal] = []

    def deliver(at: str, first_cost: str) -> None:
        parts = {name: dated(data) for name, data in halves().items()}
        parts["part_0_0001.csv"] = parts["part_0_0001.csv"].replace(
            b",7.3002,", f",{first_cost},".encode(), 1
        )
        days = f"{month():%Y%m%d}-{today():%Y%m%d}"
        container.run(parts, days=days, at=f"{today()}T{at}")
        totals.append(sum((Decimal(row["CostInBillingCurrency"]) for data in parts.values()
                           for row in csv.DictReader(io.StringIO(data.decode("utf-8-sig")))), Decimal(0)))  # fmt: skip

    deliver("04:00:00", "7.3002")
    with doubles_http.serving(double.answer) as url:
        account = azure_blobs_double.ACCOUNT
        words = ["--url", f"az://{account}/billing/exports", "--base-url", f"{url}/{account}"]
        yield Kind(
            "azure", ["--kind", "azure-export", *words, "--access-key-env", "AZ_KEY", "--all-services"],
            {"AZ_KEY": azure_blobs_double.KEY}, lambda: totals[-1], lambda: deliver("05:00:00", "8.3002"),
            "Storage Blob Data Reader", month(), today(),
            sum(data.count(b"\n") - 1 for data in halves().values()), secrets=[azure_blobs_double.KEY],
        )  # fmt: skip


@contextmanager
def organisation(*, anthropic: bool) -> Iterator[Kind]:
    double = OrganisationDouble(anthropic=anthropic)
    path = "/v1/organizations/cost_report" if anthropic else "/v1/organization/costs"
    totals: list[Decimal] = []

    def put(dollars: str) -> None:
        double.results.clear()
        lines = [anthropic_cost("Claude Opus 5 Usage - Input Tokens", format(Decimal(dollars) * 100, "f"))] \
            if anthropic else [openai_cost("gpt-5.5-2026-04-23, input", dollars)]  # fmt: skip
        double.put(path, month().isoformat(), *lines)
        totals.append(Decimal(dollars))

    put("1.2345678901")
    name = "anthropic" if anthropic else "openai"
    with doubles_http.serving(double.answer) as url:
        yield Kind(
            name, ["--base-url", url], {f"{name.upper()}_ADMIN_KEY": KEY}, lambda: totals[-1], lambda: put("1.5"),
            "admin key", month(), month(), 1, secrets=[KEY],
        )  # fmt: skip


def openai() -> AbstractContextManager[Kind]:
    return organisation(anthropic=False)


def anthropic() -> AbstractContextManager[Kind]:
    return organisation(anthropic=True)


KINDS: Mapping[str, Callable[[], AbstractContextManager[Kind]]] = {
    "aws-ce": aws_ce, "aws-export": aws_export, "gcp-bigquery": gcp_bigquery, "azure-query": azure_query,
    "azure-export": azure_export, "openai": openai, "anthropic": anthropic,
}  # fmt: skip


def following() -> date:
    """The first day of the month after this."""
    return date(month().year + month().month // 12, month().month % 12 + 1, 1)


def dated(bill: bytes) -> bytes:
    """An Azure bill of October 2026 as one of this month, none of its days later than today."""

    def moved(found: re.Match[bytes]) -> bytes:
        return f"{today():%m}/{min(int(found[1]), today().day):02d}/{today():%Y}".encode()

    return re.sub(rb"10/(\d\d)/2026", moved, bill)


@contextmanager
def identity() -> Iterator[dict[str, str]]:
    """The identity endpoint that Azure gives a container or function; what has to be in the environment."""

    def answer(asked: Asked) -> Reply:
        if asked.headers.get("x-identity-header") != "its-header":
            return Reply(b'{"error": "invalid_request"}', 400)
        found: dict[str, Any] = {
            "access_token": "good",
            "expires_on": "4102444800",
            "token_type": "Bearer",
            "resource": "https://management.azure.com",
        }
        return Reply(json.dumps(found).encode(), headers={"content-type": "application/json"})

    with doubles_http.serving(answer) as url:
        yield {"IDENTITY_ENDPOINT": f"{url}/token", "IDENTITY_HEADER": "its-header"}
