"""What stored lines would mean by the mappings as they stand now, and the moves that make them so.

The readers' own functions give the meaning, so a line that is re-mapped is equal to one that is loaded again. No
amount is ever part of a move (law L6).
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, cast

from costweir.domain.charge import UNKNOWN
from costweir.domain.money import EXACT, decimal_text, quantity_text
from costweir.domain.period import Month
from costweir.queries.mapped_lines import MappedLines, mapped_lines
from costweir.sources.classify import Classifier, Meaning
from costweir.sources.staging import meanings
from costweir.sources.staging.meanings import Asked, Key
from costweir.store.warehouse import Move, Reader, Slot, Value

Record = dict[str, object]

#: The column of a charge for each text of a meaning.
COLUMNS: Mapping[str, str] = {
    "x_model": "model", "x_model_developer": "developer", "x_token_class": "token_type", "x_direction": "direction",
    "x_modality": "modality", "x_cache_action": "cache_action", "x_cache_ttl": "cache_ttl", "x_tier": "tier",
    "x_routing": "routing", "x_context_band": "context_band", "x_mapping_rule": "rule_id",
    "x_mapping_confidence": "confidence",
}  # fmt: skip
#: What the readers write where a model is known and the bill does not say more.
_GENERATIVE = "Generative AI"
_DETAILS = ("ModelDeveloper", "ModelId", "TokenDirection", "TokenCacheAction")


@dataclass(frozen=True, slots=True)
class Moved:
    """Lines of one slot whose meaning changes: what they are now, what they would be, and how many tokens that is."""

    lines: MappedLines
    after: Mapping[str, Value]
    tokens_per_unit: int | None
    tokens_after: Decimal

    def closed(self, today: date) -> bool:
        """Whether the invoice month is over."""
        return Month.parse(self.lines.slot.period).following.first <= today

    def to_json(self, today: date) -> Record:
        """One row of a preview; a meaning has only the fields that are set."""
        item = self.lines
        return {
            "provider": item.slot.provider, "account": item.slot.account, "period": item.slot.period,
            "closed": self.closed(today), "source": item.source, "service": item.found["x_line_service"] or "",
            "text": item.found["x_line_text"] or "", "unit": item.found["x_line_unit"] or "", "lines": item.lines,
            "first_day": item.first_day.isoformat(), "last_day": item.last_day.isoformat(),
            "billed": {"amount": decimal_text(item.billed), "currency": item.currency},
            "billed_usd": decimal_text(item.usd), "tokens_before": quantity_text(item.tokens),
            "tokens_after": quantity_text(self.tokens_after), "before": _shown(item.found), "after": _shown(self.after),
        }  # fmt: skip


def plan(reader: Reader, classifier: Classifier) -> list[Moved]:
    """Every stored line that a mapping of the operator gives another meaning, or that one gave its meaning and does
    not hold any more; in order of the slots, the largest amount first."""
    found = mapped_lines(reader, classifier.mapped_texts)
    prices: dict[tuple[Slot, Key], Decimal] = {}
    for item in found:
        if item.price is not None:
            place = (item.slot, _key(item))
            prices[place] = max(item.price, prices.get(place, item.price))
    moved: list[Moved] = []
    for item in found:
        key = _key(item)
        meaning = meanings.ask(classifier, Asked(key, prices.get((item.slot, key)), item.currency))
        after = _columns(meaning, item.found)
        if any(after[name] != item.found[name] for name in after):
            tokens = meaning.tokens_per_unit
            moved.append(Moved(item, after, tokens, _tokens(item, tokens)))
    return sorted(moved, key=lambda row: (row.lines.slot, -abs(row.lines.billed), str(row.lines.found)))


def moves(rows: Iterable[Moved]) -> dict[Slot, list[Move]]:
    """The rows as the warehouse takes them, slot by slot in order."""
    grouped: dict[Slot, dict[tuple[Value, ...], Move]] = defaultdict(dict)
    for row in rows:
        key = tuple(row.lines.found.values())
        known = grouped[row.lines.slot].get(key)
        lines = row.lines.lines + (known.lines if known else 0)
        grouped[row.lines.slot][key] = Move(row.lines.found, row.after, row.tokens_per_unit, lines)
    return {slot: list(members.values()) for slot, members in sorted(grouped.items())}


def summary(rows: Sequence[Moved], today: date) -> Record:
    """The whole of a plan as JSON. `digest` stands for it, so that what is applied is what was seen; the billed sums
    are of the lines that move, and no total changes by them."""
    sums: dict[str, Decimal] = {}
    for row in rows:
        before = sums.get(row.lines.currency, Decimal(0))
        sums[row.lines.currency] = EXACT.add(before, row.lines.billed)
    slots = {row.lines.slot: row.closed(today) for row in rows}
    listed = [row.to_json(today) for row in rows]
    digest = hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()[:16]
    return {
        "rows": listed, "lines": sum(row.lines.lines for row in rows), "slots": len(slots),
        "closed_slots": sum(slots.values()), "digest": digest,
        "billed": [
            {"amount": decimal_text(amount), "currency": currency} for currency, amount in sorted(sums.items())
        ],
    }  # fmt: skip


def _key(item: MappedLines) -> Key:
    found = item.found
    service, text, unit, facts = (
        str(found[f"x_line_{name}"] or "") for name in ("service", "text", "unit", "facts")
    )
    # no rule reads the region
    return item.slot.provider, service, text, unit, "", facts


def _columns(meaning: Meaning, found: Mapping[str, Value]) -> dict[str, Value]:
    """The columns that the readers would fill, as they fill them."""
    after: dict[str, Value] = {
        column: cast("str", getattr(meaning, name)) or None for column, name in COLUMNS.items()
    }
    facts = _object(found["x_line_facts"])
    known = bool(found["x_is_ai"]) and meaning.model != UNKNOWN
    category = facts.get("ServiceSubcategory") or (_GENERATIVE if known else None)
    return {**after, "service_subcategory": category, "sku_price_details": _details(meaning, found, facts)}


def _details(meaning: Meaning, found: Mapping[str, Value], facts: Mapping[str, Any]) -> Value:
    """What the mapping says under the names of FOCUS, below what the bill itself says."""
    stored = found["sku_price_details"]
    said = _object(stored)
    if stored is not None and not said:
        return stored
    text = meanings.price_details(meaning) if found["x_is_ai"] else None
    own = {name: value for name, value in said.items() if name not in _DETAILS or facts.get(name)}
    after = {**_object(text), **own}
    if after == said:
        return stored
    return text if not own else json.dumps(after, separators=(",", ":"), ensure_ascii=False)


def _tokens(item: MappedLines, tokens_per_unit: int | None) -> Decimal:
    if item.category != "Usage" or not item.found["x_is_ai"]:
        return Decimal(0)
    if item.consumed_unit.lower() == "tokens":
        return item.consumed
    return EXACT.multiply(item.quantity, Decimal(tokens_per_unit or 0))


def _shown(columns: Mapping[str, Value]) -> Record:
    return {name: str(columns[column]) for column, name in COLUMNS.items() if columns[column] is not None}


def _object(text: Value) -> dict[str, Any]:
    try:
        value: object = json.loads(str(text)) if text else {}
    except ValueError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
