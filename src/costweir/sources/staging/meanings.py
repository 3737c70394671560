"""Asks the classifier once for each distinct tuple of strings and writes the answers where SQL can join
them."""

# The SQL is made of our own names, quoted identifiers and literals.
# ruff: noqa: S608

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Protocol, cast

import duckdb

from costweir.domain.charge import UNKNOWN
from costweir.sources.formats.format import literal
from costweir.sources.meaning.line import Line, Meaning

_CLOUDS = ("aws", "gcp", "azure", "openai", "anthropic")
_TEXTS = (
    "model", "token_type", "direction", "modality", "cache_action", "cache_ttl", "tier", "routing",
    "context_band", "rule_id", "confidence", "developer",
)  # fmt: skip

#: The meaning table: the tuple, the answers, and the JSON of FOCUS price details.
COLUMNS = {
    **dict.fromkeys(
        ("x_provider", "line_service", "line_text", "line_unit", "line_region", "line_facts"), "VARCHAR"
    ),
    **dict.fromkeys(_TEXTS, "VARCHAR"),
    "tokens_per_unit": "BIGINT",
    "is_ai": "BOOLEAN",
    "details": "VARCHAR",
}

#: Provider, service, text, unit, region, and what the bill itself says about the model as JSON text.
Key = tuple[str, str, str, str, str, str]


class Knows(Protocol):
    """What is asked of the classifier."""

    def classify(self, line: Line) -> Meaning:
        """The meaning of one line."""
        ...

    def is_ai(self, cloud: str, service: str, text: str) -> bool:
        """Whether the line belongs to an AI service."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """One distinct tuple of a bill, and the price of a unit, which only checks the unit."""

    key: Key
    unit_price: Decimal | None
    currency: str


def is_ai(knows: Knows, asked: Asked) -> bool:
    """Whether the line is about AI: the classifier says so, or the bill itself does."""
    provider, service, text, _, _, facts = asked.key
    if knows.is_ai(_cloud(provider), service, text):
        if provider in _CLOUDS:
            return True
        # Of a seller nobody knows, the word "token" alone proves nothing: some call their credits so.
        meaning = knows.classify(_line(asked))
        counts = meaning.tokens_per_unit is not None and meaning.token_type != "other"  # noqa: S105
        return meaning.model != UNKNOWN or counts
    if not facts:
        return False
    said = _facts(facts)
    return bool(said.get("ModelId")) or said.get("ServiceCategory", "").lower() == "ai and machine learning"


def is_passed(knows: Knows, key: Key) -> bool:
    """Whether it follows from the strings alone that the line is not about AI."""
    return key[0] in _CLOUDS and not is_ai(knows, Asked(key, None, ""))


def ask(knows: Knows, asked: Asked) -> Meaning:
    """The classifier's answer, completed by what the bill itself says about model, direction and cache."""
    meaning, facts = knows.classify(_line(asked)), asked.key[5]
    return _completed(meaning, _facts(facts)) if facts else meaning


def _line(asked: Asked) -> Line:
    provider, service, text, unit, region, _ = asked.key
    return Line(_cloud(provider), service, text, unit, region, asked.unit_price, asked.currency)


def _completed(meaning: Meaning, said: Mapping[str, str]) -> Meaning:
    direction = said.get("TokenDirection", "").lower()
    action = {"read": "read", "write": "write"}.get(said.get("TokenCacheAction", "").lower(), "")
    model = meaning.model
    if said.get("ModelId") and model == UNKNOWN:
        model = said["ModelId"].lower()
    kind = meaning.token_type
    if direction in ("input", "output") and kind == "other":
        kind = f"cache_{action}" if action else direction
    return Meaning(
        model=model,
        token_type=kind,
        tokens_per_unit=meaning.tokens_per_unit,
        direction=meaning.direction or (f"cache_{action}" if action else direction),
        modality=meaning.modality,
        cache_action=meaning.cache_action or action,
        cache_ttl=meaning.cache_ttl,
        tier=meaning.tier,
        routing=meaning.routing,
        context_band=meaning.context_band,
        rule_id=meaning.rule_id if model == meaning.model else "bill:ModelId",
        confidence=meaning.confidence if model == meaning.model else "high",
        developer=meaning.developer or said.get("ModelDeveloper", "").lower(),
    )


def _facts(text: str) -> Mapping[str, str]:
    try:
        data = cast("object", json.loads(text))
    except ValueError:
        return {}
    if not isinstance(data, dict):
        return {}
    pairs = cast("dict[str, object]", data).items()
    return {key: str(value) for key, value in pairs if isinstance(value, str | int)}


def _cloud(provider: str) -> str:
    return provider if provider in _CLOUDS else "other"


def price_details(meaning: Meaning) -> str | None:
    """The model properties under the names of the FOCUS draft, as JSON text, or None when nothing is
    known."""
    side = {"input": "Input", "output": "Output"}.get(meaning.direction.removesuffix("_tokens"), "")
    if meaning.cache_action or meaning.token_type in ("cache_read", "cache_write", "input"):
        side = side or "Input"
    action = {"read": "Read", "write": "Write"}.get(
        meaning.cache_action, "Uncached" if side == "Input" else ""
    )
    details = {
        "ModelDeveloper": meaning.developer,
        "ModelId": meaning.model if meaning.model != UNKNOWN else "",
        "TokenDirection": side if meaning.tokens_per_unit is not None else "",
        "TokenCacheAction": action if meaning.tokens_per_unit is not None else "",
    }
    known = {name: value for name, value in details.items() if value}
    return json.dumps(known, sort_keys=True) if known else None


def create_table(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes the empty table `meaning`."""
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    connection.execute(f"CREATE TEMP TABLE meaning ({columns})")


def write_table(
    connection: duckdb.DuckDBPyConnection, rows: Iterable[tuple[Key, Meaning, bool]], scratch: Path
) -> None:
    """Fills the table `meaning` with these answers. `scratch` is a file that may be written and is
    removed."""
    with scratch.open("w", encoding="utf-8") as out:
        for key, meaning, ai in rows:
            record: dict[str, object] = dict(zip(COLUMNS, key, strict=False))
            record |= {name: cast("str", getattr(meaning, name)) or None for name in _TEXTS}
            record |= {
                "tokens_per_unit": meaning.tokens_per_unit,
                "is_ai": ai,
                "details": price_details(meaning) if ai else None,
            }
            out.write(json.dumps(record) + "\n")
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in COLUMNS.items())
    connection.execute(
        f"INSERT INTO meaning SELECT * FROM read_json({literal(str(scratch))}, "
        f"format = 'newline_delimited', columns = {{{columns}}})"
    )
    scratch.unlink()
