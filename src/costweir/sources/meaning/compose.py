"""Puts what was read of a line together into its meaning, and says how sure it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from costweir.domain.charge import UNKNOWN
from costweir.sources.meaning.line import Meaning

if TYPE_CHECKING:
    from costweir.sources.meaning.forms import Form
    from costweir.sources.meaning.lines import LineRule
    from costweir.sources.meaning.models import Hit
    from costweir.sources.meaning.slots import Slots


@dataclass(frozen=True, slots=True)
class Reading:
    """The parts of one reading. `doubt` names what was inferred (`unit`, `price`), empty when nothing was."""

    form: Form
    hit: Hit | None
    slots: Slots
    rule: LineRule | None
    tokens: int | None
    doubt: str


def compose(reading: Reading) -> Meaning:
    """The meaning of a line: a line rule beats the slots; cache beats modality, modality beats direction."""
    if reading.rule is not None:
        return _special(reading, reading.rule)
    return _inference(reading)


def _special(reading: Reading, rule: LineRule) -> Meaning:
    hit = reading.hit if rule.keeps_model else None
    slots = reading.slots
    return Meaning(
        model=hit.model if hit else UNKNOWN,
        tokens_per_unit=reading.tokens,
        modality=rule.modality,
        tier=rule.tier or slots.tier.replace("standard", ""),
        routing=slots.routing,
        rule_id=f"{rule.id}/{hit.rule}" if hit else rule.id,
        confidence="medium" if reading.doubt or (hit and hit.derived) else "high",
        developer=hit.family.developer if hit else "",
    )


def _inference(reading: Reading) -> Meaning:
    hit, slots = reading.hit, reading.slots
    modality = _modality(hit, slots)
    direction = _direction(reading, modality)
    token_type = _token_type(reading, modality, direction)
    on_demand = bool(slots.direction or slots.cache)
    write = slots.cache == "write"
    return Meaning(
        model=hit.model if hit else UNKNOWN,
        token_type=token_type,
        tokens_per_unit=reading.tokens,
        direction=f"cache_{slots.cache}" if slots.cache else direction,
        modality=modality,
        cache_action=slots.cache,
        cache_ttl=(slots.ttl or (hit.family.cache_ttl if hit else "")) if write else "",
        tier=slots.tier or ("standard" if on_demand else ""),
        routing=slots.routing or (reading.form.routing if on_demand else ""),
        context_band=slots.band,
        rule_id=_rule_id(reading),
        confidence=_confidence(reading, token_type),
        developer=hit.family.developer if hit else "",
    )


def _modality(hit: Hit | None, slots: Slots) -> str:
    own = hit.family.modality if hit else ""
    if own == "embedding":
        return slots.modality if slots.modality in ("image", "audio", "video") else "embedding"
    if own in ("video", "rerank", "document") or (own == "audio" and slots.modality == "image"):
        return own
    if slots.modality:
        return slots.modality
    return own or ("text" if slots.direction or slots.cache else "")


def _direction(reading: Reading, modality: str) -> str:
    hit, slots = reading.hit, reading.slots
    if slots.direction or hit is None:
        return slots.direction
    if hit.family.direction:
        return hit.family.direction
    if hit.family.modality == "embedding":
        return "input"
    return "output" if modality == "image" and hit.family.metered == "images" else ""


def _token_type(reading: Reading, modality: str, direction: str) -> str:
    hit, slots = reading.hit, reading.slots
    if slots.cache:
        return f"cache_{slots.cache}"
    if (hit and hit.family.modality == "embedding") or modality == "embedding":
        return "embedding"
    if modality in ("image", "audio"):
        return modality if hit or direction else "other"
    if modality in ("rerank", "document") or (modality == "video" and reading.tokens is None):
        return "other"
    return direction or "other"


def _rule_id(reading: Reading) -> str:
    named = reading.hit.rule if reading.hit else ""
    if not named and not (reading.slots.direction or reading.slots.cache or reading.slots.modality):
        return ""
    parts = [reading.form.id, named or "slots"]
    return "/".join(parts) + (f"+{reading.doubt}" if reading.doubt else "")


def _confidence(reading: Reading, token_type: str) -> str:
    hit, slots = reading.hit, reading.slots
    if hit is None:
        return "none"
    if token_type == "other" and hit.family.metered == "tokens":  # noqa: S105
        return "low"
    return "medium" if hit.derived or reading.doubt or slots.unread else "high"
