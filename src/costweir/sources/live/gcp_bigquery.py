"""Cloud Billing's export in BigQuery: which invoice months have new rows, and those months as a whole, page by page.

It is incremental by when rows were written and complete by invoice month, because a stored month is replaced as a
whole (law L2); what was fetched is counted against what Google counted.
"""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, cast

from costweir.domain.period import Month
from costweir.errors import ConfigError, Error, Unreachable
from costweir.sources.live.calendar import by_month, utc_today, whole_months
from costweir.sources.live.gcp_client import BigQuery, price, size
from costweir.sources.live.gcp_table import ExportTable, TableName, facts, month_of_text
from costweir.sources.live.pages import json_lines
from costweir.sources.live.source import Checked, Fetched, Finding, Report, Window


@dataclass(frozen=True, slots=True)
class _Counted:
    """What Google says of some months of one table: rows by month, money by currency, and the newest export time."""

    rows: Mapping[str, int]
    totals: Mapping[str, Decimal]
    newest: datetime


@dataclass(slots=True)
class GcpBigQuery:
    """Export tables, one for each billing account, read by one project.

    `state` maps a table to the export time up to which it was read (ISO 8601); `fetch` takes it from here and leaves
    the new one here, which is to be kept once the rows are loaded. With `reread` = "changed" a table that was read
    before gives every invoice month with newer rows, whatever the window; "window" gives the months of the window and
    leaves the state of such a table as it is.
    """

    id: str
    tables: Sequence[str]
    bigquery: BigQuery
    state: Mapping[str, str] = field(default_factory=dict[str, str])
    reread: Literal["changed", "window"] = "changed"
    today: Any = utc_today

    @property
    def kind(self) -> str:
        """`gcp-bigquery`."""
        return "gcp-bigquery"

    @property
    def usual_lag(self) -> timedelta:
        """How late its data usually is."""
        return timedelta(hours=facts()["usual_lag_hours"])

    def policy(self) -> str:
        """The commands that give a service account the two roles it needs."""
        names = self._names()
        sets = dict.fromkeys(f"{name.project}.{name.dataset}" for name in names)
        grants = "\n".join(
            f'GRANT `roles/bigquery.dataViewer` ON SCHEMA `{one}` TO "serviceAccount:<account>";'
            for one in sets
        )
        return str(facts()["policy"]).replace("{project}", self.bigquery.project).replace("{grants}", grants)

    def check(self) -> Checked:
        """Looks at the tables, which is free, and asks for their days where that reads little."""
        findings: list[Finding] = []
        rows, days = list[int | None](), list[date]()
        try:
            for text in self.tables:
                try:
                    name = TableName.parse(text)
                    table, stored = self._looked_at(name)
                    found = self._days(table)
                except Error as error:
                    findings.append(Finding(ok=False, text=error.message, hint=error.hint))
                    continue
                rows.append(stored)
                holds = "" if stored is None else f" with {stored} rows"
                findings.append(Finding(ok=True, text=f"{name} is a {_title(table)}{holds}."))
                if found is None:
                    large = f"{name} is large; its first and last day are not asked for."
                    findings.append(Finding(ok=True, text=large))
                else:
                    days += found
        finally:
            self.bigquery.close()
        first, last = (min(days), max(days)) if days else (None, None)
        known = [count for count in rows if count is not None]
        stored = sum(known) if known and len(known) == len(rows) else None
        return Checked(tuple(findings), self.bigquery.project, stored, first, last)

    def _days(self, table: ExportTable) -> list[date] | None:
        query = table.days()
        if self.bigquery.estimate(query) > facts()["check_bytes"]:
            return None
        found = [row for page in self.bigquery.pages(query, announce=lambda _: None) for row in page]
        return [day for row in found for day in (row["first"], row["last"]) if day is not None]

    def fetch(self, window: Window, *, into: Path, report: Report) -> Fetched:
        """Writes one file of JSON lines a table. Raises what `Source.fetch` raises, and BudgetExceeded when a query
        would read more than `maximum_bytes`."""
        try:
            return self._fetched(whole_months(window, self.today()), into, report)
        finally:
            self.bigquery.close()

    def _fetched(self, whole: Window, into: Path, report: Report) -> Fetched:
        files: list[Path] = []
        readers: set[str] = set()
        months: set[Month] = set()
        totals: dict[str, Decimal] = {}
        marks = dict(self.state)
        for name in self._names():
            table, _ = self._looked_at(name)
            wanted, seen = self._wanted(table, whole, report)
            counted = self._counted(table, wanted, report) if wanted else None
            if counted is None:
                continue
            files.append(self._write(table, wanted, counted, into, report))
            readers.add(table.reader)
            months.update(wanted)
            for currency, amount in counted.totals.items():
                totals[currency] = totals.get(currency, Decimal(0)) + amount
            if self.reread == "changed" or str(name) not in marks:
                # What was written since the first look may be of a month that was not seen to change.
                marks[str(name)] = (seen or counted.newest).isoformat()
        self.state = marks
        one = len(totals) == 1
        return Fetched(
            files=tuple(files),
            reader=readers.pop() if len(readers) == 1 else "auto",
            window=_covered(months, whole, self.today()),
            provider_total=next(iter(totals.values())) if one else None,
            currency=next(iter(totals)) if one else "",
            requests=self.bigquery.jobs,
            request_cost_usd=self.bigquery.cost_usd,
            notes=_notes(self.bigquery, totals, months),
        )

    def _names(self) -> list[TableName]:
        if not self.tables:
            raise ConfigError("No export table is given.", hint="Set tables = ['project.dataset.table'].")
        return [TableName.parse(text) for text in dict.fromkeys(self.tables)]

    def _looked_at(self, name: TableName) -> tuple[ExportTable, int | None]:
        """The table by its schema, and how many rows are stored in it; None for a view."""
        found = self.bigquery.table(name)
        parted = found.time_partitioning
        partition = "" if parted is None else parted.field or "_PARTITIONTIME"
        columns = dict(_paths(found.schema))
        return ExportTable.of(name, columns, partition), found.num_rows

    def _wanted(
        self, table: ExportTable, whole: Window, report: Report
    ) -> tuple[list[Month], datetime | None]:
        """The months to fetch: those with rows newer than the watermark, and up to when they were looked for; or those
        of the window."""
        mark = self.state.get(str(table.name))
        if mark is None or self.reread == "window":
            return [Month.of(part.since) for part in by_month(whole)], None
        pages = self.bigquery.pages(
            table.changed(_instant(mark, table.name)), announce=_say(report, table, "changes")
        )
        found = {month_of_text(row["month"]): row["newest"] for page in pages for row in page}
        return list(found), max(found.values(), default=None)

    def _counted(self, table: ExportTable, months: Sequence[Month], report: Report) -> _Counted | None:
        """What Google counts in `months`, or None when there is no row."""
        rows: Counter[str] = Counter()
        totals: dict[str, Decimal] = {}
        newest: list[datetime] = []
        for page in self.bigquery.pages(table.totals(months), announce=_say(report, table, "totals")):
            for row in page:
                rows[str(row["month"])] += int(row["row_count"])
                currency = str(row["currency"])
                totals[currency] = totals.get(currency, Decimal(0)) + Decimal(row["billed"] or 0)
                newest.append(row["newest"])
        return _Counted(rows, totals, max(newest)) if newest else None

    def _write(
        self, table: ExportTable, months: Sequence[Month], counted: _Counted, into: Path, report: Report
    ) -> Path:
        target = into / f"{table.name.table}.jsonl"
        query, every = table.rows(months, counted.newest), sum(counted.rows.values())
        seen: Counter[str] = Counter()
        with json_lines(target) as lines:
            for page in self.bigquery.pages(query, announce=_say(report, table, "rows")):
                seen.update(table.month_of(row) for row in page)
                lines.add(cast("Mapping[str, object]", _plain(row)) for row in page)
                report(f"reading {table.name.table}", lines.count, every)
            if seen != counted.rows:
                raise Unreachable(
                    f"BigQuery counted {every} rows in {table.name} and gave {lines.count}.",
                    hint="Nothing was loaded; the export may just be written, so try again.",
                )
        return target


def _say(report: Report, table: ExportTable, what: str) -> Any:
    def say(read: int) -> None:
        report(f"asking {table.name.table} for {what}: reads {size(read)}, at most {price(read)} USD", 0, 0)

    return say


def _title(table: ExportTable) -> str:
    if table.is_focus:
        return "FOCUS export"
    return "detailed export" if "resource" in table.columns else "standard export"


def _paths(fields: Iterable[Any], above: str = "") -> Iterable[tuple[str, str]]:
    """Each field of a schema by its path, with its type."""
    for one in fields:
        path = f"{above}{one.name}".lower()
        yield path, str(one.field_type)
        yield from _paths(one.fields or (), f"{path}.")


def _instant(text: str, table: TableName) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"The remembered export time of {table} is {text!r}, which is no time.",
            hint="Pull its months again with --since and --until.",
        ) from error


def _plain(value: object) -> object:
    """A value of the client as JSON, amounts as their shortest text, so that they get no binary tail."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in cast("Mapping[object, object]", value).items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in cast("list[object]", value)]
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime | date):
        return value.isoformat().replace("+00:00", "Z")
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _covered(months: set[Month], whole: Window, today: date) -> Window:
    """From the first fetched month to the end of the last one, or to today; the window when there is none."""
    if not months:
        return whole
    end = min(max(months).following.first, today + timedelta(days=1))
    return Window(min(months).first, max(end, min(months).first + timedelta(days=1)))


def _notes(bigquery: BigQuery, totals: Mapping[str, Decimal], months: set[Month]) -> tuple[str, ...]:
    notes = [f"BigQuery billed {size(bigquery.billed)}, at most {bigquery.cost_usd} USD."]
    if months:
        notes.append(f"Invoice months {', '.join(map(str, sorted(months)))}.")
    if len(totals) > 1:
        notes.append(f"The costs are in {len(totals)} currencies, so there is no one total to compare.")
    return tuple(notes)
