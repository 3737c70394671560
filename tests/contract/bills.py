"""Small bills made of plain dictionaries, staged as the Parquet that `replace` takes."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from costweir.domain.charge import CHARGE_COLUMNS
from costweir.domain.money import exact
from costweir.domain.period import Month
from costweir.store.warehouse import Load, Slot, Warehouse

LOADED_AT = datetime(2026, 11, 19, 6, 0, tzinfo=UTC)
TODAY = date(2026, 11, 20)
SOURCES = {"aws": "aws-cur2", "gcp": "gcp-export", "azure": "azure-export"}

_ARROW = {
    "text": pa.string(), "json": pa.string(), "bool": pa.bool_(), "int": pa.int64(), "day": pa.date32(),
    "instant": pa.timestamp("us"), "money": pa.decimal128(38, 18), "quantity": pa.decimal128(38, 12),
}  # fmt: skip
_SCHEMA = pa.schema([(column.name, _ARROW[column.kind]) for column in CHARGE_COLUMNS])
_QUARANTINE = pa.schema(
    [("file", pa.string()), ("row_number", pa.int64()), ("reason", pa.string()), ("raw", pa.string())]
)


def line(**given: Any) -> dict[str, Any]:
    """One charge; what is not given is filled in. `cost` sets all four costs, `rate` converts them to USD."""
    cost = Decimal(given.pop("cost", "1"))
    rate = given.pop("rate", Decimal(1))
    day: date = given.get("usage_date", date(2026, 10, 5))
    month = Month.of(day)
    row: dict[str, Any] = dict.fromkeys(_SCHEMA.names)
    row |= {
        "billing_account_id": "1", "billing_currency": "USD", "billing_period_start": month.first,
        "billing_period_end": month.following.first, "charge_category": "Usage", "service_name": "Bedrock",
        "charge_period_start": datetime.combine(day, time()), "billed_cost": cost, "effective_cost": cost,
        "list_cost": cost, "contracted_cost": cost, "x_provider": "aws", "x_account": "1", "x_period": str(month),
        "x_run_id": "run-1", "x_is_ai": True, "x_model": "claude-sonnet-4-6", "x_token_class": "input",
        "x_direction": "input", "x_tokens": Decimal(1000), "x_customer": "acme", "x_project": "search",
        "x_feature": "chat", "x_credit_cost": Decimal(0), "usage_date": day, "usage_hour": 0,
        "iso_dow": day.isoweekday(), "usage_month": str(month),
    }  # fmt: skip
    row |= given
    row["x_source"] = given.get("x_source", SOURCES.get(row["x_provider"], "focus"))
    for basis in ("billed", "effective", "list", "contracted"):
        amount = row[f"{basis}_cost"]
        row[f"x_{basis}_usd"] = None if rate is None or amount is None else amount * rate
    credit = row["x_credit_cost"]
    row["x_credit_usd"] = None if rate is None or credit is None else credit * rate
    return row


def half(row: Mapping[str, Any]) -> dict[str, Any]:
    """The billed amounts of a charge as an earlier read might have had them."""
    amounts = {name: row[name] for name in ("billed_cost", "x_billed_usd")}
    return {name: None if amount is None else exact(amount / 2) for name, amount in amounts.items()}


def stage(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Writes charges as staged Parquet."""
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=_SCHEMA), path)
    return path


def stage_quarantine(path: Path, rows: Sequence[tuple[str, int, str, str]]) -> Path:
    """Writes quarantined lines as staged Parquet."""
    records = [dict(zip(_QUARANTINE.names, row, strict=True)) for row in rows]
    pq.write_table(pa.Table.from_pylist(records, schema=_QUARANTINE), path)
    return path


def load_of(slot: Slot, rows: Sequence[Mapping[str, Any]], **given: Any) -> Load:
    """The load that these rows make."""
    total = sum((row["billed_cost"] for row in rows), Decimal(0))
    values: dict[str, Any] = {
        "run_id": "run-1", "source": rows[0]["x_source"] if rows else "aws-cur2", "slot": slot,
        "loaded_at": LOADED_AT, "rows_in": len(rows), "rows_stored": len(rows), "rows_skipped": 0,
        "rows_quarantined": 0, "billed_total": total, "file_total": total, "currency": "USD",
        "content_hash": "0", "last_day": max((row["usage_date"] for row in rows), default=None),
    }  # fmt: skip
    return Load(**{**values, **given})


def store(warehouse: Warehouse, folder: Path, rows: Sequence[Mapping[str, Any]], **given: Any) -> list[Load]:
    """Loads rows of any slots, slot by slot."""
    slots: dict[Slot, list[Mapping[str, Any]]] = {}
    for row in rows:
        slots.setdefault(Slot(row["x_provider"], row["x_account"], row["x_period"]), []).append(row)
    loads = [load_of(slot, members, **given) for slot, members in slots.items()]
    for load in loads:
        warehouse.replace(load, charges=stage(folder / "charges.parquet", slots[load.slot]))
    return loads


def call(number: int, **given: Any) -> dict[str, Any]:
    """One metered call."""
    started = given.pop("started_at", datetime.combine(date(2026, 10, 5), time(12)))
    return {
        "call_id": f"call-{number}", "started_at": started, "provider": "aws", "model": "claude-sonnet-4-6",
        "customer": "acme", "project": "search", "feature": "chat", "session_id": f"s{number % 3}", "key_id": "k1",
        "outcome": "ok", "usage_certainty": "reported", "settled_usd": Decimal("0.25"), "uncached_input_tokens": 100,
        "text_output_tokens": 20, "usage_date": started.date(), "usage_hour": started.hour,
        "iso_dow": started.isoweekday(), "usage_month": str(Month.of(started.date())), **given,
    }  # fmt: skip


def adjustment(number: int, after: str, *, step: int = 1, before: str | None = "0.25") -> dict[str, Any]:
    """A later price of a call."""
    return {
        "call_id": f"call-{number}", "step": step, "run_id": "run-1", "reason": "corrected" if before else "priced",
        "usd_before": before and Decimal(before), "usd_after": Decimal(after), "price_version_before": None,
        "price_version_after": "book-2", "adjusted_by": "ann", "adjusted_at": LOADED_AT.replace(tzinfo=None),
        "adjusted_on": LOADED_AT.date(),
    }  # fmt: skip


def world(seed: int = 7, size: int = 300) -> list[dict[str, Any]]:
    """A seeded mix of everything that may stand on a bill."""
    pick = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for _ in range(size):
        day = date(2026, 9, 1) + timedelta(days=pick.randrange(78))
        token_class = pick.choice(["input", "output", "cache_read", "cache_write", "image", "other"])
        provider = pick.choice(["aws", "gcp", "azure"])
        cost = Decimal(pick.randrange(-(10**9), 10**12)).scaleb(-pick.choice([6, 9, 12, 18]))
        rows.append(
            line(
                cost=cost, usage_date=day, x_provider=provider, usage_hour=pick.randrange(24),
                x_account=pick.choice(["1", "2"]), service_name=pick.choice(["Bedrock", "Vertex AI"]),
                x_model=pick.choice(["claude-sonnet-4-6", "gpt-4o-mini", "unknown"]),
                x_model_developer=pick.choice(["anthropic", None]), x_token_class=token_class,
                x_direction=pick.choice(["input", "output", None]), x_tier=pick.choice(["batch", None]),
                x_tokens=None if token_class in ("image", "other") else Decimal(pick.randrange(10**6)),
                x_customer=pick.choice(["acme", "globex", "initech", "untagged"]),
                x_project=pick.choice(["search", "untagged"]), x_feature=pick.choice(["chat", "untagged"]),
                charge_category=pick.choice(["Usage", "Usage", "Credit", "Tax"]),
                list_cost=pick.choice([cost, None]), region_id=pick.choice(["us-east-1", "eu-west-1", None]),
                charge_description=pick.choice(["Tokens in", "", "100% \\N \"quoted\", text"]),
                x_usage_type=pick.choice(["USE1-x", None]), pricing_quantity=Decimal(pick.randrange(1000)),
                x_credit_cost=exact(-abs(cost) / 2) if pick.random() < 0.2 else Decimal(0),
                x_is_ai=pick.random() < 0.9,
            )
        )  # fmt: skip
    return rows


REFERENCES: dict[str, tuple[tuple[str, ...], list[tuple[Any, ...]]]] = {
    "customers": (
        ("id", "name", "plan", "active_since", "active_until"),
        [
            ("acme", "Acme", "tier_1", date(2026, 1, 1), None),
            ("globex", "Globex", "tier_2", date(2026, 10, 15), None),
            ("initech", "Initech", None, None, None),
            ("quiet", "Quiet", "tier_1", None, date(2026, 10, 1)),
        ],
    ),
    "plans": (("id", "price_usd"), [("tier_1", Decimal(49)), ("tier_2", Decimal(99))]),
    "budgets": (
        ("id", "scope_kind", "scope_id", "limit_usd", "budget_window", "mode"),
        [
            ("acme-month", "customer", "acme", Decimal(100), "month", "strict"),
            ("all", "global", "", Decimal("1e6"), "total", "observe"),
            ("tier-week", "plan", "tier_2", Decimal(5), "week", "strict"),
            ("sessions", "session", "s1", Decimal(1), "session", "strict"),
        ],
    ),
    "customer_approved_models": (
        ("customer_id", "model"),
        [("acme", "gpt-4o-mini"), ("globex", "claude-sonnet-4-6")],
    ),
}


def refer(warehouse: Warehouse) -> None:
    """Mirrors the reference tables."""
    for table, (columns, rows) in REFERENCES.items():
        warehouse.mirror(table, columns, rows)
