"""Finds columns in a bill's header, whatever their spelling, and writes the SQL that reads them."""

from __future__ import annotations

from costweir.sources.formats.format import Header, plain, quoted


class Columns:
    """The columns of one header. A name finds every spelling that differs in case, blanks and signs only."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self._names: dict[str, str] = {}
        for name in header:
            self._names.setdefault(plain(name), name)

    def find(self, *names: str) -> tuple[str, ...]:
        """Those of `names` that the header has, spelt as in the header, in the order asked for."""
        found = (self._names.get(plain(name)) for name in names)
        return tuple(name for name in found if name is not None)

    def kind(self, name: str) -> str:
        """The DuckDB type of a column, or an empty text when it is not there."""
        found = self._names.get(plain(name))
        return self.header[found].upper() if found is not None else ""

    def has(self, *names: str) -> bool:
        """Whether any of `names` is there."""
        return bool(self.find(*names))

    def value(self, name: str) -> str:
        """SQL for a column that is there; the text inside when it is JSON."""
        return f"({quoted(name)} ->> '$')" if self.header[name].upper() == "JSON" else quoted(name)

    def _first(self, macro: str, names: tuple[str, ...]) -> str:
        terms = [f"{macro}({self.value(name)})" for name in self.find(*names)]
        if not terms:
            return "NULL"
        return terms[0] if len(terms) == 1 else f"coalesce({', '.join(terms)})"

    def text(self, *names: str) -> str:
        """SQL for the first of `names` that is filled in, as text."""
        return self._first("txt", names)

    def money(self, *names: str) -> str:
        """SQL for the first readable amount among `names`."""
        return self._first("amount", names)

    def quantity(self, *names: str) -> str:
        """SQL for the first readable quantity among `names`."""
        return self._first("qty", names)

    def instant(self, *names: str) -> str:
        """SQL for the first readable instant among `names`, in UTC."""
        return self._first("instant", names)

    def day(self, *names: str) -> str:
        """SQL for the first readable day among `names`."""
        return self._first("bill_day", names)


def coalesced(*terms: str) -> str:
    """SQL for the first of `terms` that is not NULL; terms that are NULL by themselves are left out."""
    real = [term for term in terms if term != "NULL"]
    if len(real) < 2:
        return real[0] if real else "NULL"
    return f"coalesce({', '.join(real)})"
