"""A double of Cost Explorer and STS that keeps a bill and checks requests as the service does.

From the API reference: at most two groups, Start < End and not in the future, at least one metric, a page token only
with the parameters it was given for, product attributes since 2026-09-01, and nothing for a wrong value in a filter.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

from tests.sources.live.doubles_http import Asked, Reply

ACCOUNT = "123456789012"


@dataclass(frozen=True)
class Spent:
    """One line of the double's own bill."""

    day: date
    service: str
    usage_type: str
    cost: Decimal
    quantity: Decimal = Decimal(0)
    net: Decimal | None = None
    model: str = ""
    kind: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    supported: bool = True


class CostExplorerDouble:
    """`storm` answers that many requests with a throttle first; `page` is groups a page."""

    def __init__(self, bill: list[Spent], today: date = date(2026, 10, 20)) -> None:
        self.bill = bill
        self.today = today
        self.page = 1000
        self.storm = 0
        self.expired = False
        self.enabled = True
        self.reshape: Any = None
        self.restate_after: int | None = None
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.answered = 0
        self.tokens: dict[str, tuple[str, int]] = {}

    def answer(self, asked: Asked) -> Reply:
        target = asked.headers.get("x-amz-target", "")
        if not target:
            return self.sts(asked)
        operation = target.removeprefix("AWSInsightsIndexService.")
        assert asked.headers["content-type"] == "application/x-amz-json-1.1"
        assert "Credential=" in asked.headers["authorization"]
        params = json.loads(asked.body)
        self.requests.append((operation, params))
        if self.storm > 0:
            self.storm -= 1
            return refused("LimitExceededException", "Rate exceeded")
        if self.expired:
            return refused("ExpiredTokenException", "The security token included in the request is expired")
        if not self.enabled:
            return refused("AccessDeniedException", "User not enabled for cost explorer access")
        problem = self.problem(operation, params)
        if problem:
            return problem
        self.answered += 1
        if self.restate_after is not None and self.answered > self.restate_after:
            return refused("RequestChangedException", "The data changed")
        body = self.values(params) if operation == "GetDimensionValues" else self.grid(params)
        if self.reshape:
            body = self.reshape(operation, body)
        return Reply(json.dumps(body).encode(), headers={"content-type": "application/x-amz-json-1.1"})

    def sts(self, asked: Asked) -> Reply:
        assert parse_qs(asked.body.decode())["Action"] == ["GetCallerIdentity"]
        if self.expired:
            text = "<ErrorResponse><Error><Code>ExpiredToken</Code><Message>expired</Message></Error></ErrorResponse>"
            return Reply(text.encode(), 403, {"content-type": "text/xml"})
        text = (
            '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
            f"<Arn>arn:aws:iam::{ACCOUNT}:user/reader</Arn><UserId>AIDA</UserId><Account>{ACCOUNT}</Account>"
            "</GetCallerIdentityResult></GetCallerIdentityResponse>"
        )
        return Reply(text.encode(), headers={"content-type": "text/xml"})

    def problem(self, operation: str, params: dict[str, Any]) -> Reply | None:
        start, end = (date.fromisoformat(params["TimePeriod"][name]) for name in ("Start", "End"))
        groups = params.get("GroupBy", [])
        if not start < end or start > self.today or end > self.today + timedelta(days=1):
            return refused("ValidationException", f"Invalid dates {start} {end}")
        if start < (self.today - timedelta(days=427)):
            return refused("DataUnavailableException", "Data is not available")
        if operation == "GetCostAndUsage" and not params.get("Metrics"):
            return refused("ValidationException", "At least one metric is required")
        if len(groups) > 2:
            return refused("ValidationException", "At most two groups")
        attributes = [group for group in groups if group["Type"] == "PRODUCT_ATTRIBUTE"]
        if attributes and start < date(2026, 9, 1):
            return refused("DataUnavailableException", "Product attributes are available from 2026-09-01")
        token = params.get("NextPageToken")
        if token is not None:
            rest = json.dumps({k: v for k, v in params.items() if k != "NextPageToken"}, sort_keys=True)
            if token not in self.tokens:
                return refused("InvalidNextTokenException", "Unknown token")
            if self.tokens[token][0] != rest:
                return refused("RequestChangedException", "Parameters differ")
        return None

    def rows(self, params: dict[str, Any]) -> list[Spent]:
        start, end = (date.fromisoformat(params["TimePeriod"][name]) for name in ("Start", "End"))
        wanted = params.get("Filter", {}).get("Dimensions", {}).get("Values")
        attributes = any(group["Type"] == "PRODUCT_ATTRIBUTE" for group in params.get("GroupBy", []))
        return [
            line for line in self.bill
            if start <= line.day < end and (wanted is None or line.service in wanted)
            and (line.supported or not attributes)
        ]  # fmt: skip

    def values(self, params: dict[str, Any]) -> dict[str, Any]:
        names = sorted({line.service for line in self.rows(params)})
        return {"DimensionValues": [{"Value": name, "Attributes": {}} for name in names],
                "ReturnSize": len(names), "TotalSize": len(names)}  # fmt: skip

    def grid(self, params: dict[str, Any]) -> dict[str, Any]:
        sums: defaultdict[tuple[date, tuple[str, ...]], list[Spent]] = defaultdict(list)
        monthly = params["Granularity"] == "MONTHLY"
        for line in self.rows(params):
            keys = tuple(key_of(line, group) for group in params.get("GroupBy", []))
            sums[line.day.replace(day=1) if monthly else line.day, keys].append(line)
        cells = sorted(sums)
        token = params.get("NextPageToken")
        at = self.tokens[token][1] if token else 0
        results: dict[date, dict[str, Any]] = {}
        for day, keys in cells[at : at + self.page]:
            end = (day + timedelta(days=32)).replace(day=1) if monthly else day + timedelta(days=1)
            result = results.setdefault(day, {
                "TimePeriod": {"Start": day.isoformat(), "End": end.isoformat()}, "Total": {}, "Groups": [],
                "Estimated": day >= self.today.replace(day=1),
            })  # fmt: skip
            figures = metrics(sums[day, keys], params["Metrics"])
            if keys:
                result["Groups"].append({"Keys": list(keys), "Metrics": figures})
            else:
                result["Total"] = figures
        body: dict[str, Any] = {
            "ResultsByTime": list(results.values()),
            "GroupDefinitions": params.get("GroupBy", []),
        }
        if at + self.page < len(cells):
            rest = json.dumps({k: v for k, v in params.items() if k != "NextPageToken"}, sort_keys=True)
            name = f"token-{len(self.tokens)}"
            self.tokens[name] = (rest, at + self.page)
            body["NextPageToken"] = name
        return body

    def restate(self, usage_type: str, cost: str) -> None:
        """AWS changes a day that was read before."""
        self.bill = [
            replace(line, cost=Decimal(cost)) if line.usage_type == usage_type else line for line in self.bill
        ]


def key_of(line: Spent, group: Mapping[str, str]) -> str:
    kind, key = group["Type"], group["Key"]
    if kind == "TAG":
        return f"{key}${line.tags.get(key, '')}"
    if kind == "PRODUCT_ATTRIBUTE":
        known = {"model": line.model, "inferenceType": line.kind}
        # An unknown key is no error: everything has no value.
        return f"{key}${known.get(key, '')}"
    return {"SERVICE": line.service, "USAGE_TYPE": line.usage_type}[key]


def metrics(lines: list[Spent], names: list[str]) -> dict[str, Any]:
    total = {
        "UnblendedCost": sum((line.cost for line in lines), Decimal(0)),
        "NetAmortizedCost": sum((line.cost if line.net is None else line.net for line in lines), Decimal(0)),
        "UsageQuantity": sum((line.quantity for line in lines), Decimal(0)),
    }
    return {
        name: {"Amount": format(total[name], "f"), "Unit": "N/A" if name == "UsageQuantity" else "USD"}
        for name in names
    }


def refused(code: str, message: str) -> Reply:
    body = json.dumps({"__type": code, "Message": message, "message": message}).encode()
    return Reply(body, 400, {"content-type": "application/x-amz-json-1.1"})
