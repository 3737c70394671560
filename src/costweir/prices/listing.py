"""The price book as rows for `costweir prices list|show|diff`: texts only, money as decimal strings in
USD."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, cast

from costweir.domain.money import decimal_text
from costweir.prices.book import Book
from costweir.prices.rate import ALWAYS
from costweir.prices.resolve import buckets
from costweir.prices.table import Row

#: What a rate of a bucket is for, for headings.
UNITS: Mapping[int, str] = {1_000_000: "1M", 3600: "hour", 1: "each"}


def _day(day: date) -> str | None:
    return None if day == ALWAYS else day.isoformat()


def _texts(rates: Mapping[str, Decimal]) -> dict[str, str]:
    return {f"{name}_usd": decimal_text(rates[name]) for name in buckets() if name in rates}


def prices_rows(book: Book, *, on: date, provider: str = "", match: str = "") -> list[dict[str, object]]:
    """One row per model, tier and routing in force on a day: `provider, model, tier, routing, effective,
    known_from, input_usd, cache_read_usd, cache_write_usd, output_usd, other_usd, source, evidence,
    price_version`.

    The first four rates are per 1,000,000 tokens and null when there is none; `other_usd` maps the rest.
    `effective` is null for a price whose first day is not known.
    """
    main = ("input_usd", "cache_read_usd", "cache_write_usd", "output_usd")
    rows: list[dict[str, object]] = []
    for rate in book.list(provider=provider, match=match, on=on):
        texts = _texts(rate.rates)
        rows.append(
            {
                "provider": rate.provider,
                "model": rate.model,
                "tier": rate.tier,
                "routing": rate.routing,
                "effective": _day(rate.effective),
                "known_from": _day(rate.known_from),
                **{name: texts.pop(name, None) for name in main},
                "other_usd": texts,
                "source": rate.source,
                "evidence": rate.evidence,
                "price_version": rate.version,
            }
        )
    return rows


def show_rows(book: Book, model: str, *, provider: str = "") -> list[dict[str, object]]:
    """Everything ever learned about a model, one row per bucket and context band, oldest first: `provider,
    model, context_tokens, tier, routing, hours, above_tokens, bucket, unit, rate_usd, effective, known_from,
    ended, source, evidence, price_version`. NotFound when no list knows the model."""
    entry = book.show(model, provider=provider)
    rows: list[dict[str, object]] = []
    for row in cast("Sequence[Row]", entry["rows"]):
        for above, bucket, rate in _bands(row):
            rows.append(
                {
                    "provider": entry["provider"],
                    "model": row.model,
                    "context_tokens": entry["context_tokens"],
                    "tier": row.key.tier,
                    "routing": row.key.routing,
                    "hours": row.key.hours,
                    "above_tokens": above,
                    "bucket": bucket,
                    "unit": UNITS[buckets()[bucket].per] if bucket else "",
                    "rate_usd": rate,
                    "effective": _day(row.effective),
                    "known_from": _day(row.known_from),
                    "ended": row.ended,
                    "source": row.source,
                    "evidence": row.evidence,
                    "price_version": row.version,
                }
            )
    return rows


def _bands(row: Row) -> Iterator[tuple[int, str, str | None]]:
    if row.ended:
        yield 0, "", None
    for above, rates in ((0, row.rates), *row.bands):
        for bucket in buckets():
            if bucket in rates:
                yield above, bucket, decimal_text(Decimal(rates[bucket]))


def diff_rows(book: Book, *, since: date, until: date) -> list[dict[str, Any]]:
    """One row per changed bucket: `change (new|changed|ended), provider, model, tier, bucket, before_usd,
    after_usd, effective, known_from, evidence`; a side without a rate is null. UsageError when `since` is
    after `until`."""
    rows: list[dict[str, Any]] = []
    for change in book.diff(since, until):
        for bucket in buckets():
            if bucket not in change.before and bucket not in change.after:
                continue
            before, after = change.before.get(bucket), change.after.get(bucket)
            rows.append(
                {
                    "change": change.change,
                    "provider": change.provider,
                    "model": change.model,
                    "tier": change.tier,
                    "bucket": bucket,
                    "before_usd": None if before is None else decimal_text(before),
                    "after_usd": None if after is None else decimal_text(after),
                    "effective": _day(change.effective),
                    "known_from": _day(change.known_from),
                    "evidence": change.evidence,
                }
            )
    return rows
