"""What bounds and prices need to know of one model, compiled once from the configuration and the price book."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from costweir.domain.usage import Usage
from costweir.guard.bounds.exact import is_there
from costweir.guard.bounds.pricing import Cost, Tariff
from costweir.guard.bounds.shape import Media
from costweir.guard.bounds.tables import IMAGES, first, known
from costweir.prices.table import short_name

if TYPE_CHECKING:
    from costweir.config.tables import Model, Provider
    from costweir.prices.book import Book

#: The lists of prices that a kind of provider bills by.
_PRICES = {"openai": "openai", "azure": "azure", "anthropic": "anthropic", "gemini": "google", "vertex": "google",
           "bedrock": "aws", "mock": ""}  # fmt: skip
#: Kinds of provider whose models are OpenAI's own, unless another host says otherwise.
_OPENAI = frozenset({"openai", "azure"})
_BOTH_CAPS = ("max_completion_tokens", "max_tokens")


@dataclass(frozen=True, slots=True)
class ModelTerms:
    """One model at one provider.

    `context` and `max_output` are tokens, `context` 0 when it is not known. `images` are the most tokens of one image
    at each detail; what is not there is bounded by the context only. `rewrites` says that its tokenizer may normalise a
    text, and `preamble` are tokens that its server writes before the first message. A cap goes into each of `caps`.
    """

    model: str
    provider: str
    upstream: str
    context: int
    max_output: int
    caps: tuple[str, ...]
    tariff: Tariff
    images: Mapping[Media, int] = field(default_factory=dict[Media, int])
    rewrites: bool = False
    preamble: int = 0
    problem: str = ""
    """Why no request to this model has a bound."""
    tokenizer: str = ""
    """The tokenizer that its texts can be counted with here; empty for none."""
    cap_includes_reasoning: bool = True
    units: dict[tuple[object, ...], object] = field(
        default_factory=dict[tuple[object, ...], object], compare=False, repr=False
    )
    """What bounds remember of worst rates."""


def compile_terms(
    model: Model, provider: Provider, book: Book, *, stated: AbstractSet[str] = frozenset()
) -> ModelTerms:
    """The terms of a configured model. `stated` are the model names that the operator's own prices are for.

    The operator's price for the caller's name goes before any price of the upstream's name.
    """
    upstream = model.upstream or model.id
    host = (urlsplit(provider.base_url).hostname or "") if provider.base_url else ""
    row = (first(known().hosts, host) if host else None) or {}
    foreign = bool(host) and not row and provider.kind != "azure"
    rewrites = bool(row.get("rewrites", foreign))
    tariff = _tariff(model.id if model.id in stated else upstream, provider, row, book)
    bare = short_name(upstream)
    caps = ("max_tokens",) if provider.kind == "anthropic" else tuple(row.get("caps", _caps(foreign=foreign)))
    return ModelTerms(
        model=model.id,
        provider=provider.id,
        upstream=upstream,
        context=model.context_tokens or book.context_of(upstream, provider=tariff.provider),
        max_output=model.max_output_tokens or known().output_of(bare),
        caps=caps,
        tariff=tariff,
        images=known().images_of(bare)
        if model.image_tokens is None
        else dict.fromkeys(IMAGES, model.image_tokens),
        rewrites=rewrites,
        preamble=known().preamble if rewrites else 0,
        problem=str((first(known().searches, bare) or {}).get("why", "")),
        cap_includes_reasoning=model.cap_includes_reasoning,
        tokenizer=known().tokenizer_of(bare)
        if provider.kind in _OPENAI and not rewrites and is_there()
        else "",
    )


def _tariff(name: str, provider: Provider, row: Mapping[str, Any], book: Book) -> Tariff:
    """The prices of a model at a provider, whose host has `row`."""
    code, routing = str(row.get("prices", _PRICES[provider.kind])), str(row.get("routing", ""))
    thresholds, timed = book.steps(name, provider=code)
    # OpenAI's address decides alone; elsewhere a call or a default of the account may choose.
    routings = frozenset({routing}) if code == "openai" else None
    # OpenAI writes to its cache without asking, and before gpt-5.6 without a price.
    free = provider.kind in _OPENAI
    return Tariff(book, name, code, thresholds, timed, routing, routings, writes_are_input=free)


def cost_of(
    usage: Usage, terms: ModelTerms, *, on: datetime, tier: str = "standard", routing: str = ""
) -> Cost | None:
    """What a usage costs at the price of that moment, or None when a bucket that was used has no price. Never below the
    exact price, and less than one nano-dollar above it."""
    return terms.tariff.cost(usage, on=on, tier=tier, routing=routing)


def _caps(*, foreign: bool) -> tuple[str, ...]:
    """An unknown server may read either field, and the other one is only noise to it."""
    return _BOTH_CAPS if foreign else _BOTH_CAPS[:1]
