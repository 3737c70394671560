"""The queries over one Cloud Billing export table. The table is named exactly, its suffix being a billing account and
never a date, rows are pruned by when they were written, and months are those of the invoice.

A month has no filter on usage time: corrections and late usage are invoiced in it with older dates, and belong to it.
"""

# The SQL is made of our own names and of a table name that was checked.
# ruff: noqa: S608

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib import resources
from typing import Any

from costweir.domain.period import Month
from costweir.errors import ConfigError, SourceRejected

_NAME = re.compile(r"(?P<project>[a-z][a-z0-9.:-]{4,62})\.(?P<dataset>\w{1,1024})\.(?P<table>[\w-]{1,1024})")
#: A row can lie in the partition of the day before its export time, and an invoice month starts in California.
_MARGIN = timedelta(days=2)


@cache
def facts() -> Mapping[str, Any]:
    """The content of `gcp.yaml`."""
    import yaml

    text = resources.files("costweir.sources.live").joinpath("gcp.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


@dataclass(frozen=True, slots=True)
class TableName:
    """`project.dataset.table`."""

    project: str
    dataset: str
    table: str

    @classmethod
    def parse(cls, text: str) -> TableName:
        """Raises ConfigError for a wildcard and for anything else that is not one table."""
        if "*" in text:
            raise ConfigError(
                f"{text} is a wildcard; the suffix of an export table is a billing account and not a date.",
                hint="Name each table: project.dataset.gcp_billing_export_v1_XXXXXX_XXXXXX_XXXXXX.",
            )
        found = _NAME.fullmatch(text.strip().strip("`"))
        if found is None:
            raise ConfigError(f"{text!r} is not a table.", hint="Write it as project.dataset.table.")
        return cls(found["project"], found["dataset"], found["table"])

    def __str__(self) -> str:
        return f"{self.project}.{self.dataset}.{self.table}"


@dataclass(frozen=True, slots=True)
class Query:
    """SQL and its named parameters: name to (BigQuery type, value); a list is an array."""

    sql: str
    parameters: Mapping[str, tuple[str, object]]


@dataclass(frozen=True, slots=True)
class ExportTable:
    """A table whose schema was looked at. `columns` maps the path of each field to its type."""

    name: TableName
    columns: Mapping[str, str]
    partition: str

    @classmethod
    def of(cls, name: TableName, columns: Mapping[str, str], partition: str) -> ExportTable:
        """`partition` is the partitioning column, `_PARTITIONTIME`, or empty where there is none.

        Raises SourceRejected with the columns that are missing.
        """
        table = cls(name, columns, partition)
        missing = [path for path in table.kind["needs"] if path.lower() not in columns]
        if missing:
            some = "the columns" if len(missing) > 1 else "the column"
            raise SourceRejected(
                f"{name} is not a billing export that can be read: {some} {', '.join(missing)} is missing.",
                hint="Name the table of the standard, detailed or FOCUS export; a renamed column counts as missing.",
            )
        return table

    @property
    def is_focus(self) -> bool:
        """Whether it is the FOCUS export or view."""
        return "billedcost" in self.columns

    @property
    def kind(self) -> Mapping[str, Any]:
        """What `gcp.yaml` says of exports of its kind."""
        return facts()["focus" if self.is_focus else "export"]

    @property
    def reader(self) -> str:
        """The reader of its rows."""
        return str(self.kind["reader"])

    def _month(self) -> str:
        return "FORMAT_TIMESTAMP('%Y%m', BillingPeriodStart)" if self.is_focus else "invoice.month"

    def _where(self, written_since: datetime, *conditions: str) -> str:
        pruned = {
            "": (),
            # Rows in the streaming buffer have no partition yet.
            "_PARTITIONTIME": ("(_PARTITIONTIME >= @written_since OR _PARTITIONTIME IS NULL)",),
        }.get(self.partition, (f"{self.partition} >= @written_since",))
        return " AND ".join((*pruned, f"{self.kind['export_time']} >= @written_since", *conditions))

    def changed(self, watermark: datetime) -> Query:
        """The invoice months with rows that were written after `watermark`, and when the last one was: (month, newest).

        Export times always increase from one export to the next (standard usage schema, export_time).
        """
        since, export_time = watermark - _MARGIN, self.kind["export_time"]
        where = self._where(since, f"{export_time} > @watermark")
        sql = (
            f"SELECT {self._month()} AS month, MAX({export_time}) AS newest FROM `{self.name}` WHERE {where} "
            "GROUP BY month ORDER BY month"
        )
        return Query(sql, {"written_since": ("TIMESTAMP", since), "watermark": ("TIMESTAMP", watermark)})

    def totals(self, months: Sequence[Month]) -> Query:
        """What Google says of `months`: (month, currency, row_count, billed, newest). Sums are exact, over the
        shortest texts of the amounts, as the reader takes them."""
        billed = (
            _exact("cost")
            + " + IFNULL((SELECT SUM("
            + _exact("c.amount")
            + ") FROM UNNEST(credits) AS c), 0)"
        )
        currency = "currency"
        if self.is_focus:
            billed, currency = _exact("BilledCost"), "BillingCurrency"
        since = _start(months)
        where = self._where(since, f"{self._month()} IN UNNEST(@months)")
        sql = (
            f"SELECT {self._month()} AS month, {currency} AS currency, COUNT(*) AS row_count, "
            f"SUM({billed}) AS billed, MAX({self.kind['export_time']}) AS newest "
            f"FROM `{self.name}` WHERE {where} GROUP BY month, currency ORDER BY month, currency"
        )
        return Query(sql, {"written_since": ("TIMESTAMP", since), "months": ("STRING", _texts(months))})

    def rows(self, months: Sequence[Month], newest: datetime) -> Query:
        """Every row of `months` that was written up to `newest`, columns by name."""
        since = _start(months)
        export_time = self.kind["export_time"]
        where = self._where(since, f"{self._month()} IN UNNEST(@months)", f"{export_time} <= @newest")
        chosen = [name for name in self.kind["columns"] if name in self.columns]
        sql = f"SELECT {', '.join(chosen) or '*'} FROM `{self.name}` WHERE {where}"
        return Query(
            sql,
            {
                "written_since": ("TIMESTAMP", since),
                "months": ("STRING", _texts(months)),
                "newest": ("TIMESTAMP", newest),
            },
        )

    def days(self) -> Query:
        """The first and the last day of usage in the table: (first, last). Reads one column of all its rows."""
        day = f"DATE({self.kind['day']})"
        return Query(f"SELECT MIN({day}) AS first, MAX({day}) AS last FROM `{self.name}`", {})

    def month_of(self, row: Mapping[str, Any]) -> str:
        """The invoice month of a fetched row, as `totals` names it."""
        if self.is_focus:
            start = row["BillingPeriodStart"]
            return f"{start:%Y%m}"
        invoice: Mapping[str, object] = row["invoice"] or {"month": None}
        return str(invoice["month"])


def month_of_text(text: object) -> Month:
    """Reads `202610`. Raises SourceRejected for anything else."""
    digits = str(text)
    try:
        return Month.parse(f"{digits[:4]}-{digits[4:]}")
    except ValueError as error:
        raise SourceRejected(
            f"The export names the invoice month {text!r}, which is no month.",
            hint="Report it; nothing was loaded.",
        ) from error


def _texts(months: Sequence[Month]) -> list[str]:
    return [f"{month.first:%Y%m}" for month in months]


def _start(months: Sequence[Month]) -> datetime:
    """No row of an invoice month was written before the month."""
    first: date = min(months).first
    return datetime(first.year, first.month, first.day, tzinfo=UTC) - _MARGIN


def _exact(amount: str) -> str:
    return f"SAFE_CAST(CAST({amount} AS STRING) AS BIGNUMERIC)"
