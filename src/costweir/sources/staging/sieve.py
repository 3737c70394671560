"""Tells the rows of a large CSV that are kept from those that are only counted, before either is written.

Whether a row is about AI follows from a few of its columns, and a bill has few different ones: its rows are grouped
by them, and the classifier is asked once for each group. A row that cannot be read is kept, whatever it is about;
so law L7 holds as for every other file: rows in = stored + skipped + quarantined.
"""

# The SQL is made of our own names, quoted identifiers and literals.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock

import duckdb

from costweir.sources.formats.format import Format, Header, quoted
from costweir.sources.staging import rows
from costweir.sources.staging.meanings import Key

#: Sifting pays while at most one row of so many is kept, and there is at most one group for so many rows.
FEW_KEPT = 4
FEW_GROUPS = 4


@dataclass(frozen=True, slots=True)
class Sifted:
    """How many rows a piece has, and which of them are kept: their places, from 0, in order."""

    count: int
    kept: list[int]


@dataclass(slots=True)
class Sieve:
    """The groups of one file, and what was counted of those whose rows are not kept.

    `passes` says of the strings of a row, in the order of `rows.KEYS`, whether it is only counted. Threads may share a
    sieve; each has a cursor of its own.
    """

    connection: duckdb.DuckDBPyConnection
    number: int
    form: Format
    header: Header
    passes: Callable[[Key], bool]
    #: No longer of use, because too much is kept.
    idle: bool = False
    _keyed: Mapping[str, str] = field(default_factory=dict[str, str])
    _of_row: str = ""
    _by: str = ""
    _same: str = ""
    _asking: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        """Makes the table of the groups and the table of what was counted of them."""
        raw = self.form.columns(self.header)
        self._of_row = f"{rows.typed(raw, 'billed_cost')}, {rows.typed(raw, 'charge_period_start')}"
        self._keyed = rows.keyed(raw)
        names = [quoted(name) for name in rows.named_columns(self.header, self._keyed)]
        self._by = ", ".join(names)
        self._same = " AND ".join(f"g.{name} IS NOT DISTINCT FROM v.{name}" for name in names)
        self.connection.execute(
            f"CREATE OR REPLACE TABLE {self._verdicts} ({' VARCHAR, '.join(names)} VARCHAR, passes BOOLEAN)"
        )
        self.connection.execute(
            f"CREATE OR REPLACE TABLE {self._counted} (verdict BIGINT, n BIGINT, billed DECIMAL(38, 18), "
            "first_day DATE, last_day DATE)"
        )

    @property
    def _verdicts(self) -> str:
        return f"verdicts_{self.number}"

    @property
    def _counted(self) -> str:
        return f"counted_{self.number}"

    def sift(self, cursor: duckdb.DuckDBPyConnection, text: str) -> Sifted | None:
        """Groups the rows of a relation, which are in order; None where it does not pay. `count` counts them."""
        if self.idle:
            return None
        cursor.execute(
            f"CREATE OR REPLACE TEMP TABLE groups AS SELECT {self._by}, {rows.ROW_PROBLEM} AS bad, count(*) AS n, "
            "sum(billed_cost) AS billed, min(charge_period_start)::DATE AS first_day, "
            "max(charge_period_start)::DATE AS last_day, list(place) AS places "
            f"FROM (SELECT {self._by}, {self._of_row}, row_number() OVER () - 1 AS place FROM {text}) GROUP BY ALL"
        )
        found = cursor.execute("SELECT sum(n)::BIGINT, count(*) FROM groups").fetchone()
        total, groups = found or (None, 0)
        if total is None:
            return None
        if groups * FEW_GROUPS <= total:
            self._judge(cursor)
            kept = cursor.execute(
                "SELECT unnest(places) AS place FROM judged WHERE bad OR NOT passes ORDER BY place"
            ).fetchall()
            if len(kept) * FEW_KEPT <= total:
                return Sifted(total, [row[0] for row in kept])
        self.idle = True
        return None

    def count(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Counts the rows that were just sifted and are not kept."""
        cursor.execute(
            f"INSERT INTO {self._counted} SELECT verdict, n, billed, first_day, last_day FROM judged "
            "WHERE passes AND NOT bad"
        )

    def _judge(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Joins the groups with their verdicts. One thread at a time asks for new ones, so that none gets two."""
        join = (
            "CREATE OR REPLACE TEMP TABLE judged AS SELECT g.* EXCLUDE ("
            f"{self._by}), v.rowid AS verdict, v.passes "
            f"FROM groups g LEFT JOIN {self._verdicts} v ON ({self._same})"
        )
        cursor.execute(join)
        if not cursor.execute("SELECT count(*) FROM judged WHERE verdict IS NULL").fetchall()[0][0]:
            return
        with self._asking:
            cursor.execute(
                f"CREATE OR REPLACE TEMP TABLE fresh AS SELECT DISTINCT {self._by} FROM groups g "
                f"ANTI JOIN {self._verdicts} v ON ({self._same})"
            )
            # Amounts in another currency need a rate of their own, which is worked out where rows are kept.
            told = cursor.execute(
                f"SELECT row_number - 1, NOT {rows.KEY_PROBLEM} AND billing_currency = 'USD', "
                f"{', '.join(rows.KEYS)} FROM ({self._mapped('fresh')})"
            ).fetchall()
            passing = [row[0] for row in told if row[1] and self.passes(row[2:])]
            cursor.execute(
                f"INSERT INTO {self._verdicts} SELECT *, list_contains(?::BIGINT[], rowid) FROM fresh",
                [passing],
            )
            cursor.execute(join)

    def _mapped(self, table: str, *, place: int = 0) -> str:
        relation = f"(SELECT *, rowid AS file_row_number, {place} AS file_index FROM {table})"
        return rows.mapped(self.form, self._keyed, relation)

    def census(self, place: int) -> str:
        """SELECT of what was counted, with the columns of `rows.census`, for the file at `place` of its batch."""
        return (
            f"SELECT file_index, {', '.join(rows.SLOT)}, billing_currency, {', '.join(rows.KEYS[1:])}, "
            "sum(n)::BIGINT AS n, sum(billed) AS billed, sum(billed) AS usd, 0 AS without_rate, "
            "min(first_day) AS first_day, max(last_day) AS last_day "
            f"FROM ({self._mapped(self._verdicts, place=place)}) "
            f"JOIN {self._counted} ON (verdict = row_number - 1) GROUP BY ALL"
        )
