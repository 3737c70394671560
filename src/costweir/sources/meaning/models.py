"""Finds the model that a line names: the longest match over a table of model families wins.

A family is only tried when one of its words stands in the text. A bare version ("5.4") is only read where the
product itself names the family. Ids of unseen versions follow from the pattern of their family.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_PART = re.compile(r"\[([^\]]*)\]|\{(\w+)(?:\|(\w+))?\}")
_LETTERS = re.compile(r"[^a-z0-9]")
#: What may follow a model's name in a vendor's id: a release date and Bedrock's version.
_RELEASE = re.compile(r"(?:20\d{6}|2[3-9]\d\d)?(?:v\d+|\d{1,2})?")
_STAMP = re.compile(r"-20\d{6}|-2[3-9](?:0[1-9]|1[0-2])(?=-|:|$)|-v\d+:\d+$|:\d+$")


@dataclass(frozen=True, slots=True)
class Family:
    """What all models of a family share: who makes them, what they are metered in, what they work on."""

    id: str
    developer: str
    metered: str
    modality: str
    direction: str = ""
    cache_ttl: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """A model that was found, the rule that found it, and the piece `start:end` of the text that names it.

    Of two hits the one with the higher `rank` is believed (see `ModelRule.rank`).
    """

    model: str
    family: Family
    rule: str
    start: int = 0
    end: int = 0
    rank: tuple[int, bool, int] = (0, False, 0)
    derived: bool = False


@dataclass(frozen=True, slots=True)
class ModelRule:
    """One spelling of the names of a family, and how a model id is made of it."""

    id: str
    family: Family
    pattern: re.Pattern[str]
    template: str
    spell: dict[str, str]
    default: dict[str, str]
    derived: bool
    order: int
    cloud: str
    service: re.Pattern[str] | None

    def holds_for(self, cloud: str, service: str) -> bool:
        """Whether the rule may be used for a cloud and a service (lower case)."""
        return self.cloud in ("", cloud) and (self.service is None or bool(self.service.search(service)))

    def rank(self, found: re.Match[str]) -> tuple[int, bool, int]:
        """How much a match weighs: the longer name, then a known before a derived one, then the earlier."""
        return found.end() - found.start(), not self.derived, -self.order

    def hit(self, found: re.Match[str]) -> Hit:
        """The hit for a match of `pattern`."""
        groups = found.groupdict()
        whole = "model" if groups.get("model") else 0
        return Hit(
            self._render(groups), self.family, self.id, found.start(whole), found.end(whole),
            rank=self.rank(found), derived=self.derived,
        )  # fmt: skip

    def _render(self, groups: dict[str, str | None]) -> str:
        def one(part: re.Match[str]) -> str:
            if part[1] is not None:
                inner = _PART.search(part[1])
                known = inner is not None and (groups.get(inner[2]) or self.default.get(inner[2]))
                return _PART.sub(one, part[1]) if known else ""
            value = groups.get(part[2]) or self.default.get(part[2], "")
            return _shape(" ".join(self.spell.get(word, word) for word in value.split(" ")), part[3])

        return _PART.sub(one, self.template)


def _shape(value: str, shape: str | None) -> str:
    match shape:
        case "join":
            return value.replace(" ", "-")
        case "dash":
            return value.removesuffix(".0").replace(".", "-").replace(" ", "-")
        case "dot":
            return value.replace(" ", ".")
        case "short":
            return value.removesuffix(".0")
        case "glue":
            return value.replace(" ", "")
        case _:
            return value


@dataclass(slots=True)
class _Index:
    by_word: dict[str, list[ModelRule]] = field(default_factory=dict[str, list[ModelRule]])
    products: list[ModelRule] = field(default_factory=list[ModelRule])
    vendors: dict[str, Family] = field(default_factory=dict[str, Family])


class ModelFinder:
    """The table of model families, ready to be searched."""

    def __init__(self, families: list[dict[str, Any]]) -> None:
        self._index = _Index()
        self._count = 0
        for family in families:
            self._add(family)
        self._words = frozenset(self._index.by_word)

    def find(self, words: str, *, cloud: str, service: str) -> Hit | None:
        """The longest model name in `words` (as cut by `Cutter`), or None. `service` is lower case."""
        rules = {
            rule.order: rule
            for word in self._words.intersection(words.split())
            for rule in self._index.by_word[word]
            if rule.holds_for(cloud, service)
        }
        return _heaviest((rule, rule.pattern.search(words)) for rule in rules.values())

    def find_bare(self, words: str, *, products: list[ModelRule]) -> Hit | None:
        """The model a text starts with when only its product names the family; see `products_of`."""
        return _heaviest((rule, rule.pattern.match(words)) for rule in products)

    def products_of(self, service: str) -> list[ModelRule]:
        """The rules that hold inside one product (lower case)."""
        return [rule for rule in self._index.products if rule.service and rule.service.search(service)]

    def from_vendor_id(self, vendor: str, name: str, *, hit: Hit | None, named: str) -> Hit | None:
        """The model of a `vendor.name` pair: what the family reads when it covers the name, else the name.

        `named` is the text of `hit`; release dates and Bedrock's `-v1:0` are left out.
        """
        whole = vendor + _LETTERS.sub("", name)
        at = whole.rfind(_LETTERS.sub("", named)) if hit else -1
        if hit and vendor.startswith(whole[: max(at, 0)]) and at >= 0:
            rest = whole[at + len(_LETTERS.sub("", named)) :]
            if _RELEASE.fullmatch(rest):
                return hit
        plain = _STAMP.sub("", name)
        if re.fullmatch(r"[a-z]{1,2}\d[\w.]*", plain):
            plain = f"{vendor}-{plain}"
        family = hit.family if hit else self._index.vendors.get(vendor)
        return Hit(plain, family or Family("vendor", vendor, "tokens", "text"), "vendor-id", derived=True)

    def _add(self, source: dict[str, Any]) -> None:
        for entry in source.get("products", []):
            self._index.products.append(self._rule(source, entry, anchored=True))
        rules = [self._rule(source, entry, anchored=False) for entry in source["rules"]]
        for word in source["words"]:
            self._index.by_word.setdefault(word, []).extend(rules)
        for vendor in source.get("vendors", []):
            self._index.vendors.setdefault(vendor, rules[0].family)

    def _rule(self, source: dict[str, Any], entry: dict[str, Any], *, anchored: bool) -> ModelRule:
        self._count += 1

        def own(key: str) -> str:
            return entry.get(key) or source.get(key) or ""

        family = Family(
            source["id"],
            source["developer"],
            own("metered"),
            own("modality"),
            own("direction"),
            own("cache_ttl"),
        )
        name = f"{source['id']}.product" if anchored else f"{source['id']}.{entry['id']}"
        service = entry.get("service")
        return ModelRule(
            id=name,
            family=family,
            pattern=re.compile(
                f" (?:{entry['match']})(?= )" if anchored else f"(?<= )(?:{entry['match']})(?= )"
            ),
            template=entry["model"],
            spell={**source.get("spell", {}), **entry.get("spell", {})},
            default=entry.get("default", {}),
            derived=bool(entry.get("derived")),
            order=self._count,
            cloud=entry.get("cloud", ""),
            service=re.compile(service) if service else None,
        )


def better(best: Hit | None, other: Hit | None) -> Hit | None:
    """The hit of higher rank, or the only one."""
    if best is None or other is None:
        return best or other
    return max(best, other, key=lambda hit: hit.rank)


def _heaviest(matches: Iterable[tuple[ModelRule, re.Match[str] | None]]) -> Hit | None:
    best: tuple[tuple[int, bool, int], ModelRule, re.Match[str]] | None = None
    for rule, found in matches:
        if found is not None:
            rank = rule.rank(found)
            if best is None or rank > best[0]:
                best = (rank, rule, found)
    return best[1].hit(best[2]) if best else None
