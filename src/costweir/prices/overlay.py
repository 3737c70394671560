"""Prices that an operator states: the `prices` list of the configuration and overlay files. They win over
ours.

Amounts are decimal texts in USD, per 1,000,000 tokens or as `rules/buckets.json` says; a float is refused
(law L10).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, cast

from costweir.domain.usage import BUCKETS
from costweir.errors import ConfigError
from costweir.prices.match import Rule, matches
from costweir.prices.rate import ALWAYS
from costweir.prices.table import Alias, PriceList, Row, read_row

FIELDS = (
    "model",
    "provider",
    "effective",
    "known_from",
    "tier",
    "routing",
    "hours",
    "bands",
    "match",
    "source",
    "evidence",
)
_RATED = frozenset(BUCKETS)


def load_overlay(path: Path) -> PriceList:
    """An overlay file: JSON or YAML, `{"prices": [...]}` or the bare list. ConfigError when it cannot be
    understood.
    """
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"The price file {path} cannot be read: {error.strerror}.", hint="Check the path."
        ) from error
    if path.suffix in (".yaml", ".yml"):
        import yaml

        try:
            # BaseLoader keeps `3.10` as text, so that no amount passes through a float
            raw = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506
        except yaml.YAMLError as error:
            raise ConfigError(
                f"The price file {path} is not YAML: {error}.", hint="Check its indentation."
            ) from error
    else:
        try:
            raw = json.loads(text, parse_float=str, parse_int=str)
        except ValueError as error:
            raise ConfigError(
                f"The price file {path} is not JSON: {error}.", hint="Check its syntax."
            ) from error
    entries: object = cast("dict[str, object]", raw).get("prices") if isinstance(raw, dict) else raw
    if not isinstance(entries, list):
        raise ConfigError(
            f"The price file {path} holds no list of prices.", hint='Write {"prices": [ ... ]}.'
        )
    return operator_list(cast("list[Mapping[str, object]]", entries), source=path.name)


def operator_list(entries: Sequence[Mapping[str, object]], *, source: str = "config") -> PriceList:
    """A price list from the entries of the configuration. ConfigError names the entry and the field that is
    wrong.
    """
    rows: list[Row] = []
    aliases: list[Alias] = []
    for entry in entries:
        row, alias = _entry(entry, source)
        rows.append(row)
        if alias is not None:
            aliases.append(alias)
    return PriceList("", rows, aliases)


def _entry(entry: Mapping[str, object], source: str) -> tuple[Row, Alias | None]:
    entry = {name: value for name, value in entry.items() if value is not None}
    model = entry.get("model")
    if not isinstance(model, str) or not model.strip():
        raise ConfigError(f"A price in {source} names no model.", hint='Give it model = "...".')
    for name in entry:
        if name not in FIELDS and name not in _RATED:
            near = difflib.get_close_matches(name, [*FIELDS, *BUCKETS], 1)
            hint = f"Did you mean {near[0]}?" if near else f"Rates may be given for {', '.join(BUCKETS)}."
            raise ConfigError(f"The price of {model!r} in {source} has an unknown field {name!r}.", hint=hint)
    raw: dict[str, Any] = {"model": model, "source": source}
    raw["rates"] = {name: _amount(entry[name], model, name) for name in BUCKETS if name in entry}
    effective = _date(entry.get("effective"), model, "effective")
    # what an operator states without a day of learning was known when it took effect
    known_from = _date(entry.get("known_from"), model, "known_from") if "known_from" in entry else effective
    if effective != ALWAYS:
        raw["effective"] = effective.isoformat()
    if known_from != ALWAYS:
        raw["known_from"] = known_from.isoformat()
    raw |= {name: str(entry[name]) for name in ("tier", "routing", "hours", "evidence") if entry.get(name)}
    raw["bands"] = _bands(entry.get("bands", ()), model)
    if not raw["rates"]:
        raise ConfigError(
            f"The price of {model!r} in {source} has no rate.",
            hint='Give at least input = "3.00" or another rate.',
        )
    row = read_row(raw, str(entry.get("provider", "")).lower(), {source: {"name": source}})
    if "match" not in entry:
        return row, None
    return row, Alias(model, _checked_rule(entry["match"], model), known_from)


def _checked_rule(rule: object, model: str) -> Rule:
    try:
        checked = cast("Rule", rule)
        matches(checked, "")
    except (ValueError, AttributeError) as error:
        raise ConfigError(
            f"The match rule of {model!r} is not understood.",
            hint='Write for example {"starts_with": "my-model"}.',
        ) from error
    return checked


def _bands(raw: object, model: str) -> list[dict[str, Any]]:
    bands: list[dict[str, Any]] = []
    for band in cast("Sequence[Mapping[str, object]]", raw):
        above = str(band.get("above", ""))
        if not above.isdigit():
            raise ConfigError(f"A band of {model!r} has no threshold.", hint="Give it above = 200000.")
        rates = {name: _amount(value, model, name) for name, value in band.items() if name in _RATED}
        bands.append({"above": int(above), "rates": rates})
    return sorted(bands, key=lambda band: band["above"])


def _amount(value: object, model: str, name: str) -> str:
    if isinstance(value, float):
        raise ConfigError(
            f"The {name} price of {model!r} is a float.", hint=f'Write it as text: {name} = "3.00".'
        )
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise ConfigError(
            f"The {name} price of {model!r} is {value!r}, which is not an amount.",
            hint=f'Write USD as decimal text, zero or more: {name} = "3.00".',
        )
    return format(amount, "f")


def _date(value: object, model: str, name: str) -> date:
    if value in (None, ""):
        return ALWAYS
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError as error:
        raise ConfigError(
            f"The {name} day of {model!r} is {value!r}.", hint="Write it as 2026-01-01."
        ) from error


def for_provider(rows: PriceList, provider: str) -> PriceList:
    """The rows of an operator's list that hold for a provider: those that name it and those that name
    none.
    """
    if not provider:
        return rows
    kept = [row for row in rows.rows if row.version.partition(":")[0] in ("", provider)]
    return rows if len(kept) == len(rows.rows) else PriceList("", kept, rows.aliases)
