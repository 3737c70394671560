"""The alert rules as data: `rules.yaml` of this room, and what `[[alerts]]` of the settings changes, switches off or
adds. A rule that names something that is not there is refused with one sentence before anything is watched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError

from costweir.alerts.rules_data import CONTEXT, Rule, Sheet, Watch, fields_of, plain
from costweir.alerts.rules_text import names_in
from costweir.errors import ConfigError, UsageError
from costweir.queries.question import Question, find_question

if TYPE_CHECKING:
    from costweir.config import Settings
    from costweir.config.alerting import Alert


@dataclass(frozen=True, slots=True)
class Rulebook:
    """Every rule, switched off ones and those of Prometheus included."""

    rules: tuple[Rule, ...]

    def watched(self) -> tuple[Rule, ...]:
        """The rules that Costweir evaluates itself."""
        return tuple(rule for rule in self.rules if rule.enabled and rule.plane == "native")

    def find(self, name: str) -> Rule | None:
        """The rule of that id."""
        return next((rule for rule in self.rules if rule.id == name), None)

    def to_json(self) -> list[dict[str, object]]:
        """One record a rule."""
        return [rule.to_json() for rule in self.rules]


def load(settings: Settings) -> Rulebook:
    """The shipped rules with what the settings change about them.

    Raises ConfigError with one sentence for a row of `[[alerts]]` that fits no rule, question or field.
    """
    return overlaid(settings.alerts)


def overlaid(rows: tuple[Alert, ...]) -> Rulebook:
    """`load` of some rows of `[[alerts]]`."""
    rules = {rule.id: rule for rule in shipped()}
    for row in rows:
        known = rules.get(row.id)
        if known is None and row.question is None:
            raise ConfigError(
                f"alerts: {row.id!r} is no rule.",
                hint=f"{_near(row.id, rules)}To add one, name the question of the catalogue that it watches.",
            )
        rule = _made(_added(row) if known is None else _changed(known, row), f"alerts: {row.id!r}")
        _check(rule)
        rules[row.id] = rule
    return Rulebook(tuple(rules.values()))


@cache
def shipped() -> tuple[Rule, ...]:
    """The rules of `rules.yaml`."""
    import yaml

    text = (resources.files("costweir.alerts") / "rules.yaml").read_text(encoding="utf-8")
    rules = Sheet.model_validate(yaml.safe_load(text)).rules
    for rule in rules:
        _check(rule)
    return rules


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `rules.yaml`."""
    made = Sheet.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "rules.yaml"}


def _changed(rule: Rule, row: Alert) -> dict[str, Any]:
    """The rule with what a row says instead."""
    if row.question is not None or row.by is not None:
        what = "question" if row.question is not None else "by"
        raise ConfigError(
            f"alerts: {row.id!r} is a rule of ours, whose {what} cannot be changed.",
            hint="Switch it off and add one of another id.",
        )
    if rule.plane == "prometheus" and row.model_fields_set - {"id", "enabled"}:
        raise ConfigError(
            f"alerts: {row.id!r} is evaluated by Prometheus; it can only be switched off here.",
            hint="Change the rule files that costweir render writes, or add a rule of your own.",
        )
    made = _dump(rule) | {"origin": "changed"}
    for name in ("enabled", "title", "team", "text", "hint", "link", "keep", "url_env"):
        if (value := getattr(row, name)) is not None:
            made[name] = value
    if row.severity is not None:
        made |= {"severity": row.severity, "milder": None}
    if row.lasting is not None:
        made["for"] = row.lasting
    watched = {
        name: getattr(row, name) for name in ("where", "days", "basis") if getattr(row, name) is not None
    }
    if watched:
        made["watch"] = {**cast("dict[str, Any]", made["watch"] or {}), **watched}
    made["when"] = _tests(row, cast("list[dict[str, Any]]", made["when"]))
    for name, part, value in (("floor", "usd", row.floor_usd), ("least", "count", row.least)):
        if value is not None and made[name] is None:
            raise ConfigError(
                f"alerts: {row.id!r} has no {name} to change.", hint="costweir alerts rules shows it."
            )
        if value is not None:
            made[name] = {**cast("dict[str, Any]", made[name]), part: value}
    return made


def _tests(row: Alert, tests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tests with another threshold in the first."""
    if row.above is None and row.below is None:
        return tests
    if not tests or not tests[0].keys() & {"above", "at_least", "below"}:
        raise ConfigError(
            f"alerts: {row.id!r} has no threshold to change.", hint="Switch it off with enabled = false."
        )
    field = row.field or tests[0]["field"]
    # Where a rule fires from its threshold on, it does so with another threshold too.
    side = "below" if row.below is not None else "at_least" if "at_least" in tests[0] else "above"
    return [{"field": field, side: row.above if row.below is None else row.below}, *tests[1:]]


def _added(row: Alert) -> dict[str, Any]:
    """A rule of the operator's own, with what it leaves out."""
    if row.above is None and row.below is None:
        raise ConfigError(
            f"alerts: {row.id!r} has no threshold.", hint='Say above or below, such as above = "10.00".'
        )
    field, side = row.field or "cost", "above" if row.below is None else "below"
    value = row.above if row.below is None else row.below
    question = _question(row)
    split = row.by if row.by is not None else question.by
    watch: dict[str, Any] = {
        "table": "question",
        "question": row.question,
        "by": split,
        "days": row.days or 1,
    }
    watch |= {name: value for name, value in (("where", row.where), ("basis", row.basis)) if value}
    shown = " ".join(f"{{{name}}}" for name in split) or (row.title or row.id).replace("{", "")
    text = row.text or f"{shown}: {field} is {{{field}}}, {side} {plain(value)}."
    made: dict[str, Any] = {
        "id": row.id, "title": row.title or row.id.replace("_", " "), "severity": row.severity or "warning",
        "team": row.team or "owners", "enabled": row.enabled is not False, "watch": watch,
        "when": [{"field": field, side: value}], "key": split, "subject": shown, "text": text, "hint": row.hint or "",
        "link": row.link or "", "every": "5m", "origin": "added",
    }  # fmt: skip
    if row.floor_usd is not None:
        made["floor"] = {"field": "cost", "usd": row.floor_usd}
    if row.least is not None:
        raise ConfigError(
            f"alerts: {row.id!r} is a new rule, which has no least.",
            hint="Use floor_usd, or narrow it with where.",
        )
    made |= {name: value for name, value in (("for", row.lasting), ("keep", row.keep)) if value is not None}
    return made


def _question(row: Alert) -> Question:
    try:
        return find_question(row.question or "")
    except UsageError as error:
        raise ConfigError(f"alerts: {row.id!r}: {error.message}", hint=error.hint) from None


def _dump(rule: Rule) -> dict[str, Any]:
    return rule.model_dump(by_alias=True, exclude_unset=False) | {
        "watch": rule.watch.model_dump(exclude_unset=True) if rule.watch else None,
        "when": [test.model_dump(by_alias=True, exclude_none=True) for test in rule.when],
        "least": rule.least.model_dump() if rule.least else None,
        "floor": rule.floor.model_dump() if rule.floor else None,
    }


def _made(values: Mapping[str, Any], place: str) -> Rule:
    try:
        return Rule.model_validate(dict(values))
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        said = fault["msg"].removeprefix("Value error, ").rstrip(".")
        raise ConfigError(
            f"{place}: {where + ': ' if where else ''}{said}.", hint="See docs/alerts.md."
        ) from None


def _check(rule: Rule) -> None:
    """Raises ConfigError for a field, dimension or basis that its table does not have."""
    if rule.watch is None:
        return
    _check_watch(rule, rule.watch)
    known = fields_of(rule)
    for name in _fields_named(rule):
        if name not in known | CONTEXT:
            raise ConfigError(
                f"alerts: {rule.id!r} names the field {name!r}, which is not there.",
                hint=f"{_near(name, known)}There are: {', '.join(sorted(known))}.",
            )


def _check_watch(rule: Rule, watch: Watch) -> None:
    if watch.table != "question":
        return
    from costweir.queries.dimensions import find_dimension

    try:
        question = find_question(watch.question)
        for name in watch.by:
            find_dimension(name, question.dimensions)
        for name, values in watch.where.items():
            dimension = find_dimension(name, question.filters)
            for value in values:
                dimension.parse(value)
    except UsageError as error:
        raise ConfigError(f"alerts: {rule.id!r}: {error.message}", hint=error.hint) from None
    if watch.basis and watch.basis not in question.basis:
        raise ConfigError(
            f"alerts: {rule.id!r}: {question.id} has no basis {watch.basis!r}.",
            hint=f"It has: {', '.join(question.basis)}.",
        )


def _fields_named(rule: Rule) -> Iterator[str]:
    yield from (test.field for test in rule.when)
    yield from rule.key
    yield from (part.field for part in (rule.floor, rule.least) if part is not None)
    yield from (name for name in (rule.measured, rule.limit) if name)
    for text in (rule.text, rule.hint, rule.subject, rule.period, rule.link):
        yield from names_in(text)


def _near(name: str, known: Mapping[str, object] | frozenset[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f"Did you mean {near[0]}? " if near else ""
