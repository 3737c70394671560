"""Finds a field of a nested record in whatever shape an export wrote it, and writes the SQL that reads it.

`usage.amount` may be a STRUCT field, a key of a JSON column, or a flat column `usage.amount` or
`usage_amount`. A repeated record stays one list on its row, so that reading it can never multiply rows.
"""

from __future__ import annotations

from typing import NamedTuple

from costweir.sources.formats.format import Header, literal, plain, quoted


def bound(sql: str, name: str, body: str) -> str:
    """SQL for `body` with `name` standing for `sql`, worked out once a row however often `body` says it."""
    return f"list_transform([{sql}], lambda {name}: {body})[1]"


class Cell(NamedTuple):
    """SQL for one field and the DuckDB type it has."""

    sql: str
    kind: str


class Nested:
    """The fields of one header, addressed by their path in the provider's own schema, for example
    `sku.id`."""

    def __init__(self, header: Header) -> None:
        self._header = header
        self._names: dict[str, str] = {}
        for name in header:
            self._names.setdefault(plain(name), name)

    def cell(self, path: str) -> Cell | None:
        """The field at `path`, or None where the file does not have it."""
        flat = self._names.get(plain(path))
        if flat is not None:
            return Cell(quoted(flat), self._header[flat])
        head, _, rest = path.partition(".")
        column = self._names.get(plain(head))
        if not rest or column is None:
            return None
        return _inside(Cell(quoted(column), self._header[column]), rest)

    def has(self, path: str) -> bool:
        """Whether the file can have the field. Columns of JSON are taken to have every key."""
        return self.cell(path) is not None

    def _value(self, macro: str, paths: tuple[str, ...]) -> str:
        terms = [f"{macro}({_scalar(cell)})" for cell in map(self.cell, paths) if cell is not None]
        if not terms:
            return "NULL"
        return terms[0] if len(terms) == 1 else f"coalesce({', '.join(terms)})"

    def text(self, *paths: str) -> str:
        """SQL for the first field that is filled in, as text."""
        return self._value("txt", paths)

    def money(self, *paths: str) -> str:
        """SQL for the first readable amount; a double is read through its shortest text."""
        return self._value("amount", paths)

    def quantity(self, *paths: str) -> str:
        """SQL for the first readable quantity."""
        return self._value("qty", paths)

    def instant(self, *paths: str) -> str:
        """SQL for the first readable instant, in UTC."""
        return self._value("instant", paths)

    def records(self, path: str, *fields: str) -> str:
        """SQL for a repeated record as a list of structs of text with exactly `fields`.

        Empty when the field is absent or empty, NULL when its text cannot be read, so that a sum over it is
        NULL too and the row is set aside instead of losing money.
        """
        cell = self.cell(path)
        if cell is None:
            return _empty(fields)
        cell = _unwrapped(cell)
        inner = _fields_of(cell.kind.removesuffix("[]")) if cell.kind.endswith("[]") else {}
        if inner:
            parts = (f"{literal(field)}: {_field('r', inner, field)}" for field in fields)
            listed = f"list_transform({cell.sql}, lambda r: {{{', '.join(parts)}}})"
            return f"coalesce({listed}, {_empty(fields)})"
        read = bound(_as_json(cell), "j", f"CASE {_records_of_json('j', fields)} END")
        return f"(CASE WHEN {_is_empty(cell)} THEN {_empty(fields)} ELSE {read} END)"

    def json(self, path: str) -> str:
        """SQL for a field as JSON text, whatever its type; NULL when absent or unreadable."""
        cell = self.cell(path)
        return "NULL" if cell is None else _as_json(_unwrapped(cell))


def _field(row: str, inner: dict[str, tuple[str, str]], field: str) -> str:
    """One field of a list element as text; money and text that are doubles become their shortest text."""
    if field not in inner:
        return "NULL::VARCHAR"
    name, _ = inner[field]
    return f"txt({row}.{quoted(name)})"


def _is_empty(cell: Cell) -> str:
    kind = cell.kind.upper()
    if kind not in ("JSON", "VARCHAR"):
        return f"{cell.sql} IS NULL"
    return f"coalesce(trim({cell.sql}::VARCHAR), '') IN ('', '[]', '{{}}', 'NULL', 'null')"


def _empty(fields: tuple[str, ...]) -> str:
    shape = ", ".join(f"{quoted(field)} VARCHAR" for field in fields)
    return f"[]::STRUCT({shape})[]"


def _fields_of(kind: str) -> dict[str, tuple[str, str]]:
    """The fields of a STRUCT type: plain name to (name, type). Empty for any other type."""
    if not kind.upper().startswith("STRUCT(") or kind.endswith("]"):
        return {}
    import duckdb

    return {plain(name): (name, str(child)) for name, child in duckdb.sqltype(kind).children}


def _inside(cell: Cell, path: str) -> Cell | None:
    fields = _fields_of(cell.kind)
    if fields:
        found = fields.get(plain(path))
        return Cell(f"{cell.sql}.{quoted(found[0])}", found[1]) if found else None
    if cell.kind.upper() in ("JSON", "VARCHAR"):
        return Cell(f"json_extract({_as_json(cell)}, {literal('$.' + path)})", "JSON")
    return None


def _scalar(cell: Cell) -> str:
    return f"({cell.sql} ->> '$')" if cell.kind.upper() == "JSON" else cell.sql


def _unwrapped(cell: Cell) -> Cell:
    """BigQuery writes a repeated record to Parquet as `STRUCT(list STRUCT(element ...)[])` unless told
    otherwise."""
    inner = _fields_of(cell.kind)
    if set(inner) != {"list"}:
        return cell
    name, kind = inner["list"]
    wrapper, sql = kind.removesuffix("[]"), f"{cell.sql}.{quoted(name)}"
    element = _fields_of(wrapper)
    if set(element) not in ({"element"}, {"item"}):
        return Cell(sql, kind)
    (only,) = element.values()
    return Cell(f"list_transform({sql}, lambda e: e.{quoted(only[0])})", only[1] + "[]")


def _as_json(cell: Cell) -> str:
    kind = cell.kind.upper()
    if kind == "JSON":
        return cell.sql
    if kind != "VARCHAR":
        return f"to_json({cell.sql})"
    respelt = bound(_respelt(cell.sql), "s", "CASE WHEN json_valid(s) THEN s END")
    return f"(CASE WHEN json_valid({cell.sql}) THEN {cell.sql} ELSE {respelt} END)::JSON"


def _respelt(text: str) -> str:
    """Python's spelling of a record (`{'id': None}`), which tools that flatten exports to CSV leave behind,
    as JSON."""
    strings = f"regexp_replace({text}, '''([^''\"]*)''', '\"\\1\"', 'g')"
    empties = f"regexp_replace({strings}, ':\\s*(None|nan)\\b', ': null', 'g')"
    true = f"regexp_replace({empties}, ':\\s*True\\b', ': true', 'g')"
    return f"regexp_replace({true}, ':\\s*False\\b', ': false', 'g')"


def _records_of_json(json: str, fields: tuple[str, ...]) -> str:
    """The branches of a CASE that read a list, or an object as pairs; neither hits when the JSON is anything
    else.

    The FOCUS export writes the fields with capitals.
    """
    shape = "[{" + ", ".join(f'"{field}": "VARCHAR"' for field in fields) + "}]"
    spelt = f"{json}::VARCHAR"
    for field in fields:
        spelt = f"replace({spelt}, '\"{field.capitalize()}\":', '\"{field}\":')"
    listed = f"WHEN json_type({json}) = 'ARRAY' THEN from_json({spelt}, {literal(shape)})"
    if set(fields) != {"key", "value"}:
        return listed
    entries = f"map_entries(from_json({json}, '\"MAP(VARCHAR, VARCHAR)\"'))"
    return f"{listed} WHEN json_type({json}) = 'OBJECT' THEN {entries}"
