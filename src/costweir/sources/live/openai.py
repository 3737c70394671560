"""OpenAI's organisation endpoints as a live source: costs are the money, usage gives tokens where costs do not.

Facts, from openai-python's generated types and recorded answers: `/v1/organization/costs` has daily buckets of at most
180 a page, groups by project_id, line_item and api_key_id, and amounts are numbers with up to 34 digits; newer answers
state `quantity` and `quantity_unit`. A line item reads `gpt-4o-mini-2024-07-18, cached input`, perhaps with
`priority | ` before and `, long context` behind. Not documented, and not relied on: how late the data is, whether
`input_tokens` has cache writes in it (then input tokens are left out), how cached audio is counted (audio tokens are
taken from costs only), and the id of the organisation in an answer (it is configured).
"""

from __future__ import annotations

import re
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
from costweir.sources.live.http import JsonApi, Params
from costweir.sources.live.joining import Claim, join
from costweir.sources.live.paging import pages
from costweir.sources.live.retry import Retry
from costweir.sources.live.rowfile import Row, write_months
from costweir.sources.live.shape import Shape
from costweir.sources.live.source import Checked, Fetched, Finding, Report, Window

COSTS = "/v1/organization/costs"
USAGE = "/v1/organization/usage/"
#: Usage endpoints, what they count, and the words of a line for it.
_COUNTED = (
    ("images", "images", "images", "Images"),
    ("audio_speeches", "characters", "speech characters", "Characters"),
    ("audio_transcriptions", "seconds", "transcription seconds", "Seconds"),
)
_LINE = re.compile(
    r"(?:(?P<tier>[a-z]+) \| )?(?P<model>[^\s,|]+), (?P<kind>input|output|cached input|cache writes)"
    r"(?P<long>, long context)?"
)
_TOKEN_UNITS = {"tokens": 1, "1000_tokens": 1000}
_DAY = timedelta(days=1)


class UsageKey(NamedTuple):
    """What usage is counted by."""

    day: date
    model: str
    kind: str
    project: str
    api_key: str


@dataclass(frozen=True, slots=True)
class CostLine:
    """One line of the cost report; `tokens` is None while they are not known."""

    day: date
    line_item: str
    project: str
    api_key: str
    cost: Decimal
    currency: str
    quantity: Decimal | None = None
    unit: str = ""
    tokens: Decimal | None = None
    kind: str = "cost"


@dataclass(frozen=True, slots=True)
class OpenAI:
    """One organisation.

    `key_env` names the environment variable of the admin key and `secret` reads it; the key stays in this process.
    `organization` is the account of the stored bill and must not change; empty means the name of the source.
    """

    id: str
    secret: Callable[[str], str | None] = field(repr=False)
    key_env: str = "OPENAI_ADMIN_KEY"
    organization: str = ""
    url: str = "https://api.openai.com"
    retry: Retry = field(default_factory=Retry)
    today: Callable[[], date] = utc_today

    @property
    def kind(self) -> str:
        """`openai`."""
        return "openai"

    @property
    def usual_lag(self) -> timedelta:
        """OpenAI states none; a day is taken as complete a day later."""
        return timedelta(hours=24)

    @property
    def account(self) -> str:
        """The account part of the replace key."""
        return self.organization or self.id

    def policy(self) -> str:
        """What kind of key is needed."""
        return (
            "Create an admin key at platform.openai.com: Settings, Organization, Admin keys (owners only).\n"
            "Permissions: Restricted, Usage API read (api.usage.read); nothing else is used.\n"
            f"Put it into the environment variable {self.key_env}; it is only sent to {self.url}, in GET requests.\n"
        )

    def check(self) -> Checked:
        """Asks for the costs of the last 31 days, which is free."""
        today = self.today()
        window = Window(today - timedelta(days=30), today + _DAY)
        try:
            api = self._api()
            lines = list(self._costs(api, window))
        except Error as error:
            return Checked((Finding.of(error),), self.account)
        findings = [Finding(ok=True, text=f"The key reads the costs of {self.account}.")]
        notes = list[str]()
        self._usage(api, Window(today, today + _DAY), notes)
        findings += [
            Finding(ok=False, text=note, hint="Costs are read without tokens until then.") for note in notes
        ]
        days = sorted({line.day for line in lines if line.cost})
        found = f"The last 31 days have {len(lines)} lines." if days else "The last 31 days have no costs."
        findings.append(Finding(ok=True, text=found))
        first, last = (days[0], days[-1]) if days else (None, None)
        return Checked(tuple(findings), self.account, rows=len(lines), first_day=first, last_day=last)

    def fetch(self, window: Window, *, into: Path, report: Report) -> Fetched:
        """See `Source.fetch`."""
        api = self._api()
        whole = whole_months(window, self.today())
        parts = list(by_month(whole))
        lines: list[CostLine] = []
        notes: list[str] = []
        for done, month in enumerate(parts):
            report(f"OpenAI: {month.since:%Y-%m}", done, len(parts))
            costs = list(self._costs(api, month))
            tokens, counted = self._usage(api, month, notes)
            lines += _joined(costs, tokens)
            lines += counted
        currencies = {line.currency for line in lines if line.kind == "cost"}
        files = write_months((self._row(line, currencies) for line in lines), into=into, stem="openai")
        return Fetched(
            tuple(files), "openai", whole,
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
        return JsonApi("OpenAI", self.url, {"Authorization": f"Bearer {key}"}, key, self.retry)

    def _costs(self, api: JsonApi, window: Window) -> Iterator[CostLine]:
        seen: set[tuple[date, str, str, str, str]] = set()
        groups = ("line_item", "project_id", "api_key_id")
        for day, result in _results(api, COSTS, window, groups):
            amount = result.object("amount")
            line = CostLine(
                day, result.text("line_item"), result.text("project_id"), result.text("api_key_id"),
                exact(amount.decimal("value")), amount.text("currency").upper(),
            )  # fmt: skip
            if not line.currency:
                raise result.lost("currency is missing")
            place = (day, line.line_item, line.project, line.api_key, line.currency)
            if place in seen:
                raise result.lost(f"{line.line_item!r} of {day} comes twice")
            seen.add(place)
            yield _with_quantity(line, result)

    def _usage(
        self, api: JsonApi, window: Window, notes: list[str]
    ) -> tuple[Mapping[UsageKey, int], list[CostLine]]:
        """Tokens by day, model, kind, project and key; and usage in other units as lines that cost nothing."""
        tokens: Counter[UsageKey] = Counter()
        counted: list[CostLine] = []
        groups = ("model", "project_id", "api_key_id")
        try:
            for day, result in _results(api, f"{USAGE}completions", window, groups):
                _add_completions(tokens, day, result)
            for day, result in _results(api, f"{USAGE}embeddings", window, groups):
                tokens[_usage_key(day, result, "input")] += result.count("input_tokens")
            for endpoint, name, words, unit in _COUNTED:
                for day, result in _results(api, USAGE + endpoint, window, groups):
                    if number := result.count(name):
                        counted.append(_free(_usage_key(day, result, words), Decimal(number), unit))
        except (NotAllowed, NotFound) as error:
            notes.append(f"Usage could not be read: {error.message}")
            return {}, []
        return tokens, counted

    def _row(self, line: CostLine, currencies: set[str]) -> Row:
        currency = line.currency or (min(currencies) if currencies else "USD")
        return {
            "openai_organization_id": self.account,
            "day": line.day.isoformat(),
            "next_day": (line.day + _DAY).isoformat(),
            "kind": line.kind,
            "line_item": line.line_item,
            "project_id": line.project,
            "api_key_id": line.api_key,
            "cost": quantity_text(line.cost),
            "currency": currency,
            "quantity": "" if line.quantity is None else quantity_text(line.quantity),
            "unit": line.unit,
            "tokens": "" if line.tokens is None else quantity_text(line.tokens),
        }


def _results(api: JsonApi, path: str, window: Window, groups: Sequence[str]) -> Iterator[tuple[date, Shape]]:
    params: Params = [
        ("start_time", _seconds(window.since)), ("end_time", _seconds(window.until)), ("bucket_width", "1d"),
        ("limit", "31"), *(("group_by[]", name) for name in groups),
    ]  # fmt: skip
    for page in pages(api, path, params):
        for bucket in page.objects("data"):
            day = _day(bucket, window)
            for result in bucket.objects("results"):
                yield day, result


def _seconds(day: date) -> str:
    return str(int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()))


def _day(bucket: Shape, window: Window) -> date:
    start = bucket.count("start_time")
    if start % 86400:
        raise bucket.lost("a bucket does not start at midnight UTC")
    day = datetime.fromtimestamp(start, UTC).date()
    if not window.since <= day < window.until:
        raise bucket.lost(f"the bucket of {day} was not asked for")
    return day


def _with_quantity(line: CostLine, result: Shape) -> CostLine:
    """The line with what it says about its own quantity, which older answers do not."""
    if result.fields.get("quantity") is None:
        return line
    quantity, unit = result.decimal("quantity"), result.text("quantity_unit")
    block = _TOKEN_UNITS.get(unit)
    return replace(line, quantity=quantity, unit=unit, tokens=quantity * block if block else None)


def _usage_key(day: date, result: Shape, kind: str) -> UsageKey:
    model = result.text("model") or "unknown-model"
    return UsageKey(day, model, kind, result.text("project_id"), result.text("api_key_id"))


def _add_completions(tokens: Counter[UsageKey], day: date, result: Shape) -> None:
    cached, written = result.count("input_cached_tokens"), result.count("input_cache_write_tokens")
    tokens[_usage_key(day, result, "cached input")] += cached
    tokens[_usage_key(day, result, "cache writes")] += written
    tokens[_usage_key(day, result, "output")] += result.count("output_tokens")
    if not written:
        tokens[_usage_key(day, result, "input")] += max(0, result.count("input_tokens") - cached)


def _joined(costs: Sequence[CostLine], tokens: Mapping[UsageKey, int]) -> list[CostLine]:
    claims = [Claim(_claimed(line), stated=line.tokens is not None) for line in costs]
    found, left = join(claims, tokens)
    lines = [
        line if count is None else replace(line, tokens=Decimal(count))
        for line, count in zip(costs, found, strict=True)
    ]
    # A key that several lines share is about the same tokens, once: as usage beside lines that keep none.
    return lines + [_free(key, Decimal(tokens[key]), "Tokens") for key in left]


def _claimed(line: CostLine) -> UsageKey | None:
    match = _LINE.fullmatch(line.line_item)
    return UsageKey(line.day, match["model"], match["kind"], line.project, line.api_key) if match else None


def _free(key: UsageKey, count: Decimal, unit: str) -> CostLine:
    tokens = count if unit == "Tokens" else None
    return CostLine(
        key.day, f"{key.model}, {key.kind}", key.project, key.api_key, Decimal(0), "",
        quantity=count, unit=unit, tokens=tokens, kind="usage",
    )  # fmt: skip
