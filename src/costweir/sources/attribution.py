"""Who a line is for: ordered rules as data, written once as SQL and once as plain Python that the SQL has to
agree with.

A line that no rule knows is `untagged`, which is a member like any other (law L4).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import cast

import yaml

from costweir.domain.charge import UNTAGGED
from costweir.errors import ConfigError
from costweir.sources.formats.format import literal

FIELDS = ("customer", "project", "feature")
KINDS = ("tag", "principal", "resource_group", "account_map", "project_map", "sub_account")

#: Written by the clouds before a user's own tag key; the longest first.
PREFIXES = ("resourceTags/user:", "iamPrincipal/", "user:", "user_", "")

_SIGNS = re.compile(r"[^a-z0-9]+")
_LEAD = re.compile(r"^(resourcetags/user:|iamprincipal/|user:|user_)")


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to find out a customer, project or feature. What `keys`, `pattern` and `values` mean depends
    on `kind`."""

    name: str
    kind: str
    keys: tuple[str, ...] = ()
    pattern: str = ""
    values: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class LineFacts:
    """What a rule may look at: the tags as they stand on the line, and who and where the line belongs to."""

    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    principal: str | None = None
    resource: str | None = None
    resource_group: str | None = None
    sub_account: str | None = None


@dataclass(frozen=True, slots=True)
class AttributionRules:
    """The rules of each field, in the order they are tried."""

    customer: tuple[Rule, ...] = ()
    project: tuple[Rule, ...] = ()
    feature: tuple[Rule, ...] = ()

    @classmethod
    def load(cls, path: Path | None = None) -> AttributionRules:
        """The rules that come with Costweir, each field replaced by that of the file at `path` where it has
        one.

        Raises ConfigError for a file that is not such a list of rules.
        """
        shipped = (
            resources.files("costweir.sources")
            .joinpath("mappings/attribution.yaml")
            .read_text(encoding="utf-8")
        )
        fields = _parse(shipped, "attribution.yaml")
        if path is not None:
            try:
                fields |= _parse(path.read_text(encoding="utf-8"), str(path))
            except OSError as error:
                raise ConfigError(
                    f"The attribution rules {path} cannot be read: {error.strerror}.",
                    hint="Give the path of a YAML file with the fields customer, project and feature.",
                ) from error
        return cls(**fields)

    @classmethod
    def from_json(cls, data: Mapping[str, Sequence[Mapping[str, object]]]) -> AttributionRules:
        """Reads what `to_json` wrote."""
        return cls(
            **{
                name: tuple(_rule(item, "attribution rules") for item in data.get(name, ()))
                for name in FIELDS
            }
        )

    def to_json(self) -> dict[str, list[dict[str, object]]]:
        """The rules in the form of the file."""
        return {name: [_written(rule) for rule in self.of(name)] for name in FIELDS}

    def of(self, name: str) -> tuple[Rule, ...]:
        """The rules of one field."""
        return {"customer": self.customer, "project": self.project, "feature": self.feature}[name]

    @property
    def rules_hash(self) -> str:
        """SHA-256 of the rules, in hexadecimal: changes when a load would give other members."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def with_accounts(self, values: Mapping[str, str], *, to: str = "customer") -> AttributionRules:
        """These rules with one more at the end: `values` maps linked account, project or subscription to
        `to`."""
        rule = Rule("account-map", "account_map", values=dict(values))
        fields = {name: self.of(name) + ((rule,) if name == to else ()) for name in FIELDS}
        return AttributionRules(**fields)


def attribute(rules: Sequence[Rule], facts: LineFacts) -> tuple[str, str]:
    """The member and the name of the rule that gave it: `("untagged", "")` when none did. The reference for
    the SQL."""
    for rule in rules:
        value = _VALUE[rule.kind](rule, facts)
        if value:
            return value, rule.name
    return UNTAGGED, ""


def plain_key(key: str) -> str:
    """A tag key without prefix, letter case, blanks and signs: `resourceTags/user:Customer-Id` is
    `customerid`."""
    return _SIGNS.sub("", _LEAD.sub("", key.lower()))


def _by_tag(rule: Rule, facts: LineFacts) -> str:
    tags = {key: value.strip() for key, value in facts.tags.items()}
    for key in rule.keys:
        for prefix in PREFIXES:
            if tags.get(prefix + key):
                return tags[prefix + key]
    for key in rule.keys:
        for name, value in sorted(tags.items()):
            if value and plain_key(name) == plain_key(key):
                return value
    return ""


def _by_principal(rule: Rule, facts: LineFacts) -> str:
    for text in (facts.principal, facts.resource):
        match = re.search(rule.pattern, text or "")
        if match and match[1]:
            return match[1]
    return ""


def _by_group(rule: Rule, facts: LineFacts) -> str:
    match = re.search(group_pattern(rule.pattern), (facts.resource_group or "").lower())
    return match[1] if match else ""


def _by_map(rule: Rule, facts: LineFacts) -> str:
    return rule.values.get(facts.sub_account or "", "")


def _by_account(_rule: Rule, facts: LineFacts) -> str:
    return (facts.sub_account or "").strip()


_VALUE = {
    "tag": _by_tag,
    "principal": _by_principal,
    "resource_group": _by_group,
    "account_map": _by_map,
    "project_map": _by_map,
    "sub_account": _by_account,
}


def group_pattern(pattern: str) -> str:
    """`rg-customer-{id}-{env}` as a regular expression over a lower-case resource group; `{env}` has no
    hyphen."""
    parts = re.split(r"(\{id\}|\{env\})", pattern.lower())
    words = {"{id}": "(.+)", "{env}": "[^-]+"}
    return "^" + "".join(words.get(part, re.escape(part).replace(r"\-", "-")) for part in parts) + "$"


def rule_sql(rules: Sequence[Rule]) -> str:
    """SQL that gives the member and its rule as one text, from the columns `line_tags` (MAP of filled texts),
    `x_principal`, `resource_id`, `x_resource_group` and `sub_account_id`. It says what `attribute` says.

    The text is the number of the rule in four digits and the member, or NULL; `member_sql` and `name_sql`
    take it apart. Every term stands in it once: DuckDB works out what stands twice for every row, found or
    not.
    """
    terms = [f"'{number:04d}' || {_sql(rule)}" for number, rule in enumerate(rules)]
    return f"coalesce({', '.join([*terms, 'NULL'])})"


def member_sql(column: str) -> str:
    """SQL for the member in a text that `rule_sql` gave."""
    return f"coalesce(substr({column}, 5), {literal(UNTAGGED)})"


def name_sql(column: str, rules: Sequence[Rule]) -> str:
    """SQL for the name of the rule in a text that `rule_sql` gave."""
    names = ", ".join(literal(rule.name) for rule in rules)
    return f"coalesce([{names}][try_cast({column}[1:4] AS INTEGER) + 1], '')"


def _sql(rule: Rule) -> str:
    if rule.kind == "tag":
        exact = [f"line_tags[{literal(prefix + key)}]" for key in rule.keys for prefix in PREFIXES]
        alike = ", ".join(literal(key) for key in dict.fromkeys(map(plain_key, rule.keys)))
        return f"coalesce({', '.join(exact)}, tag_like(line_tags, [{alike}]))"
    if rule.kind == "principal":
        found = [f"filled(regexp_extract({column}, {literal(rule.pattern)}, 1))" for column in _WHO]
        return f"coalesce({', '.join(found)})"
    if rule.kind == "resource_group":
        return f"filled(regexp_extract(lower(x_resource_group), {literal(group_pattern(rule.pattern))}, 1))"
    if rule.kind == "sub_account":
        return "filled(trim(sub_account_id))"
    pairs = ", ".join(f"{literal(key)}: {literal(value)}" for key, value in rule.values.items() if value)
    return f"MAP {{{pairs}}}[sub_account_id]" if pairs else "NULL::VARCHAR"


_WHO = ("x_principal", "resource_id")


def _parse(text: str, where: str) -> dict[str, tuple[Rule, ...]]:
    try:
        data = cast("object", yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ConfigError(f"{where} is not YAML.", hint=f"The parser says: {error}") from error
    if not isinstance(data, Mapping):
        raise ConfigError(
            f"{where} is not a list of rules.", hint="Start it with customer:, project: or feature:."
        )
    data = cast("Mapping[str, object]", data)
    unknown = sorted(set(data) - {"version", *FIELDS})
    if unknown:
        raise ConfigError(
            f"{where} has the unknown field {unknown[0]}.", hint=f"Fields are {', '.join(FIELDS)}."
        )
    return {
        name: tuple(_rule(item, where) for item in cast("Sequence[Mapping[str, object]]", data[name] or ()))
        for name in FIELDS
        if name in data
    }


def _rule(item: Mapping[str, object], where: str) -> Rule:
    kind = next((kind for kind in KINDS if kind in item), "")
    if not kind or set(item) - {"name", kind}:
        raise ConfigError(
            f"A rule in {where} has to have a name and one of {', '.join(KINDS)}: {dict(item)}."
        )
    name, value = str(item.get("name") or kind), item[kind]
    if kind == "tag":
        keys = [value] if isinstance(value, str) else cast("Sequence[object]", value)
        return Rule(name, kind, keys=tuple(str(key) for key in keys))
    if kind in ("principal", "resource_group"):
        return Rule(name, kind, pattern=_pattern(kind, str(value), where))
    if kind == "sub_account":
        return Rule(name, kind)
    pairs = cast("Mapping[object, object]", value or {})
    return Rule(name, kind, values={str(key): str(member) for key, member in pairs.items()})


def _pattern(kind: str, pattern: str, where: str) -> str:
    try:
        groups = re.compile(group_pattern(pattern) if kind == "resource_group" else pattern).groups
    except re.error as error:
        raise ConfigError(
            f"The pattern {pattern!r} in {where} is not a regular expression: {error}."
        ) from error
    if groups < 1:
        raise ConfigError(
            f"The pattern {pattern!r} in {where} has no part that is the value.",
            hint="Put the value in round brackets, or write {id} in a resource group pattern.",
        )
    return pattern


def _written(rule: Rule) -> dict[str, object]:
    value: object = list(rule.keys) or rule.pattern or dict(rule.values)
    return {"name": rule.name, rule.kind: True if rule.kind == "sub_account" else value}
