"""`costweir prices`: what a token costs, since when, and what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from costweir.cli.frame import Group
from costweir.cli.output import columns, note, show_rows
from costweir.cli.session import settings
from costweir.cli.values import DAY

if TYPE_CHECKING:
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


def _book() -> Book:
    from costweir.prices.book import Book

    own: Sequence[Mapping[str, object]] = [
        price.model_dump(mode="json", exclude_none=True) for price in settings().prices
    ]
    return Book.load(overrides=own)


def _amounts(rates: Mapping[str, Decimal]) -> dict[str, str]:
    from costweir.domain.money import decimal_text

    return {f"{bucket}_usd": decimal_text(rate) for bucket, rate in rates.items()}


def _exact(rates: Mapping[str, str]) -> dict[str, Decimal]:
    return {bucket: Decimal(text) for bucket, text in rates.items()}


def _text(rate: Decimal | None) -> str | None:
    from costweir.domain.money import decimal_text

    return None if rate is None else decimal_text(rate)


def _day(day: date) -> str | None:
    return None if day == date.min else day.isoformat()
