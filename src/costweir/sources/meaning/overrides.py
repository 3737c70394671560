"""The operator's own exact mappings: a YAML list of lines with the slots they mean, which beat every rule."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, cast

import yaml

from costweir.domain.charge import TOKEN_CLASSES
from costweir.errors import ConfigError
from costweir.sources.meaning.data import parse
from costweir.sources.meaning.line import Line, Meaning

if TYPE_CHECKING:
    from pathlib import Path

_KEYS = ("cloud", "service", "text", "unit")
_SLOTS = tuple(each.name for each in fields(Meaning))
_ANY = "\0any"

Key = tuple[str, str, str, str]


class Overrides:
    """Exact mappings by (cloud, service, text, unit); one without a service or unit holds for each."""

    def __init__(self, by_line: dict[Key, Meaning], digest: str) -> None:
        self._by_line = by_line
        self.digest = digest

    def __bool__(self) -> bool:
        return bool(self._by_line)

    def get(self, line: Line) -> Meaning | None:
        """The operator's meaning of `line`, or None."""
        keys = (
            (line.cloud, service, line.text, unit)
            for service in (line.service, _ANY)
            for unit in (line.unit, _ANY)
        )
        return next((self._by_line[key] for key in keys if key in self._by_line), None)


def load_overrides(path: Path) -> Overrides:
    """Reads `path`: `{rules: [{cloud, text, service?, unit?, <slots>}]}`. A wrong file is a ConfigError."""
    import hashlib

    try:
        raw = path.read_bytes()
        content: Any = parse(raw)
    except OSError as failure:
        raise ConfigError(
            f"The mapping overrides {path} cannot be read: {failure.strerror}.",
            hint="Give the path of a readable YAML file.",
        ) from failure
    except (yaml.YAMLError, UnicodeDecodeError) as failure:
        raise ConfigError(
            f"The mapping overrides {path} are not YAML.",
            hint="Write a list under `rules:`, one mapping each.",
        ) from failure
    rules: Any = cast("dict[str, Any]", content).get("rules") if isinstance(content, dict) else None
    if not isinstance(rules, list):
        raise ConfigError(
            f"The mapping overrides {path} have no list `rules`.", hint="Put every mapping under `rules:`."
        )
    by_line: dict[Key, Meaning] = {}
    for number, rule in enumerate(cast("list[Any]", rules), start=1):
        key, meaning = _rule(rule, number)
        by_line[key] = meaning
    return Overrides(by_line, hashlib.sha256(raw).hexdigest())


def _rule(source: Any, number: int) -> tuple[Key, Meaning]:
    if not isinstance(source, dict):
        raise ConfigError(
            f"Mapping override {number} is not a mapping.", hint="Give it cloud, text and slots."
        )
    rule = cast("dict[str, Any]", source)
    unknown = sorted(set(rule) - set(_KEYS) - set(_SLOTS))
    missing = [name for name in ("cloud", "text") if not isinstance(rule.get(name), str)]
    if not isinstance(rule.get("service", ""), str):
        missing.append("service")
    if unknown or missing:
        wrong = f"has no text {missing[0]!r}" if missing else f"has the unknown key {unknown[0]!r}"
        raise ConfigError(
            f"Mapping override {number} {wrong}.",
            hint=f"Keys are {', '.join(_KEYS)} and {', '.join(_SLOTS)}.",
        )
    slots = {name: rule[name] for name in _SLOTS if name in rule}
    _check(slots, number)
    meaning = replace(Meaning(rule_id=f"override.{number}", confidence="high"), **slots)
    key = (rule["cloud"], rule.get("service", _ANY), rule["text"], str(rule.get("unit", _ANY)))
    return key, meaning


def _check(slots: dict[str, Any], number: int) -> None:
    tokens: Any = slots.get("tokens_per_unit")
    if tokens is not None and (not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 1):
        raise ConfigError(
            f"Mapping override {number} has tokens_per_unit {tokens!r}.",
            hint="Give a whole number, or leave it out.",
        )
    if slots.get("token_type", "other") not in TOKEN_CLASSES:
        raise ConfigError(
            f"Mapping override {number} has token_type {slots['token_type']!r}.",
            hint=f"Known are {', '.join(TOKEN_CLASSES)}.",
        )
    for name, value in slots.items():
        if name != "tokens_per_unit" and not isinstance(value, str):
            raise ConfigError(
                f"Mapping override {number} has {name} {value!r}.", hint="Write the value as text."
            )
