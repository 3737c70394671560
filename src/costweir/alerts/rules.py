"""Which rows of a table are a matter that people are told of. Pure functions of rows: they read, send and remember
nothing, and what is missing fires nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal

from costweir.alerts.rules_data import Rule, Test, plain
from costweir.alerts.rules_text import Row, address, decimal, fill, shown
from costweir.control.incidents import Condition
from costweir.domain.answer import Cell


def matters(rule: Rule, rows: Sequence[Row], *, today: date) -> list[Condition]:
    """The rows for which the rule holds, as conditions in their order.

    What is beyond the most that a rule tells of is one condition more, so that nothing is left out and nobody gets a
    thousand messages.
    """
    held = [row for row in rows if holds(rule, row)]
    days = rule.watch.days if rule.watch else 1
    context: Row = {"today": today.isoformat(), "since": (today - timedelta(days=days - 1)).isoformat()}
    found = [condition_of(rule, {**context, **row}) for row in held[: rule.most]]
    beyond = len(held) - rule.most
    if beyond > 0:
        text = f"{rule.title}: {beyond} more than the {rule.most} that are told one by one."
        found.append(
            Condition(
                f"{rule.name}:{rule.id}:more", rule.name, f"{beyond} more", text, fill(rule.hint, context),
                severity=rule.severity, team=rule.team,
            )
        )  # fmt: skip
    return found


def holds(rule: Rule, row: Row) -> bool:
    """Whether every test passes, and there is enough of it to matter."""
    if not all(passes(test, row.get(test.field)) for test in rule.when):
        return False
    if rule.floor is not None and not _reaches(row.get(rule.floor.field), rule.floor.usd):
        return False
    return rule.least is None or _reaches(row.get(rule.least.field), Decimal(rule.least.count))


def passes(test: Test, value: Cell) -> bool:
    """Whether a value passes a test. A missing value passes none, nor does a text where a number is compared."""
    if value is None:
        return False
    if test.equal is not None:
        return value == test.equal
    if test.other is not None:
        return value != test.other
    number = decimal(value)
    if number is None:
        return False
    if test.above is not None:
        return number > test.above
    if test.at_least is not None:
        return number >= test.at_least
    return test.below is not None and number < test.below


def condition_of(rule: Rule, row: Row) -> Condition:
    """What is told about a row."""
    first = rule.when[0] if rule.when else None
    measured = rule.measured or (first.field if first else "")
    value = row.get(measured)
    threshold = first.threshold if first else None
    limit = (
        _measure(rule.limit, row.get(rule.limit))
        if rule.limit
        else _measure(measured, plain(threshold or ""))
    )
    words = isinstance(value, bool) or decimal(value) is None
    return Condition(
        key=":".join([rule.name, *(shown(row.get(name)) for name in rule.key)]),
        event=rule.name,
        subject=fill(rule.subject, row).strip() or rule.title,
        text=fill(rule.text, row),
        hint=fill(rule.hint, row),
        severity=rule.milder if rule.milder and row.get("one") is True else rule.severity,
        team=rule.team,
        link=address(rule.link, row),
        period=fill(rule.period, row),
        value="" if words else _measure(measured, value),
        limit="" if words else limit,
    )


def _reaches(value: Cell, least: Decimal) -> bool:
    number = decimal(value)
    return number is not None and number >= least


def _measure(field: str, value: Cell) -> str:
    """A value with its unit, which the name of its field says."""
    if value is None or value == "":
        return ""
    if field.endswith("_share"):
        return shown(value, "percent")
    money = field.endswith(("_usd", "_cost")) or field == "cost" or field.startswith("cost_")
    return shown(value, "usd" if money else "tenth")
