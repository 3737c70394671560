"""`costweir prices`: what a token costs, since when, and what changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import click

from costweir.cli.frame import Group
from costweir.cli.output import columns, note, show_rows
from costweir.cli.session import open_desk, settings
from costweir.cli.values import DAY
from costweir.domain.money import decimal_text
from costweir.errors import UsageError

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


@prices.command("changes")
@click.option("--since", type=DAY, metavar="DAY", help="Changes since this day; the default is 30 days ago.")
@click.option("--all", "every", is_flag=True, help="Also changes of models that nobody used.")
def changes_(*, since: date | None, every: bool) -> None:
    """Show what changed in the book, whom it touches, and about how much that is a month.

    Whom it touches is told from the bills of the last 30 days.
    """
    from costweir.app.finance import price_changes

    with open_desk() as desk:
        told, answer = price_changes(
            desk.ask, _book(), since=since, today=datetime.now(UTC).date(), every=every
        )
    rows = cast("list[dict[str, object]]", told["rows"])
    extra = {name: value for name, value in told.items() if name != "rows"}
    shown = columns(
        "change", "provider", "model", "tier", "rates", ("effective", "since"), "customers",
        ("spent_usd", "spent in 30 days"), ("estimated_monthly_usd", "about, a month"),
    )  # fmt: skip
    show_rows("prices", rows, shown, extra=extra, empty=_nothing(told["changes"], told["since"]))
    if rows:
        note(f"An estimate. {told['assumption']}")
    for item in answer.excluded:
        note(f"left out: {item.text}")


@prices.command()
@click.option("--preview", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--apply", "apply", is_flag=True, help="Keep the changes as adjustments beside the calls.")
@click.option("--since", type=DAY, metavar="DAY", help="Calls from this day on.")
@click.option("--until", type=DAY, metavar="DAY", help="Calls before this day.")
@click.option("--model", "models", multiple=True, metavar="ID", help="Only this model; may be repeated.")
def rerate(
    *, preview: bool, apply: bool, since: date | None, until: date | None, models: tuple[str, ...]
) -> None:
    """Put the prices known now beside metered calls that had no price, and those whose price was corrected.

    The calls stay as they are. An adjustment counts on the day of its call, and says when it was made:
    `costweir ask call_adjustments --by read_on`.
    """
    from costweir.app.steward import open_steward

    if preview == apply:
        raise UsageError(
            "Say whether to look or to change.",
            hint="Give --preview to see what would change, or --apply to keep it.",
        )
    with open_steward(settings()) as steward:
        told = steward.rerate(since=since, until=until, models=models, look=preview)
    rows = cast("list[dict[str, object]]", told["rows"])
    shown = columns(
        "month", "provider", "model", "calls", ("unpriced_calls", "unpriced"), ("before_usd", "before"),
        ("after_usd", "after"), ("delta_usd", "change"), ("still_unpriced_calls", "still unpriced"),
    )  # fmt: skip
    extra = {**{name: value for name, value in told.items() if name != "rows"}, "preview": preview}
    show_rows("prices", rows, shown, extra=extra, empty="Every call has the price that is known now.")
    if rows:
        done = (
            "Nothing was changed."
            if preview
            else f"{told['calls']} calls were adjusted by {told['delta_usd']} USD."
        )
        note(f"{done} {told['assumption']}")


def _nothing(changes: object, since: object) -> str:
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
