"""Doubles of the organisation endpoints of OpenAI and Anthropic that keep a bill and check requests as the services do.

From the API references: GET only, the admin key in its header, the version header of Anthropic, whole UTC days, daily
buckets, known groups, at most 31 buckets a page, and a cursor that is only good with the parameters it was given for.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from tests.sources.live.doubles_http import Asked, Reply

KEY = "sk-admin-canary-0123456789"
COST_GROUPS = {
    "/v1/organization/costs": {"line_item", "project_id", "api_key_id"},
    "/v1/organizations/cost_report": {"workspace_id", "description"},
}
USAGE_GROUPS = {
    "/v1/organization/usage/": {"model", "project_id", "user_id", "api_key_id", "batch", "service_tier"},
    "/v1/organizations/usage_report/messages": {
        "model", "workspace_id", "service_tier", "context_window", "inference_geo", "api_key_id", "account_id",
        "service_account_id",
    },
}  # fmt: skip


class OrganisationDouble:
    """`results[path][day]` is raw JSON text, so that digits are sent as they stand. `page` is buckets a page."""

    def __init__(self, *, anthropic: bool) -> None:
        self.anthropic = anthropic
        self.results: dict[str, dict[date, list[str]]] = {}
        self.page = 31
        self.storm: list[Reply] = []
        self.key = KEY
        self.reshape: Callable[[str, str], str] | None = None
        self.denied: set[str] = set()
        self.asked: list[Asked] = []
        self.cursors: dict[str, tuple[str, int]] = {}

    def put(self, path: str, day: str, *results: str) -> None:
        self.results.setdefault(path, {}).setdefault(date.fromisoformat(day), []).extend(results)

    def answer(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        assert asked.method == "GET"
        assert asked.body == b""
        if self.storm:
            return self.storm.pop(0)
        if not self.signed(asked) or asked.path in self.denied:
            said = f"Incorrect API key provided: {asked.headers.get('authorization', '')[7:] or self.key}."
            return failed(401, said)
        if asked.path == "/v1/organizations/me":
            return Reply(b'{"id":"1f6e8a52-93c4-4d7b-a1e0-5b2c9d8e4f37","name":"Acme","type":"organization"}')
        params = parse_qsl(asked.query)
        problem = self.problem(asked.path, params)
        if problem:
            return failed(400, problem)
        text = self.buckets(asked.path, params)
        return Reply((self.reshape(asked.path, text) if self.reshape else text).encode())

    def signed(self, asked: Asked) -> bool:
        if self.anthropic:
            assert asked.headers["anthropic-version"] == "2023-06-01"
            return asked.headers.get("x-api-key") == self.key
        return asked.headers.get("authorization") == f"Bearer {self.key}"

    def problem(self, path: str, params: list[tuple[str, str]]) -> str:
        groups = {value for name, value in params if name == "group_by[]"}
        allowed: set[str] = set()
        for prefix, names in (COST_GROUPS | USAGE_GROUPS).items():
            if path.startswith(prefix):
                allowed = names
        if not groups <= allowed:
            return f"unknown group {groups - allowed}"
        start, end = self.days(params)
        if not start < end:
            return "the end is not after the start"
        single = dict(params)
        if single.get("bucket_width") != "1d" or not 1 <= int(single["limit"]) <= 31:
            return "bucket_width or limit is out of range"
        if "page" in single:
            rest = json.dumps([item for item in params if item[0] != "page"])
            if self.cursors.get(single["page"], ("", 0))[0] != rest:
                return "the cursor belongs to other parameters"
        return ""

    def days(self, params: list[tuple[str, str]]) -> tuple[date, date]:
        single = dict(params)
        if self.anthropic:
            both = [datetime.fromisoformat(single[name]) for name in ("starting_at", "ending_at")]
        else:
            both = [datetime.fromtimestamp(int(single[name]), UTC) for name in ("start_time", "end_time")]
        assert all((moment.hour, moment.minute, moment.second) == (0, 0, 0) for moment in both)
        return both[0].date(), both[1].date()

    def buckets(self, path: str, params: list[tuple[str, str]]) -> str:
        start, end = self.days(params)
        days = [start + timedelta(days=number) for number in range((end - start).days)]
        at = self.cursors[dict(params)["page"]][1] if "page" in dict(params) else 0
        shown = [
            self.bucket(day, self.results.get(path, {}).get(day, [])) for day in days[at : at + self.page]
        ]
        cursor = "null"
        if at + self.page < len(days):
            name = f"page_{len(self.cursors)}"
            rest = json.dumps([item for item in params if item[0] != "page"])
            self.cursors[name] = (rest, at + self.page)
            cursor = json.dumps(name)
        more = "false" if cursor == "null" else "true"
        return f'{{"data":[{",".join(shown)}],"has_more":{more},"next_page":{cursor}}}'

    def bucket(self, day: date, results: list[str]) -> str:
        inside = f'"results":[{",".join(results)}]'
        if self.anthropic:
            return f'{{"starting_at":"{day}T00:00:00Z","ending_at":"{day + timedelta(days=1)}T00:00:00Z",{inside}}}'
        start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        return f'{{"object":"bucket","start_time":{start},"end_time":{start + 86400},{inside}}}'


def failed(status: int, message: str, **headers: str) -> Reply:
    return Reply(json.dumps({"error": {"type": "error", "message": message}}).encode(), status, headers)


def openai_cost(line_item: str | None, value: str, project: str | None = "proj_a", **more: Any) -> str:
    fields = {"line_item": line_item, "project_id": project, "api_key_id": more.pop("api_key", None), **more}
    rest = json.dumps({"object": "organization.costs.result", **fields})[:-1]
    return f'{rest},"amount":{{"value":{value},"currency":"usd"}}}}'


def anthropic_cost(description: str, cents: str, **fields: Any) -> str:
    known = {
        "amount": cents, "currency": "USD", "description": description, "cost_type": "tokens",
        "model": "claude-opus-5", "token_type": "uncached_input_tokens", "service_tier": "standard",
        "context_window": "0-200k", "inference_geo": None, "workspace_id": None,
    }  # fmt: skip
    return json.dumps(known | fields)


def anthropic_usage(**fields: Any) -> str:
    known = {
        "uncached_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "server_tool_use": {"web_search_requests": 0}, "model": "claude-opus-5", "workspace_id": None,
        "service_tier": "standard", "context_window": "0-200k", "inference_geo": "not_available", "api_key_id": None,
    }  # fmt: skip
    return json.dumps(known | fields)
