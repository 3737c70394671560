"""One rule of `rules.json` as SQL over a file whose cells are texts, and as a sentence for people.

Every check passes an empty cell unless the rule is about emptiness, so that one fault is reported by one
rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

Check = Sequence[Any]

_NUMERIC = r"-?([0-9]+(\.[0-9]+)?|\.[0-9]+)([eE]-?[0-9]+)?"
_INSTANT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z"
_UNIT = r"([0-9]+ )?[A-Za-z][A-Za-z0-9 ()_.%-]*(/([0-9]+ )?[A-Za-z]+)?"
#: A product may differ from its cost by this part of the cost, or by this amount: bills round what they
#: print.
_RELATIVE, _ABSOLUTE = "1e-6", "1e-8"


def literal(text: object) -> str:
    """A text as an SQL literal."""
    return "'" + str(text).replace("'", "''") + "'"


def name(column: str) -> str:
    """A column name as an SQL identifier."""
    return '"' + column.replace('"', '""') + '"'


def among(cell: str, values: Sequence[object]) -> str:
    """Whether an SQL expression is one of some texts."""
    # a pattern, because in DuckDB 2.0 a list costs megabytes for each column, and a file has a hundred
    return f"regexp_full_match({cell}, {literal('|'.join(re.escape(str(value)) for value in values))})"


def _number(column: str) -> str:
    # a comparison with a stated tolerance; nothing that is computed here is kept as money
    return f"TRY_CAST({name(column)} AS DOUBLE)"


class Compiler:
    """Turns checks into SQL conditions that are true where a row keeps the rule."""

    def __init__(self, columns: Collection[str], types: Mapping[str, str], currencies: Sequence[str]) -> None:
        self._columns = columns
        self._types = types
        self._currencies = currencies

    def keeps(self, check: Check) -> str:
        """The condition of a requirement. KeyError for a check that is not about rows."""
        return _ROW_CHECKS[check[0]](self, check)

    def applies(self, check: Check) -> str:
        """The condition under which a rule applies; a column that the file lacks counts as empty."""
        kind = check[0]
        if kind in ("and", "or"):
            return "(" + f" {kind.upper()} ".join(self.applies(part) for part in check[1:]) + ")"
        if kind == "not_same":
            return f"({self._cell(check[1])} IS DISTINCT FROM {self._cell(check[2])})"
        cell = self._cell(check[1])
        if kind == "in":
            return f"COALESCE({among(cell, check[2])}, FALSE)"
        if kind not in ("value", "not_value"):
            raise ValueError(f"rules.json has a condition {kind!r} that is not known here")
        if check[2] is None:
            return f"({cell} IS NULL)" if kind == "value" else f"({cell} IS NOT NULL)"
        wanted = "IS NOT DISTINCT FROM" if kind == "value" else "IS DISTINCT FROM"
        return f"({cell} {wanted} {literal(check[2])})"

    def _cell(self, column: str) -> str:
        return name(column) if column in self._columns else "CAST(NULL AS VARCHAR)"

    def value(self, check: Check) -> str:
        """A cell is empty, or is exactly a value."""
        if check[2] is None:
            return f"{name(check[1])} IS NULL"
        if isinstance(check[2], int):
            return f"({name(check[1])} IS NULL OR {_number(check[1])} = {check[2]})"
        return f"({name(check[1])} IS NULL OR {name(check[1])} = {literal(check[2])})"

    def not_value(self, check: Check) -> str:
        """A cell is not empty, or is not a value."""
        cell = name(check[1])
        return f"{cell} IS NOT NULL" if check[2] is None else f"{cell} IS DISTINCT FROM {literal(check[2])}"

    def one_of(self, check: Check) -> str:
        """A cell is one of the allowed values."""
        cell = name(check[1])
        return f"({cell} IS NULL OR {among(cell, check[2])})"

    def pairs(self, check: Check) -> str:
        """Two cells are one of the allowed pairs."""
        first, second = name(check[1]), self._cell(check[2])
        allowed = [f"{a}\t{b}" for a, b in check[3]]
        pair = f"{first} || chr(9) || {second}"
        return f"({first} IS NULL OR {second} IS NULL OR {among(pair, allowed)})"

    def at_least(self, check: Check) -> str:
        """A number is not below a bound."""
        return f"COALESCE({_number(check[1])} >= {check[2]}, TRUE)"

    def product(self, check: Check) -> str:
        """The product of two numbers is the third, up to rounding."""
        if any(column not in self._columns for column in check[1:4]):
            return "TRUE"
        one, two, result = (_number(column) for column in check[1:4])
        allowed = f"GREATEST(ABS({result}) * {_RELATIVE}, {_ABSOLUTE})"
        return f"COALESCE(ABS({one} * {two} - {result}) <= {allowed}, TRUE)"

    def matching(self, check: Check) -> str:
        """A cell has the form of a number, an instant or a unit."""
        pattern = {"numeric": _NUMERIC, "datetime": _INSTANT, "unit": _UNIT}[check[0]]
        cell = name(check[1])
        return f"({cell} IS NULL OR regexp_full_match({cell}, {literal(pattern)}))"

    def number(self, check: Check) -> str:
        """A cell can be read as a number."""
        return f"({name(check[1])} IS NULL OR {_number(check[1])} IS NOT NULL)"

    def instant(self, check: Check) -> str:
        """A cell can be read as a date with a time."""
        return f"({name(check[1])} IS NULL OR TRY_CAST({name(check[1])} AS TIMESTAMP) IS NOT NULL)"

    def text(self, check: Check) -> str:
        """A typed file holds the column as text; every cell of a text file is text."""
        declared = self._types.get(check[1], "VARCHAR")
        if declared in ("VARCHAR", "JSON", "UUID") or declared.startswith("ENUM"):
            return "TRUE"
        return f"{name(check[1])} IS NULL"

    def key_value(self, check: Check) -> str:
        """A cell is a JSON object whose values are single values."""
        cell = name(check[1])
        kinds = f"list_transform(json_extract({cell}, '$.*'), lambda x: json_type(x))"
        single = f"NOT list_has_any({kinds}, ['OBJECT', 'ARRAY'])"
        shape = f"CASE WHEN NOT json_valid({cell}) THEN FALSE WHEN json_type({cell}) <> 'OBJECT' THEN FALSE"
        return f"({cell} IS NULL OR {shape} ELSE {single} END)"

    def own_keys(self, check: Check) -> str:
        """The keys of a JSON object are known ones or start with x_."""
        cell = name(check[1])
        known = "[" + ", ".join(literal(key) for key in check[2]) + "]"
        unknown = f"lambda k: NOT starts_with(k, 'x_') AND NOT list_contains({known}, k)"
        foreign = f"list_filter(json_keys({cell}), {unknown})"
        return f"CASE WHEN {cell} IS NULL OR NOT json_valid({cell}) THEN TRUE ELSE len({foreign}) = 0 END"

    def currency(self, check: Check) -> str:
        """A cell is a currency code, or the name of a virtual currency."""
        return f"({name(check[1])} IS NULL OR trim({name(check[1])}) <> '')"

    def national_currency(self, check: Check) -> str:
        """A cell is an ISO 4217 code."""
        return self.one_of(["in", check[1], self._currencies])


_ROW_CHECKS: Mapping[str, Callable[[Compiler, Check], str]] = {
    "value": Compiler.value,
    "not_value": Compiler.not_value,
    "in": Compiler.one_of,
    "pairs": Compiler.pairs,
    "at_least": Compiler.at_least,
    "product": Compiler.product,
    "numeric": Compiler.matching,
    "datetime": Compiler.matching,
    "unit": Compiler.matching,
    "decimal": Compiler.number,
    "decimal_type": Compiler.number,
    "datetime_type": Compiler.instant,
    "text_type": Compiler.text,
    "key_value": Compiler.key_value,
    "own_keys": Compiler.own_keys,
    "currency": Compiler.currency,
    "national_currency": Compiler.national_currency,
}
#: The checks that are about single rows; the others are about the file or about groups of rows.
ROW_CHECKS = frozenset(_ROW_CHECKS)

_SENTENCES: Mapping[str, str] = {
    "present": "the column has to be there",
    "decimal_type": "has to be a number",
    "decimal": "has to be a number",
    "text_type": "has to be text",
    "datetime_type": "has to be a date with a time",
    "datetime": "has to look like 2026-10-01T00:00:00Z",
    "numeric": "has to be a plain number, without sign for plus, separators or currency",
    "key_value": "has to be a JSON object of single values",
    "own_keys": "keys that FOCUS does not define start with x_",
    "unit": "has to be a unit such as Tokens, 1000 Tokens or GB-Hours",
    "currency": "has to name a currency",
    "national_currency": "has to be an ISO 4217 code",
    "pairs": "has to belong to the ServiceCategory beside it",
    "placeholders": "an empty cell is empty, without a word such as NULL",
}
_NAMING: Mapping[str, str] = {
    "pascal": "column names are written like BilledCost",
    "alphanumeric": "column names have letters and digits only",
    "length": "column names have at most 50 characters",
    "prefix": "columns that FOCUS does not define start with x_",
    "order": "columns of one's own come after all FOCUS columns",
}


def sentence(check: Check, condition: Check | None) -> str:
    """What a rule asks for, in words."""
    kind = check[0]
    match kind:
        case "value":
            text = "has to be empty" if check[2] is None else f"has to be {check[2]}"
        case "not_value":
            text = "must not be empty" if check[2] is None else f"must not be {check[2]}"
        case "in":
            text = f"has to be one of {', '.join(check[2][:8])}{' ...' if len(check[2]) > 8 else ''}"
        case "at_least":
            text = f"must not be below {check[2]}"
        case "product":
            text = f"{check[1]} times {check[2]} has to be {check[3]}"
        case "distinct":
            text = f"one {check[1]} has one {check[2]}"
        case "column_names":
            text = _NAMING[check[1]]
        case _:
            text = _SENTENCES[kind]
    return text if condition is None else f"{text} when {_words(condition)}"


def _words(condition: Check) -> str:
    kind = condition[0]
    if kind in ("and", "or"):
        return f" {kind} ".join(_words(part) for part in condition[1:])
    if kind == "in":
        return f"{condition[1]} is {' or '.join(condition[2])}"
    if kind == "not_same":
        return f"{condition[1]} differs from {condition[2]}"
    if condition[2] is None:
        return f"{condition[1]} is {'empty' if kind == 'value' else 'not empty'}"
    return f"{condition[1]} is {'' if kind == 'value' else 'not '}{condition[2]}"
