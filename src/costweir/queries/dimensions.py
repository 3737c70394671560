"""What a question can be split and filtered by, and where each dimension is known.

This is the whitelist: only SQL written here reaches an engine, and what a caller types is always a bound
parameter.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Literal

from costweir.domain.period import Month
from costweir.errors import UsageError
from costweir.store.warehouse import Parameter

#: Where rows come from: the daily roll-up of charges, the charges themselves, calls, what later reads changed on bills,
#: or what later prices changed on calls.
Facts = Literal["rollup", "charges", "calls", "restatements", "adjustments"]
#: Those that are about calls.
METERED: tuple[Facts, ...] = ("calls", "adjustments")

DimensionKind = Literal["text", "day", "month", "int"]

#: The table or view behind each.
FACT_TABLES: dict[Facts, str] = {
    "rollup": "charges_daily",
    "charges": "charges_facts",
    "calls": "calls_facts",
    "restatements": "restatements_facts",
    "adjustments": "adjustments_facts",
}


@dataclass(frozen=True, slots=True)
class Dimension:
    """One dimension: the expression that gives it in each kind of facts, empty where it is not known.

    `f` is the fact row and `p` the customer's row when `customers` is joined.
    """

    name: str
    meaning: str
    rollup: str = ""
    charges: str = ""
    calls: str = ""
    kind: DimensionKind = "text"
    customers: bool = False
    restated: str = ""

    def sql(self, facts: Facts) -> str:
        """The expression in these facts, or an empty text."""
        if facts == "restatements":
            # their columns have the names of the roll-up's
            return self.restated or self.rollup
        if facts == "adjustments":
            return self.restated or self.calls
        return {"rollup": self.rollup, "charges": self.charges, "calls": self.calls}[facts]

    def parse(self, text: str) -> Parameter:
        """A filter value as the engine wants it. Raises UsageError for a day, month or number that is
        none."""
        try:
            if self.kind == "day":
                return date.fromisoformat(text)
            if self.kind == "int":
                return int(text)
            return str(Month.parse(text)) if self.kind == "month" else text
        except ValueError as error:
            example = {"day": "2026-10-01", "month": "2026-10", "int": "7"}[self.kind]
            raise UsageError(
                f"{text!r} is not a {self.name}.", hint=f"Write it like {self.name}={example}."
            ) from error


def _everywhere(name: str, column: str, meaning: str, *, kind: DimensionKind = "text") -> Dimension:
    return Dimension(name, meaning, f"f.{column}", f"f.{column}", f"f.{column}", kind)


def _billed(name: str, column: str, meaning: str, *, kind: DimensionKind = "text") -> Dimension:
    return Dimension(name, meaning, f"f.{column}", f"f.{column}", kind=kind)


def _filled(name: str, column: str, meaning: str) -> Dimension:
    """A column that a bill may leave empty; the roll-up has `unknown` in its place."""
    return Dimension(name, meaning, f"f.{column}", f"COALESCE(f.{column}, 'unknown')")


def _raw(name: str, column: str, meaning: str, *, empty: str = "unknown") -> Dimension:
    return Dimension(name, meaning, charges=f"COALESCE(f.{column}, '{empty}')")


_PLAN = "CASE WHEN f.x_customer = 'untagged' THEN 'untagged' ELSE COALESCE(p.plan, 'no plan') END"
_CALL_PLAN = "CASE WHEN f.x_customer <> 'untagged' AND f.x_plan = 'untagged' THEN 'no plan' ELSE f.x_plan END"
_AI = "CASE WHEN f.x_is_ai = TRUE THEN 'yes' ELSE 'no' END"

_ALL = (
    _everywhere("provider", "x_provider", "who bills: aws, gcp, azure, openai, anthropic"),
    _everywhere("service", "service_name", "service or product as billed"),
    _everywhere("model", "x_model", "the vendor's model id, or unknown"),
    _billed("token_class", "x_token_class", "input, output, cache_read, cache_write ..."),
    _everywhere("customer", "x_customer", "customer id, or untagged"),
    _everywhere("project", "x_project", "project id, or untagged"),
    _everywhere("feature", "x_feature", "feature name, or untagged"),
    Dimension("session", "session id of a call, or untagged", calls="f.x_session"),
    Dimension("key", "gateway key of a call, or untagged", calls="f.x_key"),
    Dimension("plan", "the customer's plan, no plan, or untagged", _PLAN, _PLAN, _CALL_PLAN, customers=True),
    _everywhere("day", "usage_date", "UTC day", kind="day"),
    _everywhere("month", "usage_month", "calendar month of the day", kind="month"),
    # beyond the contract
    _billed("source", "x_source", "the reader that loaded the line"),
    _billed("account", "x_account", "account part of the replace key"),
    _billed("invoice_month", "x_period", "invoice month of the line", kind="month"),
    _billed("category", "charge_category", "Usage, Purchase, Tax, Credit or Adjustment"),
    _billed("currency", "billing_currency", "currency of the bill"),
    _filled("developer", "x_model_developer", "who makes the model, or unknown"),
    _filled("direction", "x_direction", "input, output or unknown"),
    _filled("tier", "x_tier", "standard, batch, flex, priority ... or unknown"),
    Dimension("ai", "yes, or no for lines kept by --all-services", _AI, _AI),
    _everywhere("weekday", "iso_dow", "Monday 1 to Sunday 7", kind="int"),
    Dimension("hour", "UTC hour 0 to 23", charges="f.usage_hour", calls="f.usage_hour", kind="int"),
    _raw("region", "region_id", "the provider's region code"),
    _raw("sub_account", "sub_account_id", "linked account, project or subscription"),
    _raw("sku", "sku_id", "id of the SKU or meter"),
    _raw("usage_type", "x_usage_type", "usage type, SKU text or meter name, verbatim"),
    _raw("unit", "pricing_unit", "the unit that has a price"),
    _raw("line_service", "x_line_service", "the service that the meaning was read from"),
    _raw("line_text", "x_line_text", "the text that the meaning was read from, which a mapping matches"),
    _raw("line_unit", "x_line_unit", "the unit that the meaning was read from"),
    _raw("modality", "x_modality", "text, image, audio, video ..."),
    _raw("resource", "resource_id", "inference profile, endpoint or deployment", empty="none"),
    _raw("mapping_rule", "x_mapping_rule", "the classification rule that hit", empty="none"),
    _raw("confidence", "x_mapping_confidence", "how sure the classification is", empty="none"),
    _raw("customer_rule", "x_customer_rule", "the attribution rule that hit", empty="none"),
    Dimension("outcome", "how a call ended", calls="f.x_outcome"),
    Dimension("query_type", "kind of question of a call", calls="f.x_query_type"),
    Dimension("environment", "environment of a call", calls="f.x_environment"),
    Dimension(
        "change",
        "what changed: restated, new day or remapped on bills, priced or corrected on calls",
        restated="f.x_change",
    ),
    Dimension("run", "the run that changed it", restated="f.x_run_id"),
    Dimension("read_on", "UTC day on which it was changed", kind="day", restated="f.restated_on"),
)

DIMENSION_TABLE: dict[str, Dimension] = {dimension.name: dimension for dimension in _ALL}


def find_dimension(name: str, allowed: Iterable[str]) -> Dimension:
    """The dimension of that name. Raises UsageError that names the nearest one and all that are valid
    here."""
    names = tuple(allowed)
    if name in names:
        return DIMENSION_TABLE[name]
    near = difflib.get_close_matches(name, names, n=1)
    ask = f"Did you mean {near[0]}? " if near else ""
    what = "does not apply to this question" if name in DIMENSION_TABLE else "is not a dimension"
    raise UsageError(f"{name!r} {what}.", hint=f"{ask}Valid here: {', '.join(names) or 'none'}.")
