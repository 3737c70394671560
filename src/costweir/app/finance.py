"""What finance asks that is more than one question: who pays what, and whom a change of prices touches. The command
line and the API show the same records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from costweir.domain.answer import Answer
from costweir.domain.money import decimal_text, quantity_text
from costweir.domain.period import Month
from costweir.insights.price_changes import ASSUMPTION, DAYS, Effect, Known, effects, uses_of
from costweir.insights.shared import Chargeback, Rule, charge_back, spent_of
from costweir.queries.request import Request

if TYPE_CHECKING:
    from costweir.config import Settings
    from costweir.prices.book import Book

Ask = Callable[[Request], Answer]
Record = dict[str, object]

UNIT = "USD per 1,000,000 tokens; per request, image or search where the name says so"


def shared_rules(settings: Settings) -> list[Rule]:
    """The shared costs of the settings, in their order."""
    return [Rule(row.name, row.match.model_dump(exclude_none=True), row.by) for row in settings.shared_costs]


def chargeback(
    ask: Ask, rules: list[Rule], month: Month, *, basis: str = "", currency: str = ""
) -> tuple[Chargeback, Answer]:
    """What each customer pays for a month, and the answer it was divided from."""
    request = Request(
        "spend", by=("customer", "service", "project"), since=month.first, until=month.following.first,
        basis=basis, currency=currency,
    )  # fmt: skip
    answer = ask(request)
    return charge_back(spent_of(answer), rules), answer


def price_changes(
    ask: Ask, book: Book, *, since: date | None, today: date, every: bool
) -> tuple[Record, Answer]:
    """What changed in the book since a day (30 days ago without one) and whom it touches by the bills of the last 30
    days, as `rows` beside `unit, since, until, changes, assumption, complete`; `every` keeps those that touch nobody.
    """
    start = since or today - timedelta(days=DAYS)
    found = book.diff(start, today)
    request = Request(
        "tokens", by=("customer", "provider", "model", "tier"), since=today - timedelta(days=DAYS), until=today,
        currency="USD",
    )  # fmt: skip
    answer = ask(request)
    listed = effects(found, uses_of(answer, _known(book, answer, today)))
    return {
        "rows": [_effect(effect) for effect in listed if every or effect.touches], "unit": UNIT,
        "since": start.isoformat(), "until": today.isoformat(), "changes": len(listed), "assumption": ASSUMPTION,
        "complete": answer.complete,
    }, answer  # fmt: skip


def _known(book: Book, answer: Answer, today: date) -> dict[tuple[str, str, str], Known | None]:
    """What the book has for every billed model of an answer."""
    found: dict[tuple[str, str, str], Known | None] = {}
    for row in answer.rows:
        provider, model, tier = (str(row[name]) for name in ("provider", "model", "tier"))
        word = "standard" if tier == "unknown" else tier
        rate = book.find(model, provider=provider, on=today, tier=word)
        found[provider, model, tier] = None if rate is None else Known(rate.provider, rate.model, rate.tier)
    return found


def _effect(effect: Effect) -> dict[str, object]:
    change = effect.change
    return {
        "change": change.change,
        "provider": change.provider,
        "model": change.model,
        "tier": change.tier,
        "routing": change.routing,
        "effective": _day(change.effective),
        "known_from": _day(change.known_from),
        "before": _amounts(change.before),
        "after": _amounts(change.after),
        "rates": [
            f"{name} {_text(change.before.get(name)) or 'none'} to {_text(change.after.get(name)) or 'none'}"
            for name in dict.fromkeys((*change.before, *change.after))
        ],
        "customers": len({touch.use.customer for touch in effect.touches}),
        "spent_usd": _text(effect.cost),
        "estimated_monthly_usd": _text(effect.monthly),
        "touches": [
            {
                "customer": touch.use.customer,
                "provider": touch.use.provider,
                "model": touch.use.model,
                "spent_usd": _text(touch.use.cost),
                "tokens": {name: quantity_text(count) for name, count in touch.use.tokens.items() if count},
                "estimated_monthly_usd": _text(touch.monthly),
            }
            for touch in effect.touches
        ],
        "evidence": change.evidence,
    }


def _amounts(rates: Mapping[str, Decimal]) -> dict[str, str]:
    return {f"{bucket}_usd": decimal_text(rate) for bucket, rate in rates.items()}


def _text(rate: Decimal | None) -> str | None:
    return None if rate is None else decimal_text(rate)


def _day(day: date) -> str | None:
    return None if day == date.min else day.isoformat()
