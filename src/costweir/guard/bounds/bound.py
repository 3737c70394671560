"""The bound: what a provider may bill for a request on one model at most, in whole nano-dollars (law L1)."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

import msgspec

from costweir.guard.bounds.growth import growth_of
from costweir.guard.bounds.pricing import PARTS, Rates
from costweir.guard.bounds.shape import Media, Shape
from costweir.guard.bounds.tables import known, table
from costweir.guard.bounds.terms import ModelTerms
from costweir.guard.ledger import Candidate

_DAY = 86_400
#: Output tokens that a request without a cap is expected to have, for limits of tokens per minute.
_EXPECTED_OUTPUT = 1_024
_REMEMBERED = 256
_NO_MODEL = ("model",)
_NONE = frozenset[Media]()
#: Nano-dollars that a ledger's column holds with room for a sum: four billion dollars.
_LARGEST = 1 << 62
_WRITES = {"": (), "5m": ("cache_write",), "1h": ("cache_write", "cache_write_1h")}
_OUTPUT = ("output", "reasoning", "output_citation")
#: The bucket that a medium may be billed as, besides text.
_BILLED_AS: Mapping[Media, str] = {
    "image": "input_image", "image_low": "input_image", "image_high": "input_image", "audio": "input_audio",
    "stored_audio": "input_audio", "video": "input_video", "file": "input_image", "fetched": "input_image",
}  # fmt: skip


class Bound(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """`hold = fixed + cap * output_rate` bounds the bill. The granted cap goes into each of `cap_fields` of the
    forwarded body. `problems` name what has no bound and `unpriced` the buckets without a price; with either, `fixed`
    is no bound. `tokens` is an estimate for limits of tokens per minute."""

    model: str
    provider: str
    fixed: int
    output_rate: int
    cap: int
    floor: int
    tokens: int
    cap_fields: tuple[str, ...]
    price_version: str = ""
    problems: tuple[str, ...] = ()
    unpriced: tuple[str, ...] = ()

    @property
    def cap_field(self) -> str:
        """The first field that carries the cap; empty where there is no output."""
        return self.cap_fields[0] if self.cap_fields else ""

    @property
    def why(self) -> str:
        """What has no price or no bound, as a sentence for the caller; empty when the model is all there is to say."""
        if self.unpriced:
            return "" if self.unpriced == _NO_MODEL else f"There is no price for {', '.join(self.unpriced)}."
        return f"The cause: {'; '.join(self.problems)}." if self.problems else ""

    def candidate(self) -> Candidate:
        """The bound as the ledger takes it."""
        return Candidate(
            self.model, self.provider, self.fixed, self.output_rate, self.cap, self.floor, self.tokens,
            self.price_version, not self.unpriced, not self.problems, self.why,
        )  # fmt: skip


def plan(shape: Shape, terms: ModelTerms, *, on: date | None = None) -> Bound:
    """Bounds a request for one model at the prices of a day and the next; today when none is given."""
    problems = list(shape.problems)
    if terms.problem:
        problems.append(f"{terms.model} {terms.problem}")
    count = _input_tokens(shape, terms, problems)
    cap, floor = _cap(shape, terms, problems)
    rounds = 1 + shape.rounds
    # A reply states the sum of its rounds, so the price of a long context is that of their sum.
    unit = _unit(shape, terms, on or _day(int(time.time()) // _DAY), count * rounds)
    token = unit.output * shape.choices * rounds
    parts = count * rounds * unit.input + unit.request
    for bucket, times in shape.fees:
        parts += times * unit.rates.get(bucket, 0)
    fixed = -(-parts // PARTS) + token * shape.predicted
    if cap and not terms.cap_includes_reasoning:
        # The cap does not hold what the model thinks, so the whole answer is reserved whatever is granted.
        fixed, token, floor = fixed + token * _longest(terms, problems), 0, cap
    if fixed + token * cap > _LARGEST:
        problems.append("its bound is more than a ledger can count")
        fixed = token = 0
    return Bound(
        model=terms.model,
        provider=terms.provider,
        fixed=fixed,
        output_rate=token,
        cap=cap,
        floor=floor,
        tokens=shape.estimate
        + min(cap, _EXPECTED_OUTPUT if shape.cap is None else shape.cap) * shape.choices,
        cap_fields=_cap_fields(shape.format, terms.caps, shape.cap_fields),
        price_version=unit.version,
        problems=tuple(problems),
        unpriced=unit.missing,
    )


def _input_tokens(shape: Shape, terms: ModelTerms, problems: list[str]) -> int:
    """The most input tokens of one round: those of text and media, never more than the context holds."""
    context = max(terms.context, shape.context) if terms.context else 0
    count = shape.text + terms.preamble + (growth_of(shape.raw) if terms.rewrites else 0)
    if not (shape.media or shape.rounds):
        return min(count, context) if context else count
    unbounded = [kind for kind in shape.media if kind not in terms.images]
    if unbounded or shape.rounds:
        if not context:
            what = unbounded[0] if unbounded else "a server tool"
            problems.append(
                f"{what} is bounded by the context window only, and that of {terms.model} is not known"
            )
        return max(context, 1)
    count += sum(terms.images[kind] for kind in shape.media)
    return min(count, context) if context else count


def _cap(shape: Shape, terms: ModelTerms, problems: list[str]) -> tuple[int, int]:
    """The output cap that is asked for, and the least that is worth granting; no output is (0, 0)."""
    if shape.format == "openai.embeddings":
        return 0, 0
    limit = max(terms.max_output, shape.output)
    if shape.cap == 0:
        return 0, 0
    context = max(terms.context, shape.context)
    cap = shape.cap or limit or known().fallback_output
    cap = min(cap, limit or cap, context or cap)
    if shape.thinking and shape.thinking >= cap:
        problems.append("thinking.budget_tokens is not below max_tokens")
    return cap, min(cap, shape.thinking + table(shape.format).floor)


def _longest(terms: ModelTerms, problems: list[str]) -> int:
    longest = terms.max_output or terms.context
    if not longest:
        problems.append(f"the cap of {terms.model} leaves out reasoning, and its longest answer is not known")
    return longest


class _Unit(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Worst rates as one kind of request meets them: of one input token and one request in parts of a nano-dollar, of
    one output token in nano-dollars. `missing` are the buckets without a price."""

    input: int = 0
    request: int = 0
    output: int = 0
    rates: Mapping[str, int] = {}
    version: str = ""
    missing: tuple[str, ...] = ()


def _unit(shape: Shape, terms: ModelTerms, day: date, count: int) -> _Unit:
    kinds = frozenset(shape.media) if shape.media else _NONE
    band = bisect_left(terms.tariff.thresholds, count)
    key = (day, band, shape.format, shape.tiers, shape.caching, shape.speaks, kinds, shape.fees)
    found = terms.units.get(key)
    if not isinstance(found, _Unit):
        rates = terms.tariff.worst(on=day, tiers=shape.tiers, context=count)
        found = _Unit(missing=_NO_MODEL) if rates is None else _unit_of(shape, rates)
        if len(terms.units) >= _REMEMBERED:
            terms.units.clear()
        terms.units[key] = found
    return found


def _unit_of(shape: Shape, rates: Rates) -> _Unit:
    missing: list[str] = []
    writes = _WRITES[shape.caching]
    if shape.format.startswith("openai"):
        # Caching needs no asking there, so any write that has a price may happen.
        writes = tuple(name for name in _WRITES["1h"] if name in rates.parts)
    used = ("input", *writes, *(_BILLED_AS[kind] for kind in shape.media))
    into = max(_highest(rates, used, missing), rates.parts.get("cache_read", 0))
    out = 0
    if shape.format != "openai.embeddings":
        spoken = ("output", "output_audio") if shape.speaks else ("output",)
        out = max(_highest(rates, spoken, missing), *(rates.parts.get(name, 0) for name in _OUTPUT))
    for bucket, _ in shape.fees:
        _highest(rates, (bucket,), missing)
    # What has no price has no version of one, so that nobody takes its hold for its cost.
    version = "" if missing else rates.version
    return _Unit(
        input=into, request=rates.parts.get("request", 0), output=-(-out // PARTS), rates=rates.parts,
        version=version, missing=tuple(missing),
    )  # fmt: skip


def _highest(rates: Rates, names: Iterable[str], missing: list[str]) -> int:
    """The highest rate of the buckets, which are noted as missing where they have none."""
    missing += [name for name in dict.fromkeys(names) if name not in rates.parts and name not in missing]
    return max(rates.parts.get(name, 0) for name in names)


@lru_cache(maxsize=256)
def _cap_fields(form: str, first: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    if form == "openai.embeddings":
        return ()
    if form == "anthropic.messages":
        return ("max_tokens",)
    return tuple(dict.fromkeys((*first, *more)))


@lru_cache(maxsize=8)
def _day(number: int) -> date:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=number)).date()
