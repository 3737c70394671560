"""What metered calls would cost at the prices known now, and the adjustments that make it so (law L6).

Calls that have no price are never taken for free (law L5): where the book still knows none, they stay unpriced. A call
itself is never changed; an adjustment stands beside it, on the day of the call and with the day it was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal

from costweir.domain.answer import Answer, Cell
from costweir.domain.money import EXACT, decimal_text
from costweir.domain.usage import Usage
from costweir.prices.book import Book
from costweir.prices.rate import Priced, Terms
from costweir.queries.priced_calls import PricedCall, priced_calls
from costweir.queries.request import Request
from costweir.store.warehouse import Value, Warehouse

#: Outcomes whose tokens a provider bills; a refused call and one from the response cache cost nothing.
BILLED = ("ok", "error", "aborted")
#: Bucket of a `Usage` for each measure of the question `call_prices`.
BUCKETS: Mapping[str, str] = {
    "input_tokens": "input", "cache_read_tokens": "cache_read", "cache_write_tokens": "cache_write",
    "cache_write_1h_tokens": "cache_write_1h", "input_audio_tokens": "input_audio",
    "input_image_tokens": "input_image", "output_tokens": "output", "reasoning_tokens": "reasoning",
    "output_audio_tokens": "output_audio", "output_image_tokens": "output_image",
}  # fmt: skip
#: The thresholds that `call_prices` tells apart: every one that a shipped price depends on.
CLASSES = (0, 32_000, 100_000, 128_000, 199_999, 200_000, 256_000, 272_000, 512_000, 524_288)
#: More input tokens than any model takes.
_MOST = 10**9
ASSUMPTION = (
    "Calls do not say their tier and routing, so standard prices are taken, and the highest of a day where a price"
    " depends on the hour."
)


@dataclass(frozen=True, slots=True)
class Rerated:
    """Calls of one month and model whose price would change. Amounts are US dollars; `before` and `after` are over the
    calls that have a price then, `unpriced_before` and `unpriced_after` count those that have none."""

    month: str
    provider: str
    model: str
    calls: int
    before: Decimal
    after: Decimal
    unpriced_before: int
    unpriced_after: int
    missing: tuple[str, ...] = ()

    @property
    def delta(self) -> Decimal:
        """After minus before."""
        return EXACT.subtract(self.after, self.before)

    def to_json(self) -> dict[str, object]:
        """All fields; amounts as decimal strings."""
        return {
            "month": self.month, "provider": self.provider, "model": self.model, "calls": self.calls,
            "unpriced_calls": self.unpriced_before, "before_usd": decimal_text(self.before),
            "after_usd": decimal_text(self.after), "delta_usd": decimal_text(self.delta),
            "still_unpriced_calls": self.unpriced_after, "missing": list(self.missing),
        }  # fmt: skip


def request_for(since: date | None, until: date | None, models: Iterable[str] = ()) -> Request:
    """What to ask for a preview: the calls that a provider billed, by day, provider and model."""
    where = {"outcome": BILLED, **({"model": tuple(models)} if models else {})}
    return Request("call_prices", by=("day", "provider", "model"), where=where, since=since, until=until)


def preview(answer: Answer, book: Book, *, known_on: date | None = None) -> list[Rerated]:
    """The calls whose price would change with what the book knows on `known_on` (now when absent), largest change
    first.

    A call is left alone when its usage is unknown, or when its cost was reported and not priced by a book.
    """
    changed = (_rerated(row, book, known_on) for row in answer.rows)
    return together(item for item in changed if item is not None)


def _rerated(row: Mapping[str, Cell], book: Book, known_on: date | None) -> Rerated | None:
    calls, unpriced = _count(row["calls"]), _count(row["unpriced_calls"])
    priced = _priced_anew(row, book, known_on)
    if priced is None or (priced.amount is None and not unpriced):
        return None
    before = Decimal(str(row["metered_cost"]))
    # a price that the book does not know any more still stood when the call was made
    after = priced.amount if priced.amount is not None else before
    if not unpriced and after == before:
        return None
    return Rerated(
        str(row["day"])[:7], str(row["provider"]), str(row["model"]), calls, before, after, unpriced,
        unpriced if priced.amount is None else 0, priced.missing,
    )  # fmt: skip


def _priced_anew(row: Mapping[str, Cell], book: Book, known_on: date | None) -> Priced | None:
    """What the book says of calls that it may price, None where it says nothing new."""
    calls, unpriced, version = _count(row["calls"]), _count(row["unpriced_calls"]), str(row["price_version"])
    usage = Usage(**{bucket: _count(row[measure]) for measure, bucket in BUCKETS.items()}, request=calls)
    reported = not version and not unpriced
    if row["usage_certainty"] == "unknown" or not usage.total or reported:
        return None
    priced = _price(row, usage, book, known_on)
    return None if not unpriced and priced.price_version == version else priced


def _price(row: Mapping[str, Cell], usage: Usage, book: Book, known_on: date | None) -> Priced:
    model, above = str(row["model"]), _count(row["context_class"])
    next_class = next((border for border in CLASSES if border > above), _MOST)
    terms: Terms = {
        "provider": str(row["provider"]), "on": date.fromisoformat(str(row["day"])), "known_on": known_on,
        "context_tokens": above + 1 if above else 0,
    }  # fmt: skip
    rate, longest = book.find(model, **terms), book.find(model, **{**terms, "context_tokens": next_class})
    if rate is not None and longest is not None and rate.above != longest.above:
        # an operator's own threshold lies between two of ours, so the sum of tokens does not say the price
        return Priced("unpriced", None, missing=(f"context above {longest.above}",))
    return book.price(usage, model=model, **terms)


@dataclass(frozen=True, slots=True)
class Adjusting:
    """Who adjusts, under which id, and what the book knows: everything it does now, or what it did on `known_on`."""

    run_id: str
    by: str
    at: datetime
    known_on: date | None = None


def adjust(warehouse: Warehouse, answer: Answer, book: Book, adjusting: Adjusting) -> Iterator[Rerated]:
    """Adjusts every call whose price changed, and gives what was adjusted, some thousand calls at a time.

    `answer` is that of `request_for`. Each step is one transaction and leaves nothing to do again, so that it can be
    stopped anywhere and run again.
    """
    groups = {
        (str(row["day"]), str(row["provider"]), str(row["model"])): None
        for row in answer.rows
        if (priced := _priced_anew(row, book, adjusting.known_on)) is not None and priced.amount is not None
    }
    for day, provider, model in groups:
        for calls in priced_calls(warehouse, day=date.fromisoformat(day), provider=provider, model=model):
            place = {"day": day, "provider": provider, "model": model}
            found = [
                pair for call in calls if (pair := _adjustment(call, place, book, adjusting)) is not None
            ]
            if found:
                warehouse.adjust([row for row, _ in found])
                total = found[0][1]
                for _, changed in found[1:]:
                    total = _sum(total, changed)
                yield total


def _adjustment(
    call: PricedCall, place: Mapping[str, str], book: Book, adjusting: Adjusting
) -> tuple[Mapping[str, Value], Rerated] | None:
    """The row to keep beside a call and what it changes, or None where the call stays as it is."""
    above = max((border for border in CLASSES if call.input_tokens > border), default=0)
    row: dict[str, Cell] = {
        **place, "calls": 1, "unpriced_calls": int(call.cost is None), "price_version": call.price_version,
        "usage_certainty": call.certainty, "context_class": above, "metered_cost": str(call.cost or 0),
        **{measure: str(call.buckets[bucket]) for measure, bucket in BUCKETS.items()},
    }  # fmt: skip
    changed, priced = _rerated(row, book, adjusting.known_on), _priced_anew(row, book, adjusting.known_on)
    if changed is None or changed.unpriced_after or priced is None:
        return None
    return {
        "call_id": call.call_id, "step": call.adjustments + 1, "run_id": adjusting.run_id,
        "reason": "priced" if call.cost is None else "corrected", "usd_before": call.cost,
        "usd_after": changed.after, "price_version_before": call.price_version or None,
        "price_version_after": priced.price_version,
        "adjusted_by": adjusting.by, "adjusted_at": adjusting.at.astimezone(UTC).replace(tzinfo=None),
        "adjusted_on": adjusting.at.astimezone(UTC).date(),
    }, changed  # fmt: skip


def together(steps: Iterable[Rerated]) -> list[Rerated]:
    """Steps of one month, provider and model as one, in the order of a preview."""
    found: dict[tuple[str, str, str], Rerated] = {}
    for step in steps:
        key = (step.month, step.provider, step.model)
        found[key] = step if key not in found else _sum(found[key], step)
    return _ordered(found.values())


def _ordered(rows: Iterable[Rerated]) -> list[Rerated]:
    return sorted(rows, key=lambda item: (-abs(item.delta), item.month, item.provider, item.model))


def _sum(one: Rerated, other: Rerated) -> Rerated:
    return replace(
        one,
        calls=one.calls + other.calls,
        before=EXACT.add(one.before, other.before),
        after=EXACT.add(one.after, other.after),
        unpriced_before=one.unpriced_before + other.unpriced_before,
        unpriced_after=one.unpriced_after + other.unpriced_after,
        missing=tuple(dict.fromkeys((*one.missing, *other.missing))),
    )


def _count(value: Cell) -> int:
    return int(str(value or 0))
