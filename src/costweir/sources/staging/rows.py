"""The SQL of staging: raw columns to charge columns, what makes a row unreadable, and the final charge.

Law L7: a row is stored, skipped or quarantined, and `problem` alone decides the last.
"""

# The SQL is made of our own names, quoted identifiers and literals.
# ruff: noqa: S608

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from importlib import resources

from costweir.domain.charge import CHARGE_COLUMNS, Kind
from costweir.sources.attribution import FIELDS, AttributionRules, member_sql, name_sql, rule_sql
from costweir.sources.formats.format import LINE_INPUTS, Format, Header, literal, quoted
from costweir.sources.staging import rates as staged_rates

TYPES: Mapping[Kind, str] = {
    "text": "VARCHAR",
    "bool": "BOOLEAN",
    "int": "INTEGER",
    "day": "DATE",
    "instant": "TIMESTAMP",
    "money": "DECIMAL(38,18)",
    "quantity": "DECIMAL(38,12)",
    "json": "VARCHAR",
}

#: The columns that are decided here and not by the format.
DECIDED = frozenset({
    "x_source", "x_run_id", "x_file", "x_is_ai", "x_model", "x_model_developer", "x_token_class",
    "x_direction", "x_modality", "x_cache_action", "x_cache_ttl", "x_tier", "x_routing", "x_context_band",
    "x_tokens", "x_mapping_rule",
    "x_mapping_confidence", "x_customer", "x_customer_rule", "x_project", "x_project_rule",
    "x_feature", "x_feature_rule", "usage_date", "usage_hour", "iso_dow", "usage_month", "x_line_service",
    "x_line_text", "x_line_unit", "x_line_facts", "x_line_quantity", "x_consumed_quantity", "x_consumed_unit",
})  # fmt: skip

#: What the classifier decides from, and what the meaning table is joined by.
KEYS = ("x_provider", "line_service", "line_text", "line_unit", "line_region", "line_facts")
_RAW = "raw:"
_OF_SLOT = "r.x_provider = s.provider AND r.x_account = s.account AND r.x_period = s.period"
SLOT = ("x_provider", "x_account", "x_period")

_INPUT_TYPES = {
    "line_unit_price": "DECIMAL(38,18)",
    "line_quantity": "DECIMAL(38,12)",
    "line_usd_rate": "DECIMAL(38,18)",
    "line_tags": "MAP(VARCHAR, VARCHAR)",
}

#: Each with the sentence that goes to quarantine. The first that holds is the reason.
PROBLEMS: tuple[tuple[str, str], ...] = (
    ("x_provider IS NULL", "the provider is missing"),
    ("x_account IS NULL", "the billing account is missing"),
    ("x_period IS NULL", "the billing month is missing or unreadable"),
    ("x_period < '2015-01' OR x_period > '2100-12'", "the billing month is outside 2015 to 2100"),
    ("charge_period_start IS NULL", "the date of the charge is missing or unreadable"),
    (
        "charge_period_start < TIMESTAMP '2015-01-01' OR charge_period_start >= TIMESTAMP '2101-01-01'",
        "the date of the charge is outside 2015 to 2100",
    ),
    ("billed_cost IS NULL", "the cost is missing or unreadable"),
    ("billing_currency IS NULL", "the currency is missing"),
    ("service_name IS NULL", "the service is missing"),
)

_OF_ROW = ("charge_period_start", "billed_cost")
_TESTS = tuple((test, test.startswith(_OF_ROW)) for test, _ in PROBLEMS)
#: SQL that says whether the columns that differ from row to row have a problem, and whether the others have.
ROW_PROBLEM = f"({' OR '.join(test for test, of_row in _TESTS if of_row)})"
KEY_PROBLEM = f"({' OR '.join(test for test, of_row in _TESTS if not of_row)})"


def macros() -> str:
    """The statements that define the macros of the column expressions."""
    return resources.files("costweir.sources.staging").joinpath("macros.sql").read_text(encoding="utf-8")


def named_columns(header: Header, expressions: Mapping[str, str]) -> tuple[str, ...]:
    """Those columns of `header` that the expressions name as quoted identifiers."""
    text = "\n".join(expressions.values())
    return tuple(name for name in header if quoted(name) in text)


def keyed(expressions: Mapping[str, str]) -> Mapping[str, str]:
    """Those expressions that tell the slot and the currency of a row, what the classifier sees, and KEY_PROBLEM."""
    names = (*SLOT, *KEYS, "billing_account_id", "billing_period_start", "billing_currency", "service_name")
    return {name: text for name, text in expressions.items() if name in names}


def typed(expressions: Mapping[str, str], name: str) -> str:
    """SQL for one charge column under its name."""
    kind: Kind = next(column.kind for column in CHARGE_COLUMNS if column.name == name)
    return f"{_typed(expressions.get(name, 'NULL'), kind)} AS {name}"


def mapped(form: Format, expressions: Mapping[str, str], relation: str) -> str:
    """SELECT of every charge column that comes from the bill and of the line inputs, typed, with
    `row_number`."""
    given = {name: text for name, text in expressions.items() if text != "NULL"}
    given.setdefault("x_provider", literal(form.provider))
    account = given.setdefault("x_account", given.get("billing_account_id", "NULL"))
    given.setdefault("billing_account_id", account)
    month = f"strftime({given.get('billing_period_start', 'NULL')}, '%Y-%m')"
    given.setdefault("x_period", month)
    if "line_tags" in given:
        given["tags"] = f"nullif(to_json({given['line_tags']})::VARCHAR, '{{}}')"
    elif "tags" in given:
        given["line_tags"] = f"tag_entries(map_entries(tag_map_of({given['tags']})))"
    terms = ["file_row_number + 1 AS row_number", "file_index"]
    terms += [
        f"{_typed(given.get(column.name, 'NULL'), column.kind)} AS {column.name}"
        for column in CHARGE_COLUMNS
        if column.name not in DECIDED
    ]
    for name in LINE_INPUTS:
        text = given.get(name, "NULL")
        if name in KEYS:
            # An empty text instead of NULL, so that the join needs no special case.
            terms.append(f"coalesce(({text})::VARCHAR, '') AS {name}")
        else:
            terms.append(f"try_cast({text} AS {_INPUT_TYPES[name]}) AS {name}")
    return f"SELECT {', '.join(terms)} FROM {relation}"


def only_known(
    form: Format, expressions: Mapping[str, str], relation: str, *, columns: tuple[str, ...]
) -> str:
    """The raw rows whose tuple has a meaning. Stands below the mapping, so that no other row is mapped."""
    keys = [f"coalesce(({expressions.get(name, 'NULL')})::VARCHAR, '') AS {name}" for name in KEYS[1:]]
    provider = f"({expressions.get('x_provider', literal(form.provider))})::VARCHAR AS x_provider"
    renamed = ", ".join(f"{quoted(name)} AS {quoted(_RAW + name)}" for name in columns)
    back = ", ".join(f"k.{quoted(_RAW + name)} AS {quoted(name)}" for name in columns)
    return (
        f"(SELECT {back}, k.file_row_number, k.file_index FROM "
        f"(SELECT {renamed}, file_row_number, file_index, {provider}, {', '.join(keys)} FROM {relation}) k "
        f"SEMI JOIN meaning USING ({', '.join(KEYS)}))"
    )


def _typed(text: str, kind: Kind) -> str:
    if text == "NULL":
        return f"NULL::{TYPES[kind]}"
    if kind in ("text", "json"):
        return f"({text})::VARCHAR"
    return f"try_cast({text} AS {TYPES[kind]})"


def problem_case() -> str:
    """CASE that gives the reason for which a row cannot be stored, or NULL."""
    return "CASE " + " ".join(f"WHEN {test} THEN {literal(reason)}" for test, reason in PROBLEMS) + " END"


def census(view: str) -> str:
    """One row for each file, slot, currency, problem and tuple of strings: how many rows, how much money, which
    days."""
    keys = ", ".join(("file_index", *SLOT, "billing_currency", "problem", *KEYS[1:]))
    return (
        f"SELECT {keys}, count(*) AS n, sum(billed_cost) AS billed, max(line_unit_price) AS unit_price, "
        # A product of two wide decimals costs more than all the rest, so that a bill in dollars goes without.
        "sum(CASE WHEN billing_currency = 'USD' THEN billed_cost "
        "WHEN usd_rate IS NOT NULL THEN try(billed_cost * usd_rate)::DECIMAL(38,18) END) AS usd, "
        "count(*) FILTER (usd_rate IS NULL) AS without_rate, "
        "min(charge_period_start)::DATE AS first_day, max(charge_period_start)::DATE AS last_day "
        f"FROM (SELECT *, {problem_case()} AS problem FROM {view}) GROUP BY ALL"
    )


def slot_totals(table: str) -> str:
    """One row for each slot and currency of a census: rows in, unreadable and stored, the sums and the
    days."""
    good = "problem IS NULL AND m.is_ai IS NOT NULL"
    return (
        f"SELECT {', '.join(SLOT)}, billing_currency, sum(n)::BIGINT, "
        "coalesce(sum(n) FILTER (problem IS NOT NULL), 0)::BIGINT, "
        f"coalesce(sum(n) FILTER ({good}), 0)::BIGINT, "
        f"coalesce(sum(billed), 0), coalesce(sum(billed) FILTER ({good}), 0), "
        f"coalesce(sum(usd), 0), coalesce(sum(usd) FILTER ({good}), 0), sum(without_rate)::BIGINT, "
        f"min(first_day) FILTER ({good}), max(last_day) FILTER ({good}) "
        f"FROM {table} c LEFT JOIN meaning m USING ({', '.join(KEYS)}) GROUP BY ALL"
    )


def usd_rate(rates: Mapping[str, Decimal]) -> str:
    """SQL for US dollars per unit of the billing currency: 1, the bill's own rate, an operator's rate for the month,
    or NULL."""
    own = f"coalesce(line_usd_rate, {staged_rates.sql(rates)})"
    return f"CASE WHEN billing_currency = 'USD' THEN 1 ELSE {own} END::DECIMAL(20,12)"


def charges(view: str, rules: AttributionRules, *, source: str, files: Sequence[str]) -> str:
    """SELECT of exactly CHARGE_COLUMNS and `slot_no`, joined with the tables `meaning` and `slots`.

    `files` are the names of the files by their index in the relation.
    """
    who = ", ".join(f"{rule_sql(rules.of(field))} AS for_{field}" for field in FIELDS)
    tokens = (
        "CASE WHEN r.charge_category = 'Usage' AND m.is_ai THEN CASE WHEN lower(r.consumed_unit) = 'tokens' "
        "THEN r.consumed_quantity "
        "ELSE try(coalesce(r.line_quantity, r.pricing_quantity) * m.tokens_per_unit) END END"
    )
    inner = (
        f"SELECT r.*, m.* EXCLUDE ({', '.join(KEYS)}), s.slot_no, s.run_id, "
        f"({tokens})::DECIMAL(38,12) AS tokens FROM {view} r "
        f"JOIN meaning m USING ({', '.join(KEYS)}) "
        f"JOIN slots s ON ({_OF_SLOT}) "
        f"WHERE ({problem_case()}) IS NULL"
    )
    decided = _decided(source, files, rules)
    terms = [f"({decided.get(c.name, c.name)})::{TYPES[c.kind]} AS {c.name}" for c in CHARGE_COLUMNS]
    return f"SELECT slot_no, {', '.join(terms)} FROM (SELECT *, {who} FROM ({inner}))"


def _decided(source: str, files: Sequence[str], rules: AttributionRules) -> dict[str, str]:
    """SQL for the columns that no format gives, and for those that a bill may leave out."""
    return {
        **_completed(),
        **_by_meaning(),
        **_as_read(),
        **_in_dollars(),
        **_by_rules(rules),
        "x_source": literal(source),
        "x_run_id": "run_id",
        "x_file": by_index(list(map(literal, files))),
    }


def _completed() -> dict[str, str]:
    """What a bill may leave out, and the parts of the usage date."""
    start = "charge_period_start"
    month = f"coalesce(billing_period_start, date_trunc('month', {start})::DATE)"
    return {
        "charge_category": "coalesce(charge_category, 'Usage')",
        "billing_period_start": month,
        "billing_period_end": f"coalesce(billing_period_end, ({month} + INTERVAL 1 MONTH)::DATE)",
        "effective_cost": "coalesce(effective_cost, billed_cost)",
        "usage_date": f"{start}::DATE",
        "usage_hour": f"hour({start})",
        "iso_dow": f"isodow({start})",
        "usage_month": f"strftime({start}, '%Y-%m')",
    }


def _by_meaning() -> dict[str, str]:
    """What the table `meaning` says of a row."""
    return {
        "consumed_quantity": "coalesce(tokens, consumed_quantity)",
        "consumed_unit": "CASE WHEN tokens IS NOT NULL THEN 'Tokens' ELSE consumed_unit END",
        "service_category": "coalesce(service_category, CASE WHEN is_ai THEN 'AI and Machine Learning' END)",
        "service_subcategory": "coalesce(service_subcategory, CASE WHEN is_ai AND model <> 'unknown' "
        "THEN 'Generative AI' END)",
        "sku_price_details": "CASE WHEN sku_price_details IS NULL THEN details "
        "WHEN details IS NULL OR NOT json_valid(sku_price_details) THEN sku_price_details "
        "ELSE json_merge_patch(details, sku_price_details)::VARCHAR END",
        "x_is_ai": "is_ai",
        "x_model": "model",
        "x_model_developer": "developer",
        "x_token_class": "token_type",
        "x_direction": "direction",
        "x_modality": "modality",
        "x_cache_action": "cache_action",
        "x_cache_ttl": "cache_ttl",
        "x_tier": "tier",
        "x_routing": "routing",
        "x_context_band": "context_band",
        "x_tokens": "tokens",
        "x_mapping_rule": "rule_id",
        "x_mapping_confidence": "confidence",
    }


def _as_read() -> dict[str, str]:
    """What the meaning of a row was read from, so that it can be read anew without the bill."""
    texts = {f"x_{name}": f"nullif({name}, '')" for name in KEYS if name not in ("x_provider", "line_region")}
    return texts | {
        "x_line_quantity": "coalesce(line_quantity, pricing_quantity)",
        "x_consumed_quantity": "consumed_quantity",
        "x_consumed_unit": "consumed_unit",
    }


def _in_dollars() -> dict[str, str]:
    """The costs in US dollars: as billed in them, else as the bill states them, else by a rate."""
    decided: dict[str, str] = {}
    for name in ("billed", "effective", "list", "contracted"):
        cost = "coalesce(effective_cost, billed_cost)" if name == "effective" else f"{name}_cost"
        decided[f"x_{name}_usd"] = (
            f"CASE WHEN billing_currency = 'USD' THEN {cost} "
            f"ELSE coalesce(x_{name}_usd, try({cost} * usd_rate)) END"
        )
    # A line that is a credit as a whole has its own dollars; the rate of the bill would round them once more.
    decided["x_credit_usd"] = (
        "CASE WHEN billing_currency = 'USD' THEN x_credit_cost "
        f"WHEN x_credit_cost = billed_cost THEN {decided['x_billed_usd']} "
        "ELSE coalesce(x_credit_usd, try(x_credit_cost * usd_rate)) END"
    )
    return decided


def _by_rules(rules: AttributionRules) -> dict[str, str]:
    """Whom a row belongs to, and the rule that says so."""
    decided: dict[str, str] = {}
    for field in FIELDS:
        decided[f"x_{field}"] = member_sql(f"for_{field}")
        decided[f"x_{field}_rule"] = name_sql(f"for_{field}", rules.of(field))
    return decided


def by_index(terms: Sequence[str]) -> str:
    """SQL for the one of `terms` that belongs to the file of a row."""
    return terms[0] if len(set(terms)) == 1 else f"[{', '.join(terms)}][file_index + 1]"


def quarantined(
    view: str, raw: str, *, columns: tuple[str, ...], files: Sequence[str], no_record: str = ""
) -> str:
    """SELECT of slot_no, file_index, file, row_number, reason, raw for the rows that cannot be stored; raw is
    at most 4 KB.

    `slot_no` is NULL where the row does not say which bill it belongs to. `raw` is the relation `view` is
    made from. `no_record` is its column with the lines that are no records, if it has one.
    """
    pack = ", ".join(f"{literal(name)}: {quoted(name)}" for name in columns)
    broken = "NULL"
    if no_record:
        broken = f"CASE WHEN {quoted(no_record)} IS NOT NULL THEN 'the line is no JSON record' END"
        pack = f"'line': {quoted(no_record)}, {pack}"
    return (
        f"SELECT slot_no, file_index, {by_index(list(map(literal, files)))} AS file, row_number, "
        f"coalesce(broken, problem) AS reason, raw FROM (SELECT r.*, {problem_case()} AS problem FROM {view} r) r JOIN "
        f"(SELECT file_index, file_row_number + 1 AS row_number, {broken} AS broken, "
        f"left(to_json({{{pack}}})::VARCHAR, 4096) AS raw FROM {raw}) USING (file_index, row_number) "
        f"LEFT JOIN slots s ON ({_OF_SLOT}) "
        "WHERE problem IS NOT NULL"
    )


_SPACES = re.compile(r"\s+")


def one_line(text: object) -> str:
    """A message of DuckDB as one line of at most 300 letters."""
    return _SPACES.sub(" ", str(text)).strip()[:300]
