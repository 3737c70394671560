"""`costweir prices`: what a token costs, since when, and what changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from costweir.cli.frame import Group
from costweir.cli.output import columns, note, show_rows
from costweir.cli.session import open_desk, settings
from costweir.cli.values import DAY
from costweir.domain.money import decimal_text, quantity_text
from costweir.errors import UsageError

if TYPE_CHECKING:
    from costweir.domain.answer import Answer
    from costweir.insights.price_changes import Effect, Known
    from costweir.prices.book import Book

UNIT = "USD per 1,000,000 tokens; per request, image or search where the name says so"


@click.group(cls=Group)
def prices() -> None:
    """Show the price book."""


@prices.command("list")
@click.option("--provider", default="", metavar="ID", help="Only this provider.")
@click.option("--model", "match", default="", metavar="TEXT", help="Only models with this in their name.")
@click.option("--on", type=DAY, metavar="DAY", help="The prices of this day; the default is today.")
def list_(*, provider: str, match: str, on: date | None) -> None:
    """List the prices of a day."""
    rows = [
        {
            "provider": rate.provider,
            "model": rate.model,
            "tier": rate.tier,
            "routing": rate.routing,
            "effective": _day(rate.effective),
            "known_from": _day(rate.known_from),
            **_amounts(rate.rates),
            "source": rate.source,
            "price_version": rate.version,
        }
        for rate in _book().list(provider=provider, match=match, on=on or datetime.now(UTC).date())
    ]
    shown = columns(
        "provider",
        "model",
        "tier",
        ("input_usd", "input"),
        ("output_usd", "output"),
        ("cache_read_usd", "cache read"),
        ("cache_write_usd", "cache write"),
        ("effective", "since"),
    )
    show_rows("prices", rows, shown, extra={"unit": UNIT}, empty="No price matches.")
    note(UNIT) if rows else None


@prices.command()
@click.argument("model")
@click.option("--provider", default="", metavar="ID", help="As billed by this provider.")
def show(*, model: str, provider: str) -> None:
    """Show every price of a model that was ever learned, newest last."""
    entry: Mapping[str, Any] = _book().show(model, provider=provider)
    rows = [
        {
            "model": row.model,
            "tier": row.key.tier,
            "routing": row.key.routing,
            "hours": row.key.hours,
            "effective": _day(row.effective),
            "known_from": _day(row.known_from),
            "ended": row.ended,
            **_amounts({name: Decimal(text) for name, text in row.rates.items()}),
            "bands": [{"above": above, **_amounts(_exact(rates))} for above, rates in row.bands],
            "source": row.source,
            "evidence": row.evidence,
            "price_version": row.version,
        }
        for row in entry["rows"]
    ]
    extra = {name: entry[name] for name in ("provider", "model", "context_tokens")} | {"unit": UNIT}
    shown = columns(
        "model",
        "tier",
        ("effective", "since"),
        ("known_from", "learned"),
        ("input_usd", "input"),
        ("output_usd", "output"),
        ("cache_read_usd", "cache read"),
        ("cache_write_usd", "cache write"),
    )
    show_rows("prices", rows, shown, extra=extra)
    note(f"{entry['provider']}: {UNIT}")


@prices.command()
@click.option("--since", type=DAY, required=True, metavar="DAY", help="The book as it stood on this day.")
@click.option("--until", type=DAY, metavar="DAY", help="And on this day; the default is today.")
def diff(*, since: date, until: date | None) -> None:
    """Show what changed between two days."""
    changes = _book().diff(since, until or datetime.now(UTC).date())
    rows: list[dict[str, object]] = [
        {
            "change": change.change,
            "provider": change.provider,
            "model": change.model,
            "tier": change.tier,
            "bucket": bucket,
            "before_usd": _text(change.before.get(bucket)),
            "after_usd": _text(change.after.get(bucket)),
            "effective": _day(change.effective),
            "known_from": _day(change.known_from),
            "evidence": change.evidence,
        }
        for change in changes
        for bucket in sorted(change.before.keys() | change.after.keys())
    ]
    shown = columns(
        "change",
        "provider",
        "model",
        "tier",
        "bucket",
        ("before_usd", "before"),
        ("after_usd", "after"),
        "effective",
    )
    show_rows("prices", rows, shown, extra={"unit": UNIT}, empty="No price changed.")


@prices.command("changes")
@click.option("--since", type=DAY, metavar="DAY", help="Changes since this day; the default is 30 days ago.")
@click.option("--all", "every", is_flag=True, help="Also changes of models that nobody used.")
def changes_(*, since: date | None, every: bool) -> None:
    """Show what changed in the book, whom it touches, and about how much that is a month.

    Whom it touches is told from the bills of the last 30 days.
    """
    from costweir.insights.price_changes import ASSUMPTION, DAYS, effects, uses_of
    from costweir.queries.request import Request

    today = datetime.now(UTC).date()
    start = since or today - timedelta(days=DAYS)
    book = _book()
    found = book.diff(start, today)
    request = Request(
        "tokens", by=("customer", "provider", "model", "tier"), since=today - timedelta(days=DAYS), until=today,
        currency="USD",
    )  # fmt: skip
    with open_desk() as desk:
        answer = desk.ask(request)
    listed = effects(found, uses_of(answer, _known(book, answer, today)))
    rows = [_effect(effect) for effect in listed if every or effect.touches]
    extra: dict[str, object] = {
        "unit": UNIT, "since": start.isoformat(), "until": today.isoformat(), "changes": len(listed),
        "assumption": ASSUMPTION, "complete": answer.complete,
    }  # fmt: skip
    shown = columns(
        "change", "provider", "model", "tier", "rates", ("effective", "since"), "customers",
        ("spent_usd", "spent in 30 days"), ("estimated_monthly_usd", "about, a month"),
    )  # fmt: skip
    show_rows("prices", rows, shown, extra=extra, empty=_nothing(len(listed), start))
    if rows:
        note(f"An estimate. {ASSUMPTION}")
    for item in answer.excluded:
        note(f"left out: {item.text}")


@prices.command()
@click.option("--preview", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--since", type=DAY, metavar="DAY", help="Calls from this day on.")
@click.option("--until", type=DAY, metavar="DAY", help="Calls before this day.")
@click.option("--model", "models", multiple=True, metavar="ID", help="Only this model; may be repeated.")
def rerate(*, preview: bool, since: date | None, until: date | None, models: tuple[str, ...]) -> None:
    """Show what metered calls would cost at the prices known now: those without a price, and those whose price was
    corrected.

    Stored costs stay as they are; this version has a preview only.
    """
    from costweir.app.rerate import ASSUMPTION, request_for
    from costweir.app.rerate import preview as look

    if not preview:
        raise UsageError(
            "Costs of calls that are stored cannot be changed in this version.",
            hint="Give --preview to see what they would be.",
        )
    with open_desk() as desk:
        answer = desk.ask(request_for(since, until, models))
    rows = [
        {
            "month": item.month,
            "provider": item.provider,
            "model": item.model,
            "calls": item.calls,
            "unpriced_calls": item.unpriced_before,
            "before_usd": decimal_text(item.before),
            "after_usd": decimal_text(item.after),
            "delta_usd": decimal_text(item.delta),
            "still_unpriced_calls": item.unpriced_after,
            "missing": list(item.missing),
        }
        for item in look(answer, _book())
    ]
    shown = columns(
        "month", "provider", "model", "calls", ("unpriced_calls", "unpriced"), ("before_usd", "before"),
        ("after_usd", "after"), ("delta_usd", "change"), ("still_unpriced_calls", "still unpriced"),
    )  # fmt: skip
    extra = {"assumption": ASSUMPTION, "preview": True}
    show_rows("prices", rows, shown, extra=extra, empty="Every call has the price that is known now.")
    note(f"Nothing was changed. {ASSUMPTION}") if rows else None


def _known(book: Book, answer: Answer, today: date) -> dict[tuple[str, str, str], Known | None]:
    """What the book has for every billed model of an answer."""
    from costweir.insights.price_changes import Known

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


def _nothing(changes: int, since: date) -> str:
    if not changes:
        return f"No price changed since {since}."
    return f"{changes} prices changed since {since}, none of a model that was used; --all shows them."


def _book() -> Book:
    from costweir.prices.book import Book

    own: list[Mapping[str, object]] = [
        price.model_dump(mode="json", exclude_none=True) for price in settings().prices
    ]
    return Book.load(overrides=own)


def _amounts(rates: Mapping[str, Decimal]) -> dict[str, str]:
    return {f"{bucket}_usd": decimal_text(rate) for bucket, rate in rates.items()}


def _exact(rates: Mapping[str, str]) -> dict[str, Decimal]:
    return {bucket: Decimal(text) for bucket, text in rates.items()}


def _text(rate: Decimal | None) -> str | None:
    return None if rate is None else decimal_text(rate)


def _day(day: date) -> str | None:
    return None if day == date.min else day.isoformat()
