"""Customers, plans and budgets, each with where it was set. What the configuration file says goes before
what was set by hand, and that before the sample world; a row that goes away uncovers the one below it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, TypeVar, cast

from costweir.control.database import Cell, Database, Row

Origin = Literal["config", "user", "demo"]
_RANK = "CASE origin WHEN 'config' THEN 0 WHEN 'user' THEN 1 ELSE 2 END"


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody who the spend is for. `since` is `YYYY-MM-DD` or empty."""

    TABLE: ClassVar[str] = "customers"

    id: str
    name: str = ""
    plan: str = ""
    since: str = ""
    origin: Origin = "user"

    def to_json(self) -> dict[str, object]:
        """All fields; an empty plan or day is null."""
        return {
            "id": self.id, "name": self.name or self.id, "plan": self.plan or None, "since": self.since or
            None, "origin": self.origin,
        }  # fmt: skip

    def cells(self) -> tuple[Cell, ...]:
        """The row as stored."""
        return self.origin, self.id, self.name or self.id, self.plan or None, self.since or None


@dataclass(frozen=True, slots=True)
class Plan:
    """What customers pay for. Amounts are decimal strings in USD for a month, empty where there is no
    limit."""

    TABLE: ClassVar[str] = "plans"

    id: str
    name: str = ""
    price_usd: str = "0.00"
    budget_usd: str = ""
    session_usd: str = ""
    session_calls: int | None = None
    tokens_per_minute: int | None = None
    origin: Origin = "user"

    def to_json(self) -> dict[str, object]:
        """All fields; no limit is null."""
        return {
            "id": self.id, "name": self.name or self.id, "price_usd": self.price_usd,
            "budget_usd": self.budget_usd or None, "session_usd": self.session_usd or None,
            "session_calls": self.session_calls, "tokens_per_minute": self.tokens_per_minute,
            "origin": self.origin,
        }  # fmt: skip

    def cells(self) -> tuple[Cell, ...]:
        """The row as stored."""
        return (
            self.origin, self.id, self.name or self.id, self.price_usd, self.budget_usd or None,
            self.session_usd or None, self.session_calls, self.tokens_per_minute,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit. `definition` has the keys of the configuration file: `scope, limit_usd, window, mode` ..."""

    TABLE: ClassVar[str] = "budgets"

    id: str
    definition: Mapping[str, Any]
    origin: Origin = "user"

    def to_json(self) -> dict[str, object]:
        """The definition with id and origin."""
        return {"id": self.id, **self.definition, "origin": self.origin}

    def cells(self) -> tuple[Cell, ...]:
        """The row as stored."""
        return self.origin, self.id, json.dumps(dict(self.definition), ensure_ascii=False, sort_keys=True)


#: Columns that may be NULL and are an empty text in code.
_TEXTS = frozenset({"plan", "since", "budget_usd", "session_usd"})

Entity = Customer | Plan | Budget
Entry = TypeVar("Entry", Customer, Plan, Budget)


class Directory:
    """The three lists of one control database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def listed(self, kind: type[Entry]) -> list[Entry]:
        """Every entry once, by id; the highest origin is shown."""
        rows = self._database.read(
            f"SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY id ORDER BY {_RANK}) AS place"  # noqa: S608
            f" FROM {kind.TABLE}) WHERE place = 1 ORDER BY id"
        )
        return [_entry(kind, row) for row in rows]

    def record(self, kind: type[Entity], name: str) -> dict[str, object] | None:
        """The JSON of the entry with this id; the highest origin is shown."""
        rows = self._database.read(
            f"SELECT * FROM {kind.TABLE} WHERE id = ? ORDER BY {_RANK} LIMIT 1",  # noqa: S608
            (name,),
        )
        return _entry(cast("type[Customer]", kind), rows[0]).to_json() if rows else None

    def records(self, kind: type[Entity], origin: Origin) -> dict[str, dict[str, object]]:
        """The JSON of every entry of one origin by id, also of those that another one covers."""
        rows = self._database.read(f"SELECT * FROM {kind.TABLE} WHERE origin = ?", (origin,))  # noqa: S608
        return {row["id"]: _entry(cast("type[Customer]", kind), row).to_json() for row in rows}

    def replace(self, origin: Origin, groups: Mapping[type[Entity], Sequence[Entity]]) -> None:
        """Makes the entries all there is of one origin, in one transaction; other origins stay as they
        are."""
        with self._database.write() as run:
            for kind, entries in groups.items():
                run(f"DELETE FROM {kind.TABLE} WHERE origin = ?", (origin,))  # noqa: S608
                for entry in entries:
                    if entry.origin != origin:
                        raise ValueError(f"{entry.id!r} has the origin {entry.origin}, not {origin}")
                    cells = entry.cells()
                    run(_insert(kind, len(cells)), cells)

    def add(self, entry: Entity) -> None:
        """Adds one entry, or changes the one of the same origin and id."""
        cells = entry.cells()
        with self._database.write() as run:
            run(_insert(type(entry), len(cells)), cells)

    def drop(self, kind: type[Entity], name: str) -> bool:
        """Removes an entry that was set by hand; true when there was one."""
        with self._database.write() as run:
            return bool(
                run(f"DELETE FROM {kind.TABLE} WHERE origin = 'user' AND id = ? RETURNING id", (name,))  # noqa: S608
            )


def _insert(kind: type[Entity], count: int) -> str:
    return f"INSERT OR REPLACE INTO {kind.TABLE} VALUES ({', '.join('?' * count)})"  # noqa: S608


def _entry(kind: type[Entry], row: Row) -> Entry:
    values: dict[str, Any] = {item.name: row[item.name] for item in fields(kind)}
    if kind is Budget:
        values["definition"] = json.loads(values["definition"])
    for name in _TEXTS & values.keys():
        values[name] = values[name] or ""
    return kind(**values)
