"""The statements by which stored lines get another meaning. No amount of money is named here, so none can change
(law L6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date

from costweir.domain.charge import CHARGE_COLUMNS, Kind
from costweir.errors import Conflict
from costweir.store.aging import OPEN_DAYS
from costweir.store.schema import SLOT_FILTER, SQL_TYPES, slot_params
from costweir.store.warehouse import Move, Parameter, Remap, Value

#: The columns that a meaning fills.
MEANT = (
    "x_model", "x_model_developer", "x_token_class", "x_direction", "x_modality", "x_cache_action", "x_cache_ttl",
    "x_tier", "x_routing", "x_context_band", "x_mapping_rule", "x_mapping_confidence", "service_subcategory",
    "sku_price_details",
)  # fmt: skip
#: The columns that tell apart lines of different meaning: what it was read from, and what it is now.
FOUND = ("x_line_service", "x_line_text", "x_line_unit", "x_line_facts", "x_is_ai", *MEANT)
_TOKENS_PER_UNIT = "tokens_per_unit"
_KINDS: Mapping[str, Kind] = {column.name: column.kind for column in CHARGE_COLUMNS}
#: The columns of the temporary table, in order, with their kinds.
COLUMNS: Mapping[str, Kind] = {
    **{f"f_{name}": _KINDS[name] for name in FOUND}, **{f"n_{name}": _KINDS[name] for name in MEANT},
    f"n_{_TOKENS_PER_UNIT}": "int",
}  # fmt: skip
#: After every day, so that no changed day counts as a new one.
_ALWAYS = date(9999, 12, 31)

CREATE = (
    f"CREATE TEMP TABLE moves ({', '.join(f'{name} {SQL_TYPES[kind]}' for name, kind in COLUMNS.items())})"
)
FORGET = "DROP TABLE moves"

_COUNTED = (
    f"CASE WHEN LOWER(x_consumed_unit) = 'tokens' THEN x_consumed_quantity "
    f"ELSE CAST(COALESCE(x_line_quantity, pricing_quantity) * m.n_{_TOKENS_PER_UNIT} AS DECIMAL(38,12)) END"
)
#: The rule of the readers: only usage of an AI service counts tokens.
_TOKENS = f"CASE WHEN charge_category = 'Usage' AND x_is_ai = TRUE THEN {_COUNTED} END"

#: Gives the lines of a slot their new meaning. Takes the parameters of a slot.
UPDATE = (
    f"UPDATE charges SET {', '.join(f'{name} = m.n_{name}' for name in MEANT)}, x_tokens = {_TOKENS}, "  # noqa: S608
    f"consumed_quantity = COALESCE({_TOKENS}, x_consumed_quantity), "
    f"consumed_unit = CASE WHEN {_TOKENS} IS NOT NULL THEN 'Tokens' ELSE x_consumed_unit END "
    f"FROM moves AS m WHERE {SLOT_FILTER} AND COALESCE(x_line_text, '') = COALESCE(m.f_x_line_text, '') AND "
    + " AND ".join(f"{name} IS NOT DISTINCT FROM m.f_{name}" for name in FOUND)
)
#: Says beside the load that its lines mean something else by now.
NOTE = f"UPDATE loads SET x_remap_run_id = $run WHERE {SLOT_FILTER}"  # noqa: S608
DROP_ROLLUP = f"DELETE FROM charges_daily WHERE {SLOT_FILTER} AND {OPEN_DAYS}"  # noqa: S608


def rows(moves: Sequence[Move]) -> list[list[Value]]:
    """The moves as rows of the temporary table."""
    return [
        [*(move.found[name] for name in FOUND), *(move.meaning[name] for name in MEANT), move.tokens_per_unit]
        for move in moves
    ]


def check_count(remap: Remap, changed: int) -> None:
    """Raises Conflict unless as many lines changed as were seen: a bill was replaced in between."""
    seen = sum(move.lines for move in remap.moves)
    if changed != seen:
        raise Conflict(
            f"{seen} lines of {' '.join(slot_params(remap.slot).values())} were to change and {changed} were found.",
            hint="The bill was loaded again meanwhile. Nothing was changed; try again.",
        )


def restating(remap: Remap, replaced: str, source: str) -> dict[str, Parameter]:
    """The parameters of `restating.RESTATE`; `replaced` and `source` are those of the load."""
    at = remap.at.astimezone(UTC).replace(tzinfo=None) if remap.at.tzinfo else remap.at
    return {
        **slot_params(remap.slot), "run": remap.run_id, "replaced": replaced, "source": source, "last": _ALWAYS,
        "change": "remapped", "at": at, "on": at.date(),
    }  # fmt: skip
