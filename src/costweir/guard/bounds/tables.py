"""Reads what `data/` knows of fields, tools, content parts, headers, models and hosts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, cast

import yaml

from costweir.guard.bounds.shape import Format, Media

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ROOT = files("costweir.guard.bounds") / "data"


_DETAILS: Mapping[str, Media] = {"low": "image_low", "high": "image_high", "other": "image"}
#: An image at any detail.
IMAGES = tuple(_DETAILS.values())


@dataclass(frozen=True, slots=True)
class Row:
    """One row: what bounds a field, tool, part or header. `options` holds what its kind of bound needs besides."""

    name: str
    bound: str
    why: str = ""
    tokens: int = 0
    fields: frozenset[str] = frozenset()
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Table:
    """Everything that is known of one wire format. `constants` are tokens; `tiers` and `speeds` name the prices that a
    word may meet besides the standard one."""

    format: Format
    constants: Mapping[str, int]
    floor: int
    fields: Mapping[str, Row]
    message: Mapping[str, Row]
    everywhere: Mapping[str, Row]
    parts: Mapping[str, Row]
    tools: Mapping[str, Row]
    betas: Mapping[str, Row]
    tiers: Mapping[str, frozenset[str]]
    speeds: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A row about models or hosts; it counts where its pattern is found."""

    pattern: re.Pattern[str]
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of models and hosts: limits of output, images, how hosts read a cap, and what a server may write
    before the first message."""

    fallback_output: int
    preamble: int
    outputs: tuple[Pattern, ...]
    images: tuple[Pattern, ...]
    hosts: tuple[Pattern, ...]
    searches: tuple[Pattern, ...]
    tokenizers: tuple[Pattern, ...]

    def output_of(self, model: str) -> int:
        """The most tokens that a model may write; 0 for one that is not listed."""
        found = first(self.outputs, model)
        return 0 if found is None else int(found["tokens"])

    def images_of(self, model: str) -> Mapping[Media, int]:
        """The most tokens of one image at each detail; what is not there is bounded by the context only."""
        found = first(self.images, model) or {}
        return {kind: int(found[name]) for name, kind in _DETAILS.items() if name in found}

    def tokenizer_of(self, model: str) -> str:
        """The name of its tokenizer; empty where that is not known."""
        found = first(self.tokenizers, model)
        return "" if found is None else str(found["name"])


def first(rows: tuple[Pattern, ...], text: str) -> Mapping[str, Any] | None:
    """The options of the first row whose pattern is found in `text`."""
    return next((row.options for row in rows if row.pattern.search(text)), None)


@cache
def table(format: Format) -> Table:  # noqa: A002 - the wire format
    """The table of a wire format."""
    raw = document(format)
    return Table(
        format=format,
        constants={name: int(row["tokens"]) for name, row in raw["constants"].items()},
        floor=int(raw["floor"]["tokens"]),
        fields=_rows(raw, "fields"),
        message=_rows(raw, "message"),
        everywhere=_rows(raw, "everywhere"),
        parts=_rows(raw, "parts"),
        tools=_rows(raw, "tools"),
        betas=_rows(raw, "betas"),
        tiers={name: frozenset(row["prices"]) for name, row in raw["tiers"].items()},
        speeds={name: frozenset(row["prices"]) for name, row in raw.get("speeds", {}).items()},
    )


@cache
def known() -> Known:
    """What is known of models and hosts."""
    raw = document("models")
    return Known(
        int(raw["fallback_output"]["tokens"]),
        int(raw["preamble"]["tokens"]),
        *(_patterns(raw, name) for name in ("outputs", "images", "hosts", "searches", "tokenizers")),
    )


def document(name: str) -> dict[str, Any]:
    """One file of `data/`, by its name without `.yaml`."""
    return yaml.load((_ROOT / f"{name}.yaml").read_bytes(), Loader=_LOADER)  # noqa: S506  # the safe loader


def _rows(raw: Mapping[str, Any], section: str) -> dict[str, Row]:
    return {
        name: Row(
            name,
            row["bound"],
            row.get("why", ""),
            int(row.get("tokens", 0)),
            frozenset(row.get("fields", ())),
            row,
        )
        for name, row in cast("dict[str, Any]", raw.get(section, {})).items()
    }


def _patterns(raw: Mapping[str, Any], section: str) -> tuple[Pattern, ...]:
    return tuple(Pattern(re.compile(row["match"]), row) for row in raw[section])
