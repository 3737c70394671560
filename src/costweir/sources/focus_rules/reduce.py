"""Development-time reduction of the published FOCUS 1.2 rule model to `rules.json`, the data that the
validator reads.

Run as `python -m costweir.sources.focus_rules.reduce MODEL.json CURRENCIES.csv`. The model (finopsfoundation/
focus_validator, MIT) is not kept here; every rule id of it is, with what became of it.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

HERE = Path(__file__).parent
_LEVELS: Mapping[str, str] = {
    "MUST": "must", "MUST NOT": "must", "SHOULD": "should", "SHOULD NOT": "should", "RECOMMENDED": "should",
}  # fmt: skip
_ONE_COLUMN: Mapping[str, str] = {
    "ColumnPresent": "present", "TypeDecimal": "decimal_type", "TypeString": "text_type",
    "TypeDateTime": "datetime_type", "FormatDateTime": "datetime", "FormatNumeric": "numeric",
    "FormatKeyValue": "key_value", "FormatUnit": "unit", "FormatCurrency": "currency",
    "CheckNationalCurrency": "national_currency", "CheckDecimalValue": "decimal",
}  # fmt: skip

Check = list[Any]
Node = Mapping[str, Any]


def translate(node: Node) -> Check | None:
    """A requirement or condition of the model in the rule language; None for what it leaves open."""
    function = str(node.get("CheckFunction"))
    if function in ("AND", "OR"):
        return _combined(function, [translate(item) for item in node["Items"]])
    if function in _ONE_COLUMN:
        return [_ONE_COLUMN[function], node["ColumnName"]]
    match function:
        case "CheckValue":
            return ["value", node["ColumnName"], node["Value"]]
        case "CheckNotValue":
            return ["not_value", node["ColumnName"], node["Value"]] if "ColumnName" in node else None
        case "CheckGreaterOrEqualThanValue":
            return ["at_least", node["ColumnName"], node["Value"]]
        case "CheckNotSameValue":
            return ["not_same", node["ColumnAName"], node["ColumnBName"]]
        case "CheckDistinctCount":
            return ["distinct", node["ColumnAName"], node["ColumnBName"], node["ExpectedCount"]]
        case "ColumnByColumnEqualsColumnValue":
            return ["product", node["ColumnAName"], node["ColumnBName"], node["ResultColumnName"]]
        case _:
            return None


def _combined(function: str, parts: Sequence[Check | None]) -> Check | None:
    if any(part is None for part in parts):
        return None
    known = [part for part in parts if part is not None]
    if function == "OR" and len(known) > 1:
        if len({str(part[:2]) for part in known}) == 1 and known[0][0] == "value":
            return ["in", known[0][1], [part[2] for part in known]]
        pairs = [_pair(part) for part in known]
        columns = {pair[0] for pair in pairs if pair is not None}
        if None not in pairs and len(columns) == 1:
            first, second = columns.pop()
            return ["pairs", first, second, [pair[1] for pair in pairs if pair is not None]]
    return [function.lower(), *known]


def _pair(part: Check) -> tuple[tuple[str, str], list[str]] | None:
    if part[0] != "and" or len(part) != 3 or any(item[0] != "value" for item in part[1:]):
        return None
    return (part[1][1], part[2][1]), [part[1][2], part[2][2]]


def _parents(rules: Mapping[str, Node]) -> dict[str, Check]:
    """The condition that a composite puts on the rules it names, for composites that put one."""
    conditions: dict[str, Check] = {}
    for rule in rules.values():
        criteria = rule["ValidationCriteria"]
        if rule["Function"] != "Composite" or not criteria["Condition"]:
            continue
        condition = translate(criteria["Condition"])
        for item in criteria["Requirement"].get("Items", ()):
            if condition is not None and "ModelRuleId" in item:
                conditions[item["ModelRuleId"]] = condition
    return conditions


def reduce(model: Node, corrections: Mapping[str, Node]) -> dict[str, Any]:
    """The data of rules.json: `rules` that are checked, and the ids of all others by what became of them."""
    rules = cast("Mapping[str, Node]", model["ModelRules"])
    parents = _parents(rules)
    reduced: dict[str, Any] = {"focus": model["Details"]["FOCUSVersion"]}
    reduced |= {part: [] for part in ("rules", "composite", "optional", "covered", "by_hand")}
    for name, rule in rules.items():
        criteria, change = rule["ValidationCriteria"], corrections.get(name, {})
        level = change.get("level") or _LEVELS.get(criteria["Keyword"], "")
        requirement = change.get("requirement") or translate(criteria["Requirement"])
        stated: Node = {} if "requirement" in change else criteria["Condition"]
        condition = change.get("condition") or (translate(stated) if stated else None)
        if rule["Function"] == "Composite":
            reduced["composite"].append(name)
        elif "state" in change:
            reduced[change["state"]].append(name)
        elif not level:
            reduced["optional"].append(name)
        elif criteria["Requirement"].get("CheckFunction") == "FormatString":
            reduced["covered"].append(name)
        elif requirement is None or (stated and condition is None):
            reduced["by_hand"].append(name)
        else:
            parent = parents.get(name)
            both = _flat([part for part in (parent, condition) if part is not None])
            entry: dict[str, Any] = {"id": name, "column": rule["Reference"], "level": level}
            entry["check"] = requirement
            if both:
                entry["if"] = both[0] if len(both) == 1 else ["and", *both]
            if requirement[0] == "present" and rule["ApplicabilityCriteria"]:
                entry["when"] = rule["ApplicabilityCriteria"]
            reduced["rules"].append(entry)
    return reduced


def _flat(conditions: Sequence[Check]) -> list[Check]:
    """The conditions that have to hold together, nested ones opened and repeated ones once."""
    opened: list[Check] = []
    for condition in conditions:
        for part in condition[1:] if condition[0] == "and" else [condition]:
            if part not in opened:
                opened.append(part)
    return opened


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes rules.json beside this module."""
    parser = argparse.ArgumentParser(description="Reduce the FOCUS 1.2 rule model.")
    parser.add_argument("model", type=Path)
    parser.add_argument("currencies", type=Path)
    parser.add_argument("--out", type=Path, default=HERE / "rules.json")
    options = parser.parse_args(arguments)
    model = json.loads(options.model.read_text("utf-8"))
    corrections = json.loads((HERE / "corrections.json").read_text("utf-8"))["rules"]
    reduced = reduce(model, corrections)
    with options.currencies.open(encoding="utf-8-sig", newline="") as lines:
        reduced["currencies"] = sorted(row["currency_codes"] for row in csv.DictReader(lines))
    present = {rule["column"] for rule in reduced["rules"] if rule["check"][0] == "present"}
    reduced["columns"] = sorted(present)
    parts = [f'"{name}": {_lines(value)}' for name, value in reduced.items()]
    options.out.write_text("{\n" + ",\n".join(parts) + "\n}\n", "utf-8")
    return 0


def _lines(value: object) -> str:
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return json.dumps(value)
    return "[\n" + ",\n".join("  " + json.dumps(item) for item in cast("list[object]", value)) + "\n]"


if __name__ == "__main__":
    raise SystemExit(main())
