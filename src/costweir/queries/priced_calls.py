"""The calls of one day and model, one by one, as they are priced now: what a later price is put beside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from costweir.queries.question import part
from costweir.queries.result import number
from costweir.store.warehouse import Reader, Value

#: Calls that are read at once.
CHUNK = 5_000
#: Column of the query for each bucket of a `Usage`.
BUCKETS: Mapping[str, str] = {
    "input": "c_input", "cache_read": "c_read", "cache_write": "c_write", "cache_write_1h": "c_write_1h",
    "input_audio": "c_audio_in", "input_image": "c_image_in", "output": "c_output", "reasoning": "c_reasoning",
    "output_audio": "c_audio_out", "output_image": "c_image_out",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PricedCall:
    """One call: its cost in US dollars (None while unpriced) and the price row behind it, both as adjusted so far; the
    number of adjustments; its exclusive buckets of tokens, and the input tokens together."""

    call_id: str
    cost: Decimal | None
    price_version: str
    adjustments: int
    certainty: str
    buckets: Mapping[str, int]
    input_tokens: int


def priced_calls(
    reader: Reader, *, day: date, provider: str, model: str, chunk: int = CHUNK
) -> Iterator[list[PricedCall]]:
    """The calls that a provider bills, in order of their ids, so many at once."""
    after = ""
    while True:
        params = {"day": day, "provider": provider, "model": model, "after": after, "most": chunk}
        found = [_call(record) for record in reader.query(part("calls_to_price"), params).records()]
        if found:
            yield found
        if len(found) < chunk:
            return
        after = found[-1].call_id


def _call(record: Mapping[str, Value]) -> PricedCall:
    cost = record["c_cost"]
    return PricedCall(
        str(record["c_call"]), None if cost is None else number(cost), str(record["c_version"]),
        int(number(record["c_step"])), str(record["c_certainty"]),
        {bucket: int(number(record[column])) for bucket, column in BUCKETS.items()},
        int(number(record["c_inclusive"])),
    )  # fmt: skip
