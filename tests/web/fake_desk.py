"""A desk over a small made-up world in memory, whose Answers keep the contract: rows + other = total."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property, lru_cache

from fake_office import FakeOffice

from costweir.domain.answer import Answer, Cell, Excluded
from costweir.domain.money import decimal_text, quantity_text
from costweir.domain.period import Period
from costweir.errors import Error, UsageError
from costweir.queries.request import Request

TODAY = date(2026, 11, 18)
FIRST = date(2026, 5, 1)
LAG = {"aws": 2, "gcp": 1, "azure": 2, "anthropic": 1, "openai": 5}
SOURCES = {
    "aws": "aws-cur2",
    "gcp": "gcp-export",
    "azure": "azure-export",
    "anthropic": "focus",
    "openai": "openai-usage",
}
CUSTOMERS = (
    ("kestrel-legal", "Kestrel Legal", "tier_1"), ("blue-heron", "Blue Heron Health", "tier_3"),
    ("tidewater", "Tidewater Freight", "tier_2"), ("aster-bank", "Aster Bank", "tier_3"),
    ("quarry", "Quarry & Co <Ltd>", "tier_1"), ("fjord", "Fjord Analytics", "tier_2"),
    ("alder", "Alder Dental", "tier_1"), ("elmgrove", "Elmgrove Vets", "tier_1"),
    ("=cmd|'x'!A1", "=cmd|'x'!A1", "tier_2"),
    ("dovetail", "Dovetail Joinery", "tier_1"),
)  # fmt: skip
PLANS = {
    "tier_1": ("Starter", "49", "8"),
    "tier_2": ("Team", "99", "18"),
    "tier_3": ("Business", "199", "35"),
}
MODELS = (
    ("aws", "claude-sonnet-4-6", "Amazon Bedrock", "3.1"), ("gcp", "gemini-2.5-pro", "Vertex AI", "2.4"),
    ("azure", "gpt-4o-mini", "Azure OpenAI", "1.1"), ("openai", "gpt-4o", "OpenAI API", "1.9"),
    ("anthropic", "claude-opus-4-1", "Claude API", "4.2"), ("aws", "nova-2-lite", "Amazon Bedrock", "0.4"),
    ("gcp", "gemini-2.5-flash", "Vertex AI", "0.5"), ("azure", "unknown", "Azure OpenAI", "0.05"),
)  # fmt: skip
CLASSES = (
    ("input", "0.5"),
    ("output", "0.3"),
    ("cache_read", "0.05"),
    ("cache_write", "0.1"),
    ("image", "0.05"),
)
FEATURES = ("assistant", "documents", "search")
DIMENSIONS = (
    "provider", "service", "model", "token_class", "customer", "project", "feature", "plan", "day", "month",
)  # fmt: skip
Fact = dict[str, str | Decimal]


def _share(text: str) -> Decimal:
    return Decimal(zlib.crc32(text.encode()) % 1000) / 1000


def _facts_of(day: date) -> Iterable[Fact]:
    weekend = Decimal("0.35") if day.weekday() >= 5 else Decimal(1)
    growth = 1 + Decimal((day - FIRST).days) / 400
    for place, (provider, model, service, size) in enumerate(MODELS):
        if day > TODAY - timedelta(days=LAG[provider]) or (
            model == "nova-2-lite" and day < date(2026, 11, 3)
        ):
            continue
        for token_class, weight in CLASSES:
            for number in range(2):
                spot = (place * 3 + number * 7 + day.toordinal()) % (len(CUSTOMERS) + 1)
                customer = CUSTOMERS[spot][0] if spot < len(CUSTOMERS) else "untagged"
                wobble = Decimal("0.8") + _share(f"{day}{model}{number}") * Decimal("0.4")
                cost = Decimal(size) * Decimal(weight) * weekend * growth * wobble / 2
                tokens = Decimal(0) if token_class == "image" else (cost * 310_007).quantize(Decimal(1))
                yield {
                    "provider": provider, "service": service, "model": model, "token_class": token_class,
                    "customer": customer, "project": "untagged", "feature": FEATURES[number],
                    "plan": CUSTOMERS[spot][2] if spot < len(CUSTOMERS) else "untagged",
                    "day": day.isoformat(), "month": day.isoformat()[:7], "source": SOURCES[provider],
                    "account": f"{provider}-1", "usage_type": f"{model}-{token_class}", "unit": "1K tokens",
                    "cost": cost.quantize(Decimal("0.000000001")), "tokens": tokens,
                }  # fmt: skip


@lru_cache
def world() -> tuple[Fact, ...]:
    """Every line from FIRST to TODAY, late ones missing."""
    days = (FIRST + timedelta(days=step) for step in range((TODAY - FIRST).days + 1))
    return tuple(fact for day in days for fact in _facts_of(day))


#: Answers do not change, and adding up decimals takes its time.
_KEPT: dict[str, Answer] = {}
Measure = Callable[[Sequence[Fact]], dict[str, Cell]]


def _sum(facts: Iterable[Fact], name: str = "cost", **only: str) -> Decimal:
    kept = (fact for fact in facts if all(fact[key] == value for key, value in only.items()))
    return sum((Decimal(fact[name]) for fact in kept), Decimal(0))


def _plain(facts: Sequence[Fact]) -> dict[str, Cell]:
    return {"tokens": quantity_text(_sum(facts, "tokens")), "lines": len(facts)}


def _ratio(part: Decimal, whole: Decimal, times: int = 1) -> str | None:
    return None if whole == 0 else quantity_text((part * times / whole).quantize(Decimal("0.000000000001")))


def _unit(facts: Sequence[Fact]) -> dict[str, Cell]:
    tokens = _sum(facts, "tokens")
    billed = [fact for fact in facts if fact["tokens"]]
    price = _ratio(_sum(billed), tokens, 1000) if tokens >= 1000 else None
    return {**_plain(facts), "token_cost": decimal_text(_sum(billed)), "cost_per_1k_tokens": price}


def _models(facts: Sequence[Fact]) -> dict[str, Cell]:
    row: dict[str, Cell] = {**_unit(facts), "customers": len({fact["customer"] for fact in facts})}
    for name in ("input", "output", "cache_read", "cache_write"):
        cost, tokens = _sum(facts, token_class=name), _sum(facts, "tokens", token_class=name)
        row[f"{name}_cost"], row[f"{name}_tokens"] = decimal_text(cost), quantity_text(tokens)
        row[f"{name}_cost_per_1k_tokens"] = _ratio(cost, tokens, 1000)
    row["other_cost"] = decimal_text(_sum(facts, token_class="image"))
    return row


def _customers(facts: Sequence[Fact]) -> dict[str, Cell]:
    days = len({fact["day"] for fact in facts})
    return {**_plain(facts), "active_days": days, "cost_per_active_day": _ratio(_sum(facts), Decimal(days))}


def _margin(facts: Sequence[Fact]) -> dict[str, Cell]:
    months = len({str(fact["month"]) for fact in facts})
    paying = {str(fact["customer"]): str(fact["plan"]) for fact in facts if fact["plan"] != "untagged"}
    revenue = sum((Decimal(PLANS[plan][1]) * months for plan in paying.values()), Decimal(0))
    margin = revenue - _sum(facts)
    return {
        "revenue_usd": decimal_text(revenue), "full_revenue_usd": decimal_text(revenue * 2),
        "margin_usd": decimal_text(margin), "paying_customers": len(paying), "margin_share": _ratio(margin, revenue),
    }  # fmt: skip


def _untagged(facts: Sequence[Fact]) -> dict[str, Cell]:
    row: dict[str, Cell] = {}
    for name in ("customer", "project", "feature"):
        cost = sum((Decimal(fact["cost"]) for fact in facts if fact[name] == "untagged"), Decimal(0))
        row[f"untagged_{name}_cost"] = decimal_text(cost)
        row[f"untagged_{name}_share"] = _ratio(cost, _sum(facts))
    return row


def _complete_to(source: str) -> str:
    provider = next(name for name, reader in SOURCES.items() if reader == source)
    return (TODAY - timedelta(days=LAG[provider] - 1)).isoformat()


def _health(facts: Sequence[Fact]) -> dict[str, Cell]:
    source = str(facts[0]["source"])
    late = source == "openai-usage"
    return {
        "last_load": "2026-11-18T06:10:00Z", "complete_to": _complete_to(source), "months": 13,
        "rows_in": len(facts) + 40, "rows_stored": len(facts), "rows_skipped": 37, "rows_quarantined": 3,
        "late": late, "sample": False,
    }  # fmt: skip


def _unknown(facts: Sequence[Fact]) -> dict[str, Cell]:
    return {"lines": len(facts), "last_day": max(str(fact["day"]) for fact in facts), "quantity": "12"}


#: What a mapping matches a line by, which here is what stands on the bill.
LINES = {"line_service": "service", "line_text": "usage_type", "line_unit": "unit"}


@dataclass
class FakeDesk:
    """Implements `costweir.web.desk.Desk`. `broken` questions raise; `asked` keeps every request."""

    empty: bool = False
    sample: bool = True
    broken: Mapping[str, Error] = field(default_factory=dict[str, Error])
    asked: list[Request] = field(default_factory=list[Request])

    def questions(self) -> Sequence[Mapping[str, object]]:
        names = (
            "spend",
            "unit_cost",
            "models",
            "customers",
            "margin",
            "data_health",
            "unknown_skus",
            "untagged",
        )
        return [{"id": name, "title": name, "dimensions": list(DIMENSIONS), "params": []} for name in names]

    def ask(self, request: Request) -> Answer:
        self.asked.append(request)
        if request.question in self.broken:
            raise self.broken[request.question]
        if request.by == ("key",):
            # None of these lines came through the gateway.
            return replace(self.ask(replace(request, by=())), rows=())
        for name in (*request.by, *request.where):
            if name not in (*DIMENSIONS, "source", "account", "usage_type", "unit", *LINES):
                raise UsageError(
                    f"{name!r} is not a dimension.", hint=f"Valid here: {', '.join(DIMENSIONS)}."
                )

        def facts() -> list[Fact]:
            return [] if self.empty else _select(request)

        defaults = {"margin": ("plan",), "data_health": ("provider", "source", "account"),
                    "models": ("model",),
                    "customers": ("customer",), "unknown_skus": ("provider", "service", "usage_type", "unit"),
                    "untagged": ("provider",), "unit_cost": ("model",)}  # fmt: skip
        by = request.by or defaults.get(request.question, ())
        measures: dict[str, Measure] = {
            "spend": _plain, "unit_cost": _unit, "models": _models, "customers": _customers,
            "margin": _margin, "data_health": _health, "unknown_skus": _unknown,
            "untagged": _untagged,
        }  # fmt: skip
        key = repr((self.empty, request))
        if key not in _KEPT:
            _KEPT[key] = _answer(request, facts(), by, measures[request.question])
        return _KEPT[key]

    def runs(self, *, limit: int = 100) -> Sequence[Mapping[str, object]]:
        if self.empty:
            return []
        return [
            {
                "run_id": f"r{number}", "source": SOURCES[provider], "account": f"{provider}-1",
                "period": "2026-11",
                "status": ("loaded", "unchanged", "quarantined", "failed")[number % 4], "rows_in": 1200,
                "rows_stored": 1100, "rows_skipped": 97, "rows_quarantined": 3,
                "billed_total": {"amount": "412.06", "currency": "USD"}, "note": "",
                "started_at": "2026-11-18T06:10:00Z", "finished_at": "2026-11-18T06:10:04Z",
            }
            for number, provider in enumerate(LAG)
        ][:limit]  # fmt: skip

    def quarantine(self, *, run_id: str = "", limit: int = 100) -> Sequence[Mapping[str, object]]:
        if self.empty:
            return []
        row = {"run_id": "r2", "source": "aws-cur2", "account": "aws-1", "period": "2026-11",
               "file": "cur-00001.csv.gz", "row_number": 4711,
               "reason": "lineItem/UnblendedCost is not a number", "raw": "<b>7,1</b>;" * 40}  # fmt: skip
        return [row][:limit]

    @cached_property
    def office(self) -> FakeOffice:
        """What people set; made when it is first needed."""
        return FakeOffice(CUSTOMERS, PLANS)

    def customers(self) -> Sequence[Mapping[str, object]]:
        return [row.to_json() for row in self.office.control.customers()]

    def plans(self) -> Sequence[Mapping[str, object]]:
        return [row.to_json() for row in self.office.control.plans()]

    def budgets(self) -> Sequence[Mapping[str, object]]:
        return [
            {"id": "firm-month", "scope": {}, "limit_usd": "520.00", "window": "month"},
            {"id": "aster", "scope": {"customer": "aster-bank"}, "limit_usd": "30.00", "window": "month"},
            {"id": "fjord-day", "scope": {"customer": "fjord"}, "limit_usd": "2.00", "window": "day"},
        ]  # fmt: skip

    def connections(self) -> Sequence[Mapping[str, object]]:
        if self.empty:
            return []
        row = {"kind": "aws-ce", "enabled": True, "every": "6h", "last_success": "2026-11-18T06:10:00.000Z",
               "last_attempt": "2026-11-18T06:10:00.000Z", "note": "", "hint": "", "failures": 0}  # fmt: skip
        broken = {"note": "The key is not valid any more.", "hint": "Make a new one.", "last_success": ""}
        return [
            {**row, "id": "main-account", "status": "ok"},
            {**row, **broken, "id": "claude", "kind": "anthropic", "status": "failed", "failures": 3},
            {**row, "id": "old", "enabled": False, "status": "", "last_attempt": "", "last_success": ""},
        ]

    def views(self) -> Sequence[Mapping[str, object]]:
        return [view.to_json() for view in self.office.control.views()]

    @property
    def saved(self) -> dict[str, str]:
        """The links of the saved views by name."""
        return {view.name: view.link for view in self.office.control.views()}

    def status(self) -> Mapping[str, object]:
        months = [] if self.empty else [f"2026-{number:02d}" for number in range(5, 12)]  # fmt: skip
        return {
            "version": "0.1.0", "today": TODAY.isoformat(), "sample": self.sample and not self.empty,
            "empty": self.empty, "months": months,
        }  # fmt: skip


def _select(request: Request) -> list[Fact]:
    since = request.since.isoformat() if request.since else ""
    until = request.until.isoformat() if request.until else "9"
    where = {name: set(values) for name, values in request.where.items()}
    if request.question == "unknown_skus":
        where["model"] = {"unknown"}
    return [
        fact
        for fact in world()
        if since <= str(fact["day"]) < until and all(fact[name] in values for name, values in where.items())
    ]


def _answer(request: Request, facts: list[Fact], by: Sequence[str], measure: Measure) -> Answer:
    basis = request.basis or "billed"
    groups: dict[tuple[str, ...], list[Fact]] = {}
    for fact in facts:
        groups.setdefault(tuple(str(fact[LINES.get(name, name)]) for name in by), []).append(fact)
    total = _sum(facts)
    rows: list[dict[str, Cell]] = []
    for key, group in groups.items():
        cost = _sum(group)
        row: dict[str, Cell] = dict(zip(by, key, strict=True))
        row |= {f"{basis}_cost": decimal_text(cost), "share": _ratio(cost, total), **measure(group)}
        rows.append(row)
    rows.sort(key=lambda row: (-Decimal(str(row[f"{basis}_cost"])), *(str(row[name]) for name in by)))
    if "day" in by:
        rows.sort(key=lambda row: str(row["day"]))
    shown = rows[: request.limit] if request.limit else rows
    inside = sum((Decimal(str(row[f"{basis}_cost"])) for row in shown), Decimal(0))
    return Answer(
        query_id="q_0123456789abcdef", question=request.question, basis=basis, currency="USD",
        period=Period(request.since, request.until), rows=tuple(shown), total=decimal_text(total),
        other=decimal_text(total - inside),
        excluded=(Excluded("quarantined", "3 lines could not be read.", rows=3),) if facts else (),
        as_of=dict.fromkeys(SOURCES.values(), "2026-11-18T06:10:00Z") if facts else {},
        complete_to={source: _complete_to(source) for source in SOURCES.values()} if facts else {},
        complete=False, notes=("This is a made-up world.",),
    )  # fmt: skip
