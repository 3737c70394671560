"""An office over a control database of its own, with the customers and plans of the made-up world."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from costweir.app.budgets import Budgets
from costweir.control import Control, Customer, Plan
from costweir.errors import NotFound
from costweir.guard.ledgers.reader import LedgerReader
from costweir.queries.charge_pages import ChargesPage, ChargesRequest

Result = TypeVar("Result")
SETTINGS = (
    (
        "name",
        "Weir & Co",
        "file /etc/costweir.toml",
        "The name that the pages show: your firm or team.",
        "text",
    ),
    ("web.port", 8080, "default", "Port; 0 takes any free one.", "whole number"),
    (
        "log_level",
        "debug",
        "environment LOG_LEVEL",
        "`debug`, `info`, `warning`, `error` or `critical`.",
        "text",
    ),
    ("database.password", "********", "environment DB_PASSWORD", "Password.", "secret"),
    ("database.url", None, "default", "Whole address.", "secret"),
    ("store.url", "postgresql://me:********@db/x", "command line", "Where facts are.", "text"),
    (
        "plans",
        [{"id": "tier_3"}],
        "file /etc/costweir.toml",
        "Plans that customers pay for.",
        "list of tables",
    ),
    ("customers", [], "default", "Who the spend is for.", "list of tables"),
)


class NoMappings:
    """Nothing is mapped by hand."""

    def listed(self) -> Sequence[Mapping[str, object]]:
        return []


class NothingConnects:
    """Says what a source needs, and tries none."""

    def policy(self, row: Mapping[str, object]) -> str:
        return f"allow {row['kind']} to read its bills and nothing else"


class FakeOffice:
    """Implements `costweir.web.office.Office`. Plan `tier_3` and its customers come from the configuration file."""

    def __init__(
        self, customers: Sequence[tuple[str, str, str]], plans: Mapping[str, tuple[str, str, str]]
    ) -> None:
        self._folder = TemporaryDirectory()
        self.ledger_file: Path | None = None
        self._reader: LedgerReader | None = None
        self.control = Control.open(Path(self._folder.name) / "control.db")
        with self.control.transaction():
            for name, (title, price, budget) in plans.items():
                self.control.add(Plan(name, title, price, budget, origin=_origin(name)))
            for name, title, plan in customers:
                self.control.add(Customer(name, title, plan, "2025-01-01", _origin(plan)))

    @property
    def budgets(self) -> Budgets:
        return Budgets(self.control, self.ledger_file, patience=0.2)

    @property
    def connecting(self) -> NothingConnects:
        return NothingConnects()

    @property
    def mappings(self) -> NoMappings:
        return NoMappings()

    def ledger(self) -> LedgerReader:
        if self._reader is None:
            if self.ledger_file is None:
                raise NotFound("There is no ledger yet.", hint="Start the gateway.")
            self._reader = LedgerReader(self.ledger_file)
        return self._reader

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self.control.close()
        self._folder.cleanup()

    def edit(self, change: Callable[[Control], Result]) -> Result:
        with self.control.transaction():
            return change(self.control)

    def settings(self) -> Mapping[str, object]:
        names = ("key", "value", "origin", "meaning", "type")
        rows = [
            {**dict(zip(names, row, strict=True)), "variables": [f"COSTWEIR_{row[0].upper()}"]}
            for row in SETTINGS
        ]
        return {"file": "/etc/costweir.toml", "rows": rows}

    def charges(self, request: ChargesRequest) -> ChargesPage:
        raise NotImplementedError

    def prices(self, *, provider: str, model: str, on: date, own: bool) -> Sequence[Mapping[str, object]]:
        raise NotImplementedError


def _origin(plan: str):
    return "config" if plan == "tier_3" else "user"
