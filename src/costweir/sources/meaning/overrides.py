"""The operator's own exact mappings: lines with the slots they mean, which beat every rule. They come from a YAML file
and from what was set by hand; where both are about the same lines, the file goes first.

A mapping's rule id is made of its content, so that a line shows which mapping it was read by, in which wording.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, cast

import yaml

from costweir.domain.charge import TOKEN_CLASSES
from costweir.errors import ConfigError
from costweir.sources.meaning.data import parse
from costweir.sources.meaning.line import Line, Meaning

if TYPE_CHECKING:
    from pathlib import Path

#: The file of the data directory with mappings written by hand.
FILE_NAME = "mappings.yaml"
_KEYS = ("cloud", "service", "text", "unit")
_SLOTS = tuple(each.name for each in fields(Meaning))
_ANY = "\0any"

Key = tuple[str, str, str, str]


def mapping_file(folder: Path) -> Path | None:
    """`mappings.yaml` of a data directory, or None when there is none."""
    path = folder / FILE_NAME
    return path if path.exists() else None


class Overrides:
    """Exact mappings by (cloud, service, text, unit); one without a service or unit holds for each."""

    def __init__(self, by_line: dict[Key, Meaning], digest: str) -> None:
        self._by_line = by_line
        self.digest = digest

    def __bool__(self) -> bool:
        return bool(self._by_line)

    @property
    def texts(self) -> frozenset[str]:
        """Every text that a mapping is about."""
        return frozenset(key[2] for key in self._by_line)

    def get(self, line: Line) -> Meaning | None:
        """The operator's meaning of `line`, or None."""
        keys = (
            (line.cloud, service, line.text, unit)
            for service in (line.service, _ANY)
            for unit in (line.unit, _ANY)
        )
        return next((self._by_line[key] for key in keys if key in self._by_line), None)


def read_overrides(path: Path | None, more: Sequence[Mapping[str, Any]] = ()) -> Overrides | None:
    """The mappings of the file, if there is one, and those set by hand; None when there are none at all.

    A rule is `{cloud, text, service?, unit?, <slots>}`, in the file under `rules:`. Raises ConfigError.
    """
    if path is None and not more:
        return None
    by_line: dict[Key, Meaning] = {}
    for rule in more:
        key, meaning = read_rule(rule, "set by hand")
        by_line[key] = meaning
    for number, rule in enumerate(_rules(path) if path else (), start=1):
        key, meaning = read_rule(rule, str(number))
        by_line[key] = meaning
    written = sorted([*key, meaning.rule_id] for key, meaning in by_line.items())
    return Overrides(by_line, hashlib.sha256(json.dumps(written).encode()).hexdigest())


def _rules(path: Path) -> list[Any]:
    try:
        content: Any = parse(path.read_bytes())
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
    return cast("list[Any]", rules)


def read_rule(source: Any, name: str) -> tuple[Key, Meaning]:
    """The lines that a rule is about and what they mean; `name` is for messages. Raises ConfigError."""
    if not isinstance(source, dict):
        raise ConfigError(f"Mapping override {name} is not a mapping.", hint="Give it cloud, text and slots.")
    rule = cast("dict[str, Any]", source)
    unknown = sorted(set(rule) - set(_KEYS) - set(_SLOTS))
    missing = [name for name in ("cloud", "text") if not isinstance(rule.get(name), str)]
    if not isinstance(rule.get("service", ""), str):
        missing.append("service")
    if unknown or missing:
        wrong = f"has no text {missing[0]!r}" if missing else f"has the unknown key {unknown[0]!r}"
        raise ConfigError(
            f"Mapping override {name} {wrong}.",
            hint=f"Keys are {', '.join(_KEYS)} and {', '.join(_SLOTS)}.",
        )
    slots = {name: rule[name] for name in _SLOTS if name in rule}
    _check(slots, name)
    key = (rule["cloud"], rule.get("service", _ANY), rule["text"], str(rule.get("unit", _ANY)))
    content = json.dumps([*key, slots], sort_keys=True)
    own = f"override.{hashlib.sha256(content.encode()).hexdigest()[:10]}"
    return key, replace(Meaning(rule_id=own, confidence="high"), **slots)


def _check(slots: dict[str, Any], rule: str) -> None:
    tokens: Any = slots.get("tokens_per_unit")
    if tokens is not None and (not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 1):
        raise ConfigError(
            f"Mapping override {rule} has tokens_per_unit {tokens!r}.",
            hint="Give a whole number, or leave it out.",
        )
    if slots.get("token_type", "other") not in TOKEN_CLASSES:
        raise ConfigError(
            f"Mapping override {rule} has token_type {slots['token_type']!r}.",
            hint=f"Known are {', '.join(TOKEN_CLASSES)}.",
        )
    for name, value in slots.items():
        if name != "tokens_per_unit" and not isinstance(value, str):
            raise ConfigError(
                f"Mapping override {rule} has {name} {value!r}.", hint="Write the value as text."
            )
