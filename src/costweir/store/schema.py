"""The schema as numbered SQL files that only go forward, and the statements every engine shares.

A file that was ever released is never edited: a later one changes what it made.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import resources

from costweir.domain.call import CALL_COLUMNS
from costweir.domain.charge import CHARGE_COLUMN_NAMES, UNKNOWN, Kind
from costweir.errors import Conflict, UsageError
from costweir.store.warehouse import Load, Slot, Value

#: Where the number of the last applied migration stands.
VERSION_TABLE = (
    "CREATE TABLE IF NOT EXISTS schema_version "
    "(version BIGINT NOT NULL, title TEXT NOT NULL, applied_at TIMESTAMP NOT NULL)"
)

#: SQL types by kind. Every engine reads these words; JSON stays text because engines disagree on its
#: functions.
SQL_TYPES: Mapping[Kind, str] = {
    "text": "TEXT", "json": "TEXT", "bool": "BOOLEAN", "int": "BIGINT", "day": "DATE", "instant": "TIMESTAMP",
    "money": "DECIMAL(38,18)", "quantity": "DECIMAL(38,12)",
}  # fmt: skip

#: Tables that `mirror` may replace, with the kinds of their columns.
MIRRORED: Mapping[str, Mapping[str, Kind]] = {
    "customers": {"id": "text", "name": "text", "plan": "text", "active_since": "day", "active_until": "day"},
    "plans": {
        "id": "text", "name": "text", "price_usd": "money", "budget_usd": "money", "session_usd": "money",
        "session_calls": "int", "tokens_per_minute": "int",
    },
    "budgets": {
        "id": "text", "scope_kind": "text", "scope_id": "text", "scope_parts": "json", "limit_usd": "money",
        "budget_window": "text", "timezone": "text", "mode": "text",
    },
    "customer_approved_models": {"customer_id": "text", "model": "text"},
}  # fmt: skip

CALL_KINDS: Mapping[str, Kind] = {column.name: column.kind for column in CALL_COLUMNS}

#: The columns of a later price of a call.
ADJUSTMENT_KINDS: Mapping[str, Kind] = {
    "call_id": "text", "step": "int", "run_id": "text", "reason": "text", "usd_before": "money", "usd_after": "money",
    "price_version_before": "text", "price_version_after": "text", "adjusted_by": "text", "adjusted_at": "instant",
    "adjusted_on": "day",
}  # fmt: skip

#: What a staged quarantine file holds, and the columns it goes into.
QUARANTINE_COLUMNS: Mapping[str, str] = {
    "file": "x_file", "row_number": "row_number", "reason": "reason", "raw": "raw_text",
}  # fmt: skip

#: The grain of the roll-up. A value stands for the null of a column that a bill may leave empty.
ROLLUP_GRAIN: Mapping[str, str] = {
    "usage_date": "", "usage_month": "", "iso_dow": "", "x_provider": "", "x_source": "", "x_account": "",
    "x_period": "", "service_name": "", "x_model": "", "x_model_developer": UNKNOWN, "x_token_class": "",
    "x_direction": UNKNOWN, "x_tier": UNKNOWN, "x_customer": "", "x_project": "", "x_feature": "",
    "charge_category": "", "billing_currency": "", "x_is_ai": "", "x_has_usd": "", "x_has_tokens": "",
}  # fmt: skip
ROLLUP_SUMS = (
    "billed_cost", "effective_cost", "list_cost", "contracted_cost", "x_credit_cost", "x_billed_usd",
    "x_effective_usd", "x_list_usd", "x_contracted_usd", "x_credit_usd", "x_tokens", "line_count",
    "without_list", "without_contracted",
)  # fmt: skip

SLOT_FILTER = "x_provider = $provider AND x_account = $account AND x_period = $period"
#: The tables that hold rows of a slot, in the order a replace empties them.
SLOT_TABLES = ("charges", "charges_daily", "quarantine", "loads")
#: Empties the quarantine of a slot but for the lines of what is stored for it.
DROP_ASIDE = (
    f"DELETE FROM quarantine WHERE {SLOT_FILTER} "  # noqa: S608
    f"AND x_run_id NOT IN (SELECT l.x_run_id FROM loads AS l WHERE {SLOT_FILTER.replace('x_', 'l.x_')})"
)


@dataclass(frozen=True, slots=True)
class Migration:
    """One step forward: its number, its title and its statements in order."""

    version: int
    title: str
    statements: tuple[str, ...]


@cache
def migrations() -> tuple[Migration, ...]:
    """Every migration, oldest first."""
    folder = resources.files("costweir.store") / "migrations"
    files = sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name
    )
    return tuple(_read(entry.name, entry.read_text(encoding="utf-8")) for entry in files)


def pending(applied: int) -> tuple[Migration, ...]:
    """The migrations after version `applied`. Raises Conflict when that version is newer than this
    program."""
    newest = migrations()[-1].version
    if applied > newest:
        raise Conflict(
            f"The store has schema version {applied} and this Costweir knows {newest}.",
            hint="Use the version of Costweir that wrote the store, or a newer one.",
        )
    return tuple(step for step in migrations() if step.version > applied)


def rollup_statement() -> str:
    """Fills `charges_daily` for one slot ($provider, $account, $period) from the charges stored for it."""
    grain = [
        f"COALESCE(f.{name}, '{empty}')" if empty else f"f.{name}" for name, empty in ROLLUP_GRAIN.items()
    ]
    sums = [f"SUM(f.{name})" for name in ROLLUP_SUMS]
    targets = ", ".join((*ROLLUP_GRAIN, *ROLLUP_SUMS))
    source = "charges_facts AS f WHERE " + SLOT_FILTER.replace("x_", "f.x_")
    return (
        f"INSERT INTO charges_daily ({targets}) "  # noqa: S608
        f"SELECT {', '.join((*grain, *sums))} FROM {source} GROUP BY {', '.join(grain)}"
    )


def slot_params(slot: Slot) -> dict[str, str]:
    """The parameters of `SLOT_FILTER`."""
    return {"provider": slot.provider, "account": slot.account, "period": slot.period}


def load_row(load: Load) -> dict[str, Value]:
    """The row of `loads`, by column. The instant is stored as UTC without zone."""
    return {
        "x_provider": load.slot.provider, "x_account": load.slot.account, "x_period": load.slot.period,
        "x_source": load.source, "x_run_id": load.run_id, "loaded_at": _utc(load.loaded_at),
        "rows_in": load.rows_in, "rows_stored": load.rows_stored, "rows_skipped": load.rows_skipped,
        "rows_quarantined": load.rows_quarantined, "billed_total": load.billed_total,
        "file_total": load.file_total, "total_currency": load.currency, "content_hash": load.content_hash,
        "rules_hash": load.rules_hash, "first_day": load.first_day, "last_day": load.last_day,
        "is_sample": load.sample,
    }  # fmt: skip


def check_mirror(table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> list[Kind]:
    """The kinds of `columns` of a reference table.

    Raises UsageError for a table or column that is not mirrored, and for an id that comes twice: a join would
    then count every charge of it twice (law L4).
    """
    known = MIRRORED.get(table)
    if known is None:
        raise UsageError(
            f"{table!r} is not a reference table.", hint=f"Reference tables: {', '.join(MIRRORED)}."
        )
    wrong = [name for name in columns if name not in known]
    if wrong:
        raise UsageError(f"{table} has no column {wrong[0]!r}.", hint=f"It has: {', '.join(known)}.")
    if "id" in columns:
        counted = Counter(row[list(columns).index("id")] for row in rows)
        twice = [name for name, count in counted.items() if count > 1]
        if twice:
            raise UsageError(f"{table} has {twice[0]!r} twice.", hint="Give every id once.")
    return [known[name] for name in columns]


def distinct_calls(calls: Sequence[Mapping[str, Value]]) -> list[Mapping[str, Value]]:
    """The calls, each id once. Raises UsageError for a column that calls do not have."""
    unknown = set[str]().union(*calls) - CALL_KINDS.keys()
    if unknown:
        raise UsageError(f"A call has no column {min(unknown)!r}.", hint="See CALL_COLUMNS for the columns.")
    return list({call.get("call_id"): call for call in calls}.values())


def first_start(calls: Sequence[Mapping[str, Value]]) -> datetime | None:
    """When the earliest of the calls began."""
    starts = [_utc(start) for call in calls if isinstance(start := call.get("started_at"), datetime)]
    return min(starts, default=None)


def distinct_adjustments(rows: Sequence[Mapping[str, Value]]) -> list[Mapping[str, Value]]:
    """The later prices, each call and step once."""
    return list({(row["call_id"], row["step"]): row for row in rows}.values())


def charge_list() -> str:
    """The columns of `charges`, for INSERT and SELECT."""
    return ", ".join(CHARGE_COLUMN_NAMES)


def _utc(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None) if instant.tzinfo else instant


def _read(name: str, text: str) -> Migration:
    number, _, title = name.removesuffix(".sql").partition("_")
    code = re.sub(r"^--.*$", "", text, flags=re.MULTILINE)
    statements = tuple(part.strip() for part in re.split(r";\s*$", code, flags=re.MULTILINE) if part.strip())
    return Migration(int(number), title, statements)
