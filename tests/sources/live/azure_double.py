"""A double of Azure Cost Management's query API that refuses what the real one refuses and counts what it was asked.

It holds a bill, computes every answer from it, and never looks at how Costweir works.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

VALID = {
    "mca": (
        "MeterCategory",
        "MeterSubcategory",
        "Meter",
        "UnitOfMeasure",
        "Product",
        "SubscriptionId",
        "ChargeType",
    ),
    "ea": ("MeterCategory", "MeterSubcategory", "Meter", "SubscriptionId", "ServiceName", "ChargeType"),
}
QPU, ENTITY, TENANT = (
    f"x-ms-ratelimit-microsoft.costmanagement-{name}-retry-after" for name in ("qpu", "entity", "tenant")
)


@dataclass(frozen=True)
class Use:
    """One line of the bill behind the double."""

    day: date
    product: str
    meter: str
    unit: str
    quantity: Decimal
    cost: Decimal
    category: str = "Foundry Models"
    customer: str = ""
    currency: str = "USD"
    usd: Decimal | None = None

    def dimension(self, name: str) -> str:
        return {
            "MeterCategory": self.category,
            "MeterSubcategory": self.product,
            "Meter": self.meter,
            "UnitOfMeasure": self.unit,
        }[name]


@dataclass
class AzureDouble:
    """`trouble` is a list of answers that come before the right ones: (status, headers) or "half"."""

    bill: list[Use]
    agreement: str = "mca"
    page_size: int = 1000
    token: str = "good"
    trouble: list[tuple[int, dict[str, str]] | str] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    shuffled: bool = False
    rename: dict[str, str] = field(default_factory=dict)
    next_host: str = ""
    endless: bool = False
    shift_days: int = 0
    url: str = ""

    def total(self, since: date, until: date) -> Decimal:
        return sum((use.cost for use in self.bill if since <= use.day <= until), Decimal(0))

    def answer(self, body: dict[str, Any], skip: int, address: str) -> tuple[int, dict[str, Any]]:
        wrong = self.refusal(body)
        if wrong:
            return 400, {"error": {"code": "BadRequest", "message": f"Invalid query definition: {wrong}"}}
        dataset = body["dataset"]
        since, until = (datetime.fromisoformat(body["timePeriod"][side]).date() for side in ("from", "to"))
        names, rows = self.table(dataset, [use for use in self.bill if since <= use.day <= until])
        page = rows[skip : skip + self.page_size]
        if self.shuffled and skip % 2 == 1:
            names, page = names[::-1], [row[::-1] for row in page]
        more = skip + self.page_size < len(rows) or self.endless
        follow = 0 if self.endless else skip + self.page_size
        link = f"{self.next_host or self.url}{address}&$skiptoken={follow}" if more else None
        columns = [
            {
                "name": self.rename.get(name, name),
                "type": "Number" if name in ("Cost", "UsageDate") else "String",
            }
            for name in names
        ]
        return 200, {"properties": {"nextLink": link, "columns": columns, "rows": page}}

    def refusal(self, body: dict[str, Any]) -> str:
        dataset = body["dataset"]
        grouping, sums = dataset.get("grouping", []), dataset["aggregation"]
        if body["type"] not in ("Usage", "ActualCost", "AmortizedCost"):
            return f"type {body['type']}"
        if len(grouping) > 2 or len({group["name"] for group in grouping}) != len(grouping):
            return "Invalid dataset grouping: at most 2"
        if not 1 <= len(sums) <= 2 or any(one["function"] != "Sum" for one in sums.values()):
            return "Invalid dataset aggregation"
        for group in grouping:
            if group["type"] not in ("Dimension", "TagKey"):
                return f"grouping type {group['type']}"
            if group["type"] == "Dimension" and group["name"] not in VALID[self.agreement]:
                return f"Invalid dataset grouping: '{group['name']}'; valid values: {VALID[self.agreement]}"
        since, until = (datetime.fromisoformat(body["timePeriod"][side]) for side in ("from", "to"))
        if since.utcoffset() is None or since > until:
            return "from has to be an instant that is not after to"
        days = (until.date() - since.date()).days + 1
        if dataset["granularity"] == "Daily" and days > 31:
            return "daily queries have at most 31 days"
        return "monthly queries have at most 12 months" if days > 366 else ""

    def table(self, dataset: dict[str, Any], uses: Sequence[Use]) -> tuple[list[str], list[list[object]]]:
        sums = [one["name"] for one in dataset["aggregation"].values()]
        grain = {"Daily": ["UsageDate"], "Monthly": ["BillingMonth"]}.get(dataset["granularity"], [])
        groups: dict[tuple[object, ...], list[Use]] = {}
        for use in uses:
            groups.setdefault(self.key(use, dataset), []).append(use)
        heads: list[str] = []
        for group in dataset.get("grouping", []):
            heads += ["TagKey", "TagValue"] if group["type"] == "TagKey" else [group["name"]]
        rows = [
            [*(total(members, name) for name in sums), *key]
            for key, members in sorted(groups.items(), key=str)
        ]
        return [*sums, *grain, *heads, "Currency"], rows

    def key(self, use: Use, dataset: dict[str, Any]) -> tuple[object, ...]:
        found: list[object] = []
        if dataset["granularity"] == "Daily":
            found.append(int(f"{use.day:%Y%m%d}") + self.shift_days)
        elif dataset["granularity"] == "Monthly":
            found.append(f"{use.day:%Y-%m}-01T00:00:00")
        for group in dataset.get("grouping", []):
            if group["type"] == "TagKey":
                found += [group["name"], use.customer if group["name"] == "customer_id" else ""]
            else:
                found.append(use.dimension(group["name"]))
        return (*found, use.currency)


def total(members: Sequence[Use], name: str) -> object:
    if name == "CostUSD":
        amount = sum((use.cost if use.usd is None else use.usd for use in members), Decimal(0))
    elif name == "Cost":
        amount = sum((use.cost for use in members), Decimal(0))
    else:
        amount = sum((use.quantity for use in members), Decimal(0))
    return Exact(amount)


class Exact(float):
    """A number that JSON writes with every digit of the bill."""

    def __new__(cls, amount: Decimal) -> Exact:
        one = super().__new__(cls, amount)
        one.text = f"{amount:f}"
        return one

    def __repr__(self) -> str:
        return self.text


def dumps(answer: object) -> bytes:
    """JSON in which amounts stand as they are in the bill and not as the nearest binary number."""
    marks: list[str] = []

    def mark(value: object) -> object:
        if isinstance(value, Exact):
            marks.append(value.text)
            return f"@@{len(marks) - 1}@@"
        if isinstance(value, dict):
            return {key: mark(inner) for key, inner in value.items()}
        return [mark(inner) for inner in value] if isinstance(value, list) else value

    text = json.dumps(mark(answer))
    for number, exact in enumerate(marks):
        text = text.replace(f'"@@{number}@@"', exact)
    return text.encode()


@contextmanager
def serving(double: AzureDouble) -> Iterator[AzureDouble]:
    """The double at a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            body = json.loads(raw)
            double.requests.append(body)
            double.urls.append(self.path)
            if self.headers["Authorization"] != f"Bearer {double.token}":
                return self.send(
                    401, dumps({"error": {"code": "AuthenticationFailed", "message": "Token expired."}})
                )
            if double.trouble:
                what = double.trouble.pop(0)
                if what == "half":
                    status, answer = double.answer(body, 0, self.path)
                    return self.send(status, dumps(answer), half=True)
                status, headers = what
                return self.send(
                    status, dumps({"error": {"code": str(status), "message": "No."}}), headers=headers
                )
            parts = urlsplit(self.path)
            query = parse_qs(parts.query)
            if not parts.path.endswith("/providers/Microsoft.CostManagement/query"):
                return self.send(404, dumps({"error": {"code": "NotFound", "message": "No such scope."}}))
            if query.get("api-version") != ["2025-03-01"]:
                return self.send(400, dumps({"error": {"message": "api-version"}}))
            skip = int(query.get("$skiptoken", ["0"])[-1])
            status, answer = double.answer(body, skip, self.path.partition("&$skiptoken")[0])
            return self.send(status, dumps(answer))

        def send(
            self, status: int, raw: bytes, *, headers: dict[str, str] | None = None, half: bool = False
        ) -> None:
            self.send_response(status)
            for name, text in (headers or {}).items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw[: len(raw) // 2] if half else raw)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    double.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
