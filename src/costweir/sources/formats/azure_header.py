"""Finds the columns of an Azure cost export by the table `azure.yaml` and writes the SQL that reads their
values.

The agreement, the age of the export and the language of the portal all change the headings, never the
meaning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from costweir.sources.formats.format import Header, literal, plain, quoted
from costweir.sources.formats.header import coalesced
from costweir.sources.formats.nested import bound

_BRACKETED = re.compile(r"(?P<own>.+?)\s*\((?P<english>[A-Za-z][A-Za-z0-9 _-]*)\)")
_TYPED_TIME = ("DATE", "TIMESTAMP")


@cache
def table() -> Mapping[str, Any]:
    """The content of `azure.yaml`."""
    import yaml

    text = resources.files("costweir.sources.formats").joinpath("azure.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


class AzureHeader:
    """The columns of one export by what they mean, for example `cost`, whatever the file calls them."""

    def __init__(self, header: Header) -> None:
        self._header = header
        self._names: dict[str, str] = {}
        own = {plain(name) for names in table()["localised"].values() for name in names}
        self.localised = False
        for name in header:
            found = _BRACKETED.fullmatch(name)
            if found is not None:
                self._names.setdefault(plain(found["english"]), name)
                self.localised |= plain(found["own"]) != plain(found["english"])
            self._names.setdefault(plain(name), name)
            self.localised |= plain(name) in own

    def column(self, field: str) -> str | None:
        """The file's own name of the first column that holds `field`, or None."""
        names = [*table()["fields"][field], *table()["localised"].get(field, ())]
        return next((self._names[plain(name)] for name in names if plain(name) in self._names), None)

    def has(self, *fields: str) -> bool:
        """Whether the file has any of `fields`."""
        return any(self.column(field) is not None for field in fields)

    @property
    def complete(self) -> bool:
        """Whether every group of required columns is there, and the file is no FOCUS file."""
        return "billedcost" not in self._names and all(self.has(*group) for group in table()["required"])

    def _raw(self, name: str) -> str:
        kind = self._header[name].upper()
        if kind.startswith(("MAP", "STRUCT")):
            return f"to_json({quoted(name)})"
        return f"({quoted(name)} ->> '$')" if kind == "JSON" else quoted(name)

    def text(self, *fields: str) -> str:
        """SQL for the first field that is filled in. Azure's words for nothing count as empty."""
        empty = ", ".join(map(literal, table()["placeholders"]))
        terms = [f"txt({self._raw(name)})" for name in map(self.column, fields) if name is not None]
        real = [bound(term, "t", f"CASE WHEN lower(t) NOT IN ({empty}) THEN t END") for term in terms]
        return coalesced(*real) if real else "NULL"

    def verbatim(self, field: str) -> str:
        """SQL for the text of a field as it is."""
        name = self.column(field)
        return "NULL" if name is None else f"txt({self._raw(name)})"

    def money(self, field: str) -> str:
        """SQL for an amount; text may have a decimal comma or an exponent."""
        return self._number("amount", field)

    def quantity(self, field: str) -> str:
        """SQL for a quantity; text may have a decimal comma or an exponent."""
        return self._number("qty", field)

    def _number(self, macro: str, field: str) -> str:
        name = self.column(field)
        if name is None:
            return "NULL"
        if self._header[name].upper() not in ("VARCHAR", "JSON"):
            return f"{macro}({self._raw(name)})"
        return f"{macro}({_with_point(self._raw(name), lone_comma=self.localised)})"

    def instant(self, field: str) -> str:
        """SQL for an instant. Dates with slashes start with the month, in a localised file with the day."""
        name = self.column(field)
        if name is None:
            return "NULL"
        if self._header[name].upper().startswith(_TYPED_TIME):
            return f"instant({self._raw(name)})"
        # %y comes first, because %Y takes 26 for the year 26.
        slashes = "'%d/%m/%y', '%d/%m/%Y', '%d/%m/%Y %H:%M:%S'"
        if not self.localised:
            slashes = "'%m/%d/%y', '%m/%d/%Y', '%m/%d/%Y %H:%M:%S', '%m/%d/%Y %I:%M:%S %p'"
        return bound(
            f"txt({self._raw(name)})",
            "t",
            "CASE WHEN t[5] = '-' OR length(t) = 8 AND t NOT SIMILAR TO '.*[./].*' THEN instant(t) "
            "WHEN t[5] = '/' THEN try_strptime(t, ['%Y/%m/%d', '%Y/%m/%d %H:%M:%S']) "
            "WHEN contains(t, '/') THEN try_strptime(t, [" + slashes + "]) "
            "WHEN contains(t, '.') THEN try_strptime(t, ['%d.%m.%y', '%d.%m.%Y', '%d.%m.%Y %H:%M:%S']) END",
        )


def _with_point(sql: str, *, lone_comma: bool) -> str:
    """A number with a decimal point. `1,234` may mean either number and is read in localised files only."""
    lone = "\\d+,\\d+" if lone_comma else "(\\d+,\\d{1,2}|\\d+,\\d{4,}|0,\\d+)"
    branches = (
        "CASE WHEN NOT contains(t, ',') THEN t",
        f"WHEN regexp_full_match(t, '[-+]?{lone}([eE][-+]?\\d+)?') THEN replace(t, ',', '.')",
        "WHEN regexp_full_match(t, '[-+]?\\d{1,3}(\\.\\d{3})+,\\d+') THEN translate(t, ',.', '.')",
        "WHEN regexp_full_match(t, '[-+]?\\d{1,3}(,\\d{3})+\\.\\d+') THEN replace(t, ',', '') END",
    )
    return bound(f"trim({sql})", "t", " ".join(branches))


def service_of(subcategory: str, product: str, category: str) -> str:
    """SQL for what the classifier gets as the service: the product family, which alone says whose model a
    meter such as `5.4 opt Dz` is, after the category, which alone says that a family such as `Speech` is an
    AI service."""
    head = "NULL" if product == "NULL" else f"split_part({product}, ' - ', 1)"
    family = coalesced(subcategory, head)
    if "NULL" not in (subcategory, head):
        longer = f"starts_with(lower({head}), lower({subcategory}))"
        family = f"CASE WHEN {longer} THEN {head} ELSE {family} END"
    alone = (
        "starts_with(lower(s.f), 'azure ') OR contains(lower(s.f), lower(s.c)) OR s.f IS NULL OR s.c IS NULL"
    )
    joined = f"CASE WHEN {alone} THEN coalesce(s.f, s.c) ELSE s.c || ' ' || s.f END"
    return bound(f"{{'f': ({family})::VARCHAR, 'c': ({category})::VARCHAR}}", "s", joined)


def chosen(sql: str, answers: Mapping[str, str], *, otherwise: str = "NULL") -> str:
    """SQL that looks the text `sql` up in `answers`, without regard to letter case."""
    whens = " ".join(f"WHEN {literal(key)} THEN {literal(value)}" for key, value in answers.items())
    return f"CASE lower({sql}) {whens} ELSE {otherwise} END"
