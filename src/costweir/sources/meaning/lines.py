"""Recognises lines that are not inference: guardrails, capacity, training, storage, hosting and compute."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LineRule:
    """One kind of line: what it must contain, and what it is."""

    id: str
    any_of: frozenset[str]
    unless: frozenset[str]
    match: str
    pattern: re.Pattern[str] | None
    keeps_model: bool
    modality: str
    tier: str
    never_tokens: bool

    def holds(self, words: str, bag: frozenset[str]) -> bool:
        """Whether the line with these words is of this kind."""
        if self.any_of and self.any_of.isdisjoint(bag):
            return False
        if not self.unless.isdisjoint(bag):
            return False
        return self.pattern is None or self.pattern.search(words) is not None


class ServiceRules:
    """The rules that can hold for one service, with a quick test for the many lines that none fits."""

    def __init__(self, rules: list[LineRule]) -> None:
        self._rules = rules
        self._always = any(not rule.any_of and rule.pattern is None for rule in rules)
        self._words = frozenset(word for rule in rules if rule.pattern is None for word in rule.any_of)
        matches = [f"(?:{rule.match})" for rule in rules if rule.match]
        self._match = re.compile(f"(?<= )(?:{'|'.join(matches)})(?= )") if matches else None

    def first(self, words: str, bag: frozenset[str]) -> LineRule | None:
        """The first rule that holds for the line with these words, or None."""
        possible = (
            self._always
            or not self._words.isdisjoint(bag)
            or (self._match is not None and self._match.search(words) is not None)
        )
        if not possible:
            return None
        return next((rule for rule in self._rules if rule.holds(words, bag)), None)


class LineRules:
    """The rules of all clouds, narrowed by cloud and service before a line is looked at."""

    def __init__(self, rules: list[dict[str, Any]]) -> None:
        self._rules = [(rule["cloud"], re.compile(rule.get("service", "")), _rule(rule)) for rule in rules]

    def of(self, cloud: str, service: str) -> ServiceRules:
        """The rules for a service (lower case), in order."""
        return ServiceRules(
            [rule for at, pattern, rule in self._rules if at == cloud and pattern.search(service)]
        )


def _rule(source: dict[str, Any]) -> LineRule:
    match: str = source.get("match", "")
    means: dict[str, str] = source["set"]
    return LineRule(
        id=source["id"],
        any_of=frozenset(source.get("any", ())),
        unless=frozenset(source.get("unless", ())),
        match=match,
        pattern=re.compile(f"(?<= )(?:{match})(?= )") if match else None,
        keeps_model=source.get("model") == "keep",
        modality=means["modality"],
        tier=means.get("tier", ""),
        never_tokens=source.get("tokens") == "never",
    )
