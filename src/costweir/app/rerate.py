"""What metered calls would cost at the prices known now: a preview, which changes nothing (law L6).

Calls that have no price are never taken for free (law L5): where the book still knows none, they stay unpriced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from costweir.domain.answer import Answer, Cell
from costweir.domain.money import EXACT
from costweir.domain.usage import Usage
from costweir.prices.book import Book
from costweir.prices.rate import Priced, Terms
from costweir.queries.request import Request

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


def request_for(since: date | None, until: date | None, models: Iterable[str] = ()) -> Request:
    """What to ask for a preview: the calls that a provider billed, by day, provider and model."""
    where = {"outcome": BILLED, **({"model": tuple(models)} if models else {})}
    return Request("call_prices", by=("day", "provider", "model"), where=where, since=since, until=until)


def preview(answer: Answer, book: Book, *, known_on: date | None = None) -> list[Rerated]:
    """The calls whose price would change with what the book knows on `known_on` (now when absent), largest change
    first.

    A call is left alone when its usage is unknown, or when its cost was reported and not priced by a book.
    """
    found: dict[tuple[str, str, str], Rerated] = {}
    for row in answer.rows:
        changed = _rerated(row, book, known_on)
        if changed is not None:
            key = (changed.month, changed.provider, changed.model)
            found[key] = changed if key not in found else _sum(found[key], changed)
    return sorted(found.values(), key=lambda item: (-abs(item.delta), item.month, item.provider, item.model))


def _rerated(row: Mapping[str, Cell], book: Book, known_on: date | None) -> Rerated | None:
    calls, unpriced, version = _count(row["calls"]), _count(row["unpriced_calls"]), str(row["price_version"])
    usage = Usage(**{bucket: _count(row[measure]) for measure, bucket in BUCKETS.items()}, request=calls)
    reported = not version and not unpriced
    if row["usage_certainty"] == "unknown" or not usage.total or reported:
        return None
    priced = _price(row, usage, book, known_on)
    before = Decimal(str(row["metered_cost"]))
    # a price that the book does not know any more still stood when the call was made
    after = priced.amount if priced.amount is not None else before
    left = unpriced if priced.amount is None else 0
    if priced.amount is None and not unpriced:
        return None
    if not unpriced and (priced.price_version == version or after == before):
        return None
    return Rerated(
        str(row["day"])[:7], str(row["provider"]), str(row["model"]), calls, before, after, unpriced, left,
        priced.missing,
    )  # fmt: skip


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
