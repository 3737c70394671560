"""A double of BigQuery's REST interface that Google's own client talks to. It looks at every query as a reviewer would,
answers the few shapes that a billing export is asked for from its own rows, and bills for what a query reads.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

STRING, FLOAT, TIME = "STRING", "FLOAT", "TIMESTAMP"
Field = dict[str, Any]
Row = dict[str, Any]


def record(name: str, *fields: Field, mode: str = "NULLABLE") -> Field:
    return {"name": name, "type": "RECORD", "mode": mode, "fields": list(fields)}


def plain(name: str, kind: str = STRING) -> Field:
    return {"name": name, "type": kind, "mode": "NULLABLE"}


def pairs(name: str) -> Field:
    return record(name, plain("key"), plain("value"), mode="REPEATED")


#: The standard usage schema, docs.cloud.google.com/billing/docs/how-to/export-data-bigquery-tables/standard-usage.
STANDARD: tuple[Field, ...] = (
    plain("billing_account_id"),
    record("service", plain("id"), plain("description")),
    record("sku", plain("id"), plain("description")),
    plain("usage_start_time", TIME),
    plain("usage_end_time", TIME),
    record("project", plain("id"), plain("number"), plain("name"), pairs("labels")),
    pairs("labels"),
    pairs("system_labels"),
    record("location", plain("location"), plain("country"), plain("region")),
    pairs("tags"),
    plain("transaction_type"),
    plain("seller_name"),
    plain("export_time", TIME),
    plain("cost", FLOAT),
    plain("currency"),
    plain("currency_conversion_rate", FLOAT),
    record("usage", plain("amount", FLOAT), plain("unit"), plain("amount_in_pricing_units", FLOAT),
           plain("pricing_unit")),
    record("credits", plain("name"), plain("amount", FLOAT), plain("full_name"), plain("id"), plain("type"),
           mode="REPEATED"),
    record("invoice", plain("month"), plain("publisher_type")),
    plain("cost_type"),
    plain("cost_at_list", FLOAT),
)  # fmt: skip

DETAILED = (*STANDARD, record("resource", plain("name"), plain("global_name")))

FOCUS: tuple[Field, ...] = (
    plain("BilledCost", "NUMERIC"),
    plain("EffectiveCost", "NUMERIC"),
    plain("ListCost", "NUMERIC"),
    plain("ContractedCost", "NUMERIC"),
    plain("BillingAccountId"),
    plain("BillingCurrency"),
    plain("BillingPeriodStart", TIME),
    plain("BillingPeriodEnd", TIME),
    plain("ChargeCategory"),
    plain("ChargeDescription"),
    plain("ChargePeriodStart", TIME),
    plain("ChargePeriodEnd", TIME),
    plain("ConsumedQuantity", "NUMERIC"),
    plain("ConsumedUnit"),
    plain("ProviderName"),
    plain("ServiceName"),
    plain("SkuId"),
    plain("x_CostType"),
    plain("x_CurrencyConversionRate", FLOAT),
    plain("x_ExportTime", TIME),
    plain("x_ServiceId"),
    record("x_Labels", plain("Key"), plain("Value"), mode="REPEATED"),
)


@dataclass
class Table:
    """A table of the double. `bytes_each` is how much one row costs to read."""

    schema: Sequence[Field]
    rows: list[Row]
    partitioned: bool = True
    bytes_each: int = 1000

    @property
    def is_focus(self) -> bool:
        return any(one["name"] == "BilledCost" for one in self.schema)

    def written(self, row: Row) -> datetime:
        return instant(row["x_ExportTime" if self.is_focus else "export_time"])

    def month(self, row: Row) -> str:
        if self.is_focus:
            return f"{instant(row['BillingPeriodStart']):%Y%m}"
        return row["invoice"]["month"]

    def billed(self, row: Row) -> Decimal:
        if self.is_focus:
            return Decimal(str(row["BilledCost"]))
        return Decimal(str(row["cost"])) + sum(
            (Decimal(str(c["amount"])) for c in row["credits"]), Decimal(0)
        )

    def total(self, *months: str) -> Decimal:
        return sum((self.billed(row) for row in self.rows if self.month(row) in months), Decimal(0))


@dataclass
class Job:
    schema: list[Field]
    rows: list[Row]
    read: int
    waits: int = 0
    found: dict[str, Any] = field(default_factory=dict)


@dataclass
class BigQueryDouble:
    """`trouble` is a list of answers that come before the right ones: (status, reason) or "half". The rows of `late`
    are written right after somebody asked what has changed."""

    tables: dict[str, Table]
    page_rows: int = 5000
    trouble: list[tuple[int, str] | str] = field(default_factory=list)
    trouble_at: str = "jobs"
    drop_rows: int = 0
    slow: float = 0
    #: How often somebody asks for a result before it is there.
    pending: int = 0
    late: list[Row] = field(default_factory=list)
    queries: list[dict[str, Any]] = field(default_factory=list)
    dry_runs: list[dict[str, Any]] = field(default_factory=list)
    jobs: dict[str, Job] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    url: str = ""

    def query(self, sql: str, parameters: Mapping[str, Any]) -> Job:
        """Answers one of four shapes. Raises ValueError for SQL that a billing export must not be asked with."""
        names = re.findall(r"FROM `([^`]+)`", sql)
        if len(names) != 1 or "*" in names[0]:
            raise ValueError("exactly one table, without a wildcard")
        table = self.tables[names[0]]
        if sql.startswith("SELECT MIN("):
            day = "ChargePeriodStart" if table.is_focus else "usage_start_time"
            days = [instant(row[day]).date().isoformat() for row in table.rows]
            return Job(
                [plain("first", "DATE"), plain("last", "DATE")],
                [{"first": min(days), "last": max(days)}],
                8 * len(days),
            )
        if table.partitioned and "_PARTITIONTIME >= @written_since" not in sql:
            raise ValueError("a partitioned export is read with a partition filter")
        if re.search(r"CROSS JOIN|, *UNNEST|JOIN UNNEST", sql):
            raise ValueError("credits must not multiply rows")
        since = instant(parameters["written_since"])
        rows = [row for row in table.rows if table.written(row) >= since]
        read = len(rows) * table.bytes_each
        if "@watermark" in sql:
            after = instant(parameters["watermark"])
            found: dict[str, str] = {}
            for row in sorted((row for row in rows if table.written(row) > after), key=table.written):
                found[table.month(row)] = row["x_ExportTime" if table.is_focus else "export_time"]
            answer = [{"month": month, "newest": found[month]} for month in sorted(found)]
            return Job([plain("month"), plain("newest", TIME)], answer, read // 10)
        rows = [row for row in rows if table.month(row) in parameters["months"]]
        if "GROUP BY" in sql:
            return Job(TOTALS, list(self.totals(table, rows)), read // 5)
        rows = [row for row in rows if table.written(row) <= instant(parameters["newest"])]
        kept = rows[: len(rows) - self.drop_rows]
        chosen = sql.removeprefix("SELECT ").partition(" FROM ")[0].split(", ")
        schema = [one for one in table.schema if one["name"] in chosen or chosen == ["*"]]
        unknown = set(chosen) - {one["name"] for one in schema} - {"*"}
        if unknown:
            raise ValueError(f"Unrecognized name: {unknown.pop()}")
        return Job(schema, kept, read)

    def totals(self, table: Table, rows: list[Row]) -> Iterator[Row]:
        groups: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            currency = row["BillingCurrency" if table.is_focus else "currency"]
            groups.setdefault((table.month(row), currency), []).append(row)
        for (month, currency), members in sorted(groups.items()):
            newest = max(members, key=table.written)
            yield {
                "month": month,
                "currency": currency,
                "row_count": len(members),
                "billed": f"{sum((table.billed(row) for row in members), Decimal(0)):f}",
                "newest": newest["x_ExportTime" if table.is_focus else "export_time"],
            }


TOTALS = [
    plain("month"),
    plain("currency"),
    plain("row_count", "INTEGER"),
    plain("billed", "BIGNUMERIC"),
    plain("newest", TIME),
]


def instant(text: str) -> datetime:
    """The spellings of instants in exports and in query parameters."""
    found = datetime.fromisoformat(text.replace(" UTC", "+00:00"))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def cell(value: Any, one: Field) -> Any:
    """A value as BigQuery's REST interface writes it: every scalar is text, an instant is microseconds."""
    if one["mode"] == "REPEATED":
        return {"v": [cell(item, {**one, "mode": "NULLABLE"}) for item in value or []]}
    if value is None:
        return {"v": None}
    if one["type"] == "RECORD":
        return {"v": {"f": [cell(value.get(inner["name"]), inner) for inner in one["fields"]]}}
    if one["type"] == TIME:
        return {"v": str(round(instant(value).timestamp() * 1_000_000))}
    return {"v": str(value)}


def of_samples(path: Path) -> list[Row]:
    """Rows of a sample export in JSON lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def error(status: int, reason: str, message: str) -> tuple[int, dict[str, Any]]:
    return status, {
        "error": {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}
    }


class Refusal(Exception):
    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.answer = error(status, reason, message)


def inserted(double: BigQueryDouble, body: dict[str, Any], project: str) -> dict[str, Any]:
    """jobs.insert: a dry run only says what would be read; a job over its limit is not run."""
    config = body["configuration"]
    query = config["query"]
    parameters = {
        one["name"]: [item["value"] for item in one["parameterValue"].get("arrayValues", [])]
        if one["parameterType"]["type"] == "ARRAY"
        else one["parameterValue"].get("value")
        for one in query.get("queryParameters", [])
    }
    if query.get("useLegacySql") is not False:
        raise Refusal(400, "invalidQuery", "standard SQL only")
    try:
        job = double.query(query["query"], parameters)
    except KeyError as missing:
        raise Refusal(404, "notFound", f"Not found: Table {missing}") from missing
    except ValueError as wrong:
        raise Refusal(400, "invalidQuery", str(wrong)) from wrong
    reference = body.get("jobReference") or {"projectId": project, "jobId": f"dry-{len(double.dry_runs)}"}
    read = {"totalBytesProcessed": str(job.read)}
    statistics: dict[str, Any] = {**read, "query": {**read, "statementType": "SELECT"}}
    job.found = {
        "jobReference": {**reference, "location": "EU"},
        "configuration": config,
        "status": {"state": "DONE"},
        "statistics": {**statistics, "creationTime": "1", "startTime": "1", "endTime": "2"},
    }
    if config.get("dryRun"):
        double.dry_runs.append(query)
        return job.found
    most = query.get("maximumBytesBilled")
    if most is None:
        raise Refusal(400, "invalidQuery", "no maximumBytesBilled")
    if job.read > int(most):
        # The real service takes the job and fails it.
        message = f"Query exceeded limit for bytes billed: {most}."
        job.found["status"]["errorResult"] = {"reason": "bytesBilledLimitExceeded", "message": message}
    else:
        double.queries.append(query)
        if "@watermark" in query["query"]:
            for table in double.tables.values():
                table.rows.extend(double.late)
            double.late = []
        statistics["query"]["totalBytesBilled"] = str(max(job.read, 10_485_760))
    double.jobs[reference["jobId"]] = job
    job.waits = double.pending
    return job.found | {"status": {"state": "RUNNING"}, "statistics": {}} if job.waits else job.found


def results(double: BigQueryDouble, job_id: str, options: Mapping[str, list[str]]) -> dict[str, Any]:
    """getQueryResults, page by page."""
    job = double.jobs[job_id]
    if job.waits:
        job.waits -= 1
        return {"jobReference": {"projectId": "p", "jobId": job_id, "location": "EU"}, "jobComplete": False}
    most = min(int(options.get("maxResults", [str(double.page_rows)])[0]), double.page_rows)
    start = int(options.get("pageToken", ["0"])[0])
    page = job.rows[start : start + most]
    answer: dict[str, Any] = {
        "jobReference": {"projectId": "p", "jobId": job_id, "location": "EU"},
        "schema": {"fields": job.schema},
        "totalRows": str(len(job.rows)),
        "jobComplete": True,
        "totalBytesProcessed": str(job.read),
    }
    if most:
        answer["rows"] = [{"f": [cell(row.get(one["name"]), one) for one in job.schema]} for row in page]
        if start + most < len(job.rows):
            answer["pageToken"] = str(start + most)
    return answer


def metadata(name: str, table: Table) -> dict[str, Any]:
    project, dataset, one = name.split(".")
    found: dict[str, Any] = {
        "kind": "bigquery#table",
        "tableReference": {"projectId": project, "datasetId": dataset, "tableId": one},
        "schema": {"fields": list(table.schema)},
    }
    if not table.partitioned:
        return found | {"type": "VIEW"}
    return found | {"type": "TABLE", "numRows": str(len(table.rows)), "timePartitioning": {"type": "DAY"}}


def looked_up(double: BigQueryDouble, url: SplitResult) -> tuple[str, int, Mapping[str, Any]]:
    """tables.get, getQueryResults and jobs.get: what it was, the status and the answer."""
    at = url.path.removeprefix("/bigquery/v2/projects/").split("/")
    if at[1] == "datasets":
        name = f"{at[0]}.{at[2]}.{at[4]}"
        table = double.tables.get(name)
        missing = error(404, "notFound", f"Not found: Table {name}")
        return "tables", *(missing if table is None else (200, metadata(name, table)))
    if at[1] == "queries":
        return "results", 200, results(double, at[2], parse_qs(url.query))
    if at[1] == "jobs" and at[2] in double.jobs:
        job = double.jobs[at[2]]
        running = {"status": {"state": "RUNNING"}, "statistics": {}}
        return "job", 200, job.found | (running if job.waits else {})
    return "job", *error(404, "notFound", f"no {url.path}")


@contextmanager
def serving(double: BigQueryDouble) -> Iterator[BigQueryDouble]:
    """The double at a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer(*looked_up(double, urlsplit(self.path)))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not self.path.split("?")[0].endswith("/jobs"):
                return self.answer("jobs", *error(404, "notFound", f"no {self.path}"))
            if double.trouble and double.trouble_at == "jobs":
                return self.answer("jobs", 200, {})
            try:
                return self.answer("jobs", 200, inserted(double, body, self.path.split("/")[4]))
            except Refusal as refusal:
                return self.answer("jobs", *refusal.answer)

        def answer(self, what: str, status: int, found: Mapping[str, Any]) -> None:
            double.requests.append(self.path)
            time.sleep(double.slow)
            half = False
            if double.trouble and double.trouble_at == what:
                trouble = double.trouble.pop(0)
                half = trouble == "half"
                if not half:
                    status, found = error(trouble[0], trouble[1], "No.")
            raw = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            # A client that was killed does not wait for its answer.
            with suppress(BrokenPipeError):
                self.wfile.write(raw[: len(raw) // 2] if half else raw)
            self.close_connection = half

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    double.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    # A process of its own: PROJECT.DATASET.TABLE and a sample export; it prints its address and ends with its stdin.
    with serving(BigQueryDouble({sys.argv[1]: Table(STANDARD, of_samples(Path(sys.argv[2])))}, 5)) as running:
        print(running.url, flush=True)
        sys.stdin.read()
