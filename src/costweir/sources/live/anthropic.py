"""Anthropic's organisation endpoints as a live source: the cost report is the money, the usage report gives tokens.

Facts, from Anthropic's API reference (Get Cost Report, Get Messages Usage Report, read 2026-11): daily buckets, at most
31 a page, also for days without costs; amounts are decimal texts in cents; a description comes with model, token type,
service tier, context window and perhaps inference geo; the default workspace is null. Priority tier usage is in the
usage report only and stays as lines that cost nothing. Data is usually there after five minutes. Not documented: the
exact words of a description, which therefore are kept but not read where the fields beside it say the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from costweir.domain.money import exact, quantity_text
from costweir.errors import ConfigError, Error, NotAllowed, NotFound
from costweir.sources.live.calendar import by_month, utc_today, whole_months
from costweir.sources.live.http import JsonApi, Params, unknown_shape
from costweir.sources.live.joining import Claim, join
from costweir.sources.live.paging import pages
from costweir.sources.live.retry import Retry
from costweir.sources.live.rowfile import Row, write_months
from costweir.sources.live.shape import Shape
from costweir.sources.live.source import Checked, Fetched, Finding, Report, Window

ME = "/v1/organizations/me"
COSTS = "/v1/organizations/cost_report"
USAGE = "/v1/organizations/usage_report/messages"
VERSION = "2023-06-01"
_DAY = timedelta(days=1)

#: The report's token types, and the words of a bill line for each.
TOKEN_WORDS: Mapping[str, str] = {
    "uncached_input_tokens": "input tokens",
    "output_tokens": "output tokens",
    "cache_read_input_tokens": "cache read input tokens",
    "cache_creation.ephemeral_5m_input_tokens": "5m cache write input tokens",
    "cache_creation.ephemeral_1h_input_tokens": "1h cache write input tokens",
}


class UsageKey(NamedTuple):
    """What usage is counted by. `geo` is empty when it does not matter."""

    day: date
    model: str
    token_type: str
    workspace: str
    tier: str
    context: str
    geo: str = ""


@dataclass(frozen=True, slots=True)
class CostLine:
    """One line of the cost report, or usage that has none; `tokens` is None while they are not known."""

    key: UsageKey
    description: str
    cost: Decimal
    currency: str
    cost_type: str
    tokens: int | None = None
    kind: str = "cost"

    @property
    def text(self) -> str:
        """What the classifier reads: model, token type, tier and context in words, else the description."""
        key = self.key
        if not key.model or key.token_type not in TOKEN_WORDS:
            return self.description
        tier = "" if key.tier in ("", "standard") else f" {key.tier}"
        context = " long context" if key.context == "200k-1M" else ""
        return f"{key.model} {TOKEN_WORDS[key.token_type]}{tier}{context}"


@dataclass(frozen=True, slots=True)
class Anthropic:
    """One organisation.

    `key_env` names the environment variable of the admin key and `secret` reads it; the key stays in this process.
    `organization` is the account of the stored bill; empty means the id that Anthropic gives the organisation.
    """

    id: str
    secret: Callable[[str], str | None] = field(repr=False)
    key_env: str = "ANTHROPIC_ADMIN_KEY"
    organization: str = ""
    url: str = "https://api.anthropic.com"
    retry: Retry = field(default_factory=Retry)
    today: Callable[[], date] = utc_today

    @property
    def kind(self) -> str:
        """`anthropic`."""
        return "anthropic"

    @property
    def usual_lag(self) -> timedelta:
        """Five minutes by the documents, "occasionally longer"; an hour is not late yet."""
        return timedelta(hours=1)

    def policy(self) -> str:
        """What kind of key is needed."""
        return (
            "Create an admin key (sk-ant-admin...) in the Claude Console: Settings, Admin keys (admins only).\n"
            "An admin key can also manage members, so keep it well. Costweir sends GET requests only,\n"
            f"to {ME}, {COSTS} and {USAGE}.\n"
            f"Put it into the environment variable {self.key_env}; it is only sent to {self.url}.\n"
        )

    def check(self) -> Checked:
        """Asks who the organisation is and for the costs of the last 31 days, which is free."""
        today = self.today()
        try:
            api = self._api()
            account = self._account(api)
            lines = list(self._costs(api, Window(today - timedelta(days=30), today + _DAY), []))
        except Error as error:
            finding = Finding.of(error)
            return Checked((finding,), self.organization)
        days = sorted({line.key.day for line in lines if line.cost})
        found = f"The last 31 days have {len(lines)} lines." if days else "The last 31 days have no costs."
        findings = (
            Finding(ok=True, text=f"The key reads the reports of organisation {account}."),
            Finding(ok=True, text=found),
        )
        first, last = (days[0], days[-1]) if days else (None, None)
        return Checked(findings, account, rows=len(lines), first_day=first, last_day=last)

    def fetch(self, window: Window, *, into: Path, report: Report) -> Fetched:
        """See `Source.fetch`."""
        api = self._api()
        account = self._account(api)
        whole = whole_months(window, self.today())
        parts = list(by_month(whole))
        lines: list[CostLine] = []
        notes: list[str] = []
        for done, month in enumerate(parts):
            report(f"Anthropic: {month.since:%Y-%m}", done, len(parts))
            costs = list(self._costs(api, month, notes))
            lines += _joined(costs, self._usage(api, month, notes))
        currencies = {line.currency for line in lines if line.kind == "cost"}
        files = write_months((_row(line, account) for line in lines), into=into, stem="anthropic")
        return Fetched(
            tuple(files), "anthropic", whole,
            provider_total=sum((line.cost for line in lines), Decimal(0)) if len(currencies) < 2 else None,
            currency=next(iter(currencies)) if len(currencies) == 1 else "",
            requests=api.requests, notes=tuple(dict.fromkeys(notes)),
        )  # fmt: skip

    def _api(self) -> JsonApi:
        key = self.secret(self.key_env)
        if not key:
            raise ConfigError(
                f"The source {self.id} takes its admin key from {self.key_env}, which is not set.",
                hint=f"Set {self.key_env} in the environment of the server.",
            )
        headers = {"x-api-key": key, "anthropic-version": VERSION, "user-agent": "Costweir"}
        return JsonApi("Anthropic", self.url, headers, key, self.retry)

    def _account(self, api: JsonApi) -> str:
        if self.organization:
            return self.organization
        answer = Shape(api.who, ME, api.get(ME))
        account = answer.text("id")
        if not account:
            raise unknown_shape(api.who, ME, "id is missing")
        return account

    def _costs(self, api: JsonApi, window: Window, notes: list[str]) -> Iterator[CostLine]:
        seen: set[tuple[UsageKey, str, str]] = set()
        for day, result in _results(api, COSTS, window, groups=("workspace_id", "description"), notes=notes):
            key = UsageKey(
                day, result.text("model"), result.text("token_type"), result.text("workspace_id"),
                result.text("service_tier"), result.text("context_window"), result.text("inference_geo"),
            )  # fmt: skip
            cents, currency = result.decimal("amount"), result.text("currency")
            if not isinstance(result.value("amount"), str) or not currency:
                raise result.lost("amount is not a text in cents with its currency")
            line = CostLine(
                key,
                result.text("description"),
                exact(cents.scaleb(-2)),
                currency.upper(),
                result.text("cost_type"),
            )
            place = (key, line.description, line.currency)
            if place in seen:
                raise result.lost(f"{line.description!r} of {day} comes twice")
            seen.add(place)
            yield line

    def _usage(self, api: JsonApi, window: Window, notes: list[str]) -> Mapping[UsageKey, int]:
        tokens: Counter[UsageKey] = Counter()
        groups = ("model", "workspace_id", "service_tier", "context_window", "inference_geo")
        try:
            for day, result in _results(api, USAGE, window, groups=groups, notes=[]):
                written = result.object("cache_creation")
                for name in TOKEN_WORDS:
                    head, _, inner = name.partition(".")
                    key = UsageKey(
                        day, result.text("model") or "unknown-model", name, result.text("workspace_id"),
                        result.text("service_tier"), result.text("context_window"), result.text("inference_geo"),
                    )  # fmt: skip
                    tokens[key] += written.count(inner) if inner else result.count(head)
        except (NotAllowed, NotFound) as error:
            notes.append(f"Usage could not be read: {error.message}")
            return {}
        return tokens


def _results(
    api: JsonApi, path: str, window: Window, *, groups: Sequence[str], notes: list[str]
) -> Iterator[tuple[date, Shape]]:
    params: Params = [
        ("starting_at", f"{window.since}T00:00:00Z"), ("ending_at", f"{window.until}T00:00:00Z"),
        ("bucket_width", "1d"), ("limit", "31"), *(("group_by[]", name) for name in groups),
    ]  # fmt: skip
    days: set[date] = set()
    for page in pages(api, path, params):
        for bucket in page.objects("data"):
            day = _day(bucket, window)
            if day in days:
                raise bucket.lost(f"the bucket of {day} comes twice")
            days.add(day)
            for result in bucket.objects("results"):
                yield day, result
    absent = (window.until - window.since).days - len(days)
    if absent > 1:
        notes.append(f"{absent} days between {window.since} and {window.until} have no bucket in {path}.")


def _day(bucket: Shape, window: Window) -> date:
    text = bucket.text("starting_at")
    try:
        start = datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        raise bucket.lost("starting_at is not an instant") from None
    if (start.hour, start.minute, start.second) != (0, 0, 0):
        raise bucket.lost("a bucket does not start at midnight UTC")
    if not window.since <= start.date() < window.until:
        raise bucket.lost(f"the bucket of {start.date()} was not asked for")
    return start.date()


def _joined(costs: Sequence[CostLine], usage: Mapping[UsageKey, int]) -> list[CostLine]:
    """First by inference geo where the cost line has one, and what is left without it."""
    lines = list(costs)
    by_geo = [Claim(line.key if line.key.geo and line.key.token_type else None) for line in lines]
    found, left = join(by_geo, usage)
    lines = [_counted(line, count) for line, count in zip(lines, found, strict=True)]
    rest: Counter[UsageKey] = Counter()
    for key in left:
        rest[key._replace(geo="")] += usage[key]
    claims = [
        Claim(line.key._replace(geo="") if line.tokens is None and _anywhere(line.key) else None)
        for line in lines
    ]
    found, left = join(claims, rest)
    lines = [_counted(line, count) for line, count in zip(lines, found, strict=True)]
    currency = lines[0].currency if lines else "USD"
    free = [CostLine(key, "", Decimal(0), currency, "tokens", rest[key], kind="usage") for key in left]
    return lines + free


def _anywhere(key: UsageKey) -> bool:
    """A line of tokens that is not about one place, so that usage of every place may be its own."""
    return bool(key.token_type) and key.geo in ("", "not_available")


def _counted(line: CostLine, count: int | None) -> CostLine:
    return line if count is None else replace(line, tokens=count)


def _row(line: CostLine, account: str) -> Row:
    key = line.key
    return {
        "anthropic_organization_id": account,
        "day": key.day.isoformat(),
        "next_day": (key.day + _DAY).isoformat(),
        "kind": line.kind,
        "line": line.text,
        "description": line.description,
        "cost_type": line.cost_type,
        "model": key.model,
        "token_type": key.token_type,
        "service_tier": key.tier,
        "context_window": key.context,
        "inference_geo": key.geo,
        "workspace_id": key.workspace,
        "cost": quantity_text(line.cost),
        "currency": line.currency,
        "tokens": "" if line.tokens is None else str(line.tokens),
    }
