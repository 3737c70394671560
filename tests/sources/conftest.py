"""Bills that tests write row by row, and a way to stage them without a second process."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from costweir.sources.classify import Classifier
from costweir.sources.staging.child import Job
from costweir.sources.staging.result import Progress, Staged, StageOptions

Rows = Sequence[Mapping[str, str]]

#: A Bedrock line of a legacy Cost and Usage Report.
NOVA = {
    "identity/LineItemId": "n1",
    "bill/PayerAccountId": "111122223333",
    "bill/BillingEntity": "AWS",
    "bill/BillingPeriodStartDate": "2026-10-01T00:00:00Z",
    "bill/BillingPeriodEndDate": "2026-11-01T00:00:00Z",
    "bill/InvoiceId": "",
    "lineItem/UsageAccountId": "444455556666",
    "lineItem/LineItemType": "Usage",
    "lineItem/UsageStartDate": "2026-10-05T14:00:00Z",
    "lineItem/UsageEndDate": "2026-10-05T15:00:00Z",
    "lineItem/ProductCode": "AmazonBedrock",
    "lineItem/UsageType": "USE1-NovaLite-input-tokens",
    "lineItem/Operation": "InvokeModelInference",
    "lineItem/ResourceId": "",
    "lineItem/UsageAmount": "1500",
    "lineItem/CurrencyCode": "USD",
    "lineItem/UnblendedRate": "0.00006",
    "lineItem/UnblendedCost": "0.09",
    "lineItem/LineItemDescription": "$0.00006 per 1K tokens for USE1-NovaLite-input-tokens",
    "lineItem/LegalEntity": "Amazon Web Services, Inc.",
    "product/ProductName": "Amazon Bedrock",
    "product/region": "us-east-1",
    "pricing/publicOnDemandCost": "0.09",
    "pricing/publicOnDemandRate": "0.00006",
    "pricing/unit": "1K tokens",
    "resourceTags/user:customer_id": "acme",
    "resourceTags/user:project_id": "",
}

#: A marketplace line: the model stands in the product name only.
CLAUDE = NOVA | {
    "identity/LineItemId": "c1",
    "bill/BillingEntity": "AWS Marketplace",
    "lineItem/ProductCode": "4zdbsujbbbn7lpnqyfevfh9xq",
    "lineItem/UsageType": "USE1-MP:USE1_CacheWrite1hInputTokenCount_Global-Units",
    "lineItem/LegalEntity": "Anthropic, PBC",
    "lineItem/UsageAmount": "0.5",
    "lineItem/UnblendedCost": "3.00",
    "lineItem/UnblendedRate": "6",
    "lineItem/LineItemDescription": "AWS Marketplace software usage|us-east-1|Million Cache Write Tokens",
    "product/ProductName": "Claude Sonnet 4.5 (Amazon Bedrock Edition)",
    "pricing/publicOnDemandCost": "0",
    "pricing/publicOnDemandRate": "",
    "pricing/unit": "Units",
}

#: A line that is not about AI.
SERVER = NOVA | {
    "identity/LineItemId": "s1",
    "lineItem/ProductCode": "AmazonEC2",
    "lineItem/UsageType": "BoxUsage:m5.large",
    "lineItem/Operation": "RunInstances",
    "lineItem/UnblendedCost": "7.25",
    "product/ProductName": "Amazon Elastic Compute Cloud",
    "pricing/unit": "Hrs",
    "lineItem/LineItemDescription": "$0.096 per On Demand Linux m5.large Instance Hour",
}


def csv_text(rows: Rows, *, delimiter: str = ",") -> str:
    """The rows as CSV with the columns of the first."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


@pytest.fixture(scope="session")
def nova() -> dict[str, str]:
    return dict(NOVA)


@pytest.fixture(scope="session")
def claude() -> dict[str, str]:
    return dict(CLAUDE)


@pytest.fixture(scope="session")
def server() -> dict[str, str]:
    return dict(SERVER)


@pytest.fixture(scope="session")
def as_csv() -> Callable[..., str]:
    return csv_text


@pytest.fixture(scope="session")
def classifier() -> Classifier:
    return Classifier.load(None)


class Stager:
    """Stages files in this process and reads back what was written."""

    def __init__(self, into: Path, classifier: Classifier) -> None:
        self.into = into
        self.classifier = classifier
        self.runs = 0
        self.progress: list[Progress] = []

    def __call__(self, *paths: Path | str, **options: Any) -> Staged:
        self.runs += 1
        folder = self.into / f"run{self.runs}"
        folder.mkdir(parents=True)
        job = Job(
            folder, StageOptions(**options), self.classifier, self.classifier.rules_hash, self.progress.append
        )
        return job.run([str(path) for path in paths])

    @staticmethod
    def charges(staged: Staged) -> list[dict[str, Any]]:
        """Every staged charge."""
        return [row for slot in staged.slots for row in read(slot.charges / "*.parquet")]

    @staticmethod
    def quarantine(staged: Staged) -> list[dict[str, Any]]:
        """Every row that was set aside."""
        return [row for slot in staged.slots if slot.quarantine for row in read(slot.quarantine)]


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of one or more Parquet files."""
    connection = duckdb.connect()
    cursor = connection.execute("SELECT * FROM read_parquet(?)", [str(path)])
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    connection.close()
    return rows


@pytest.fixture
def stager(tmp_path: Path, classifier: Classifier) -> Stager:
    return Stager(tmp_path / "staging", classifier)
