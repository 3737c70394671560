"""The one door to the control data."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from costweir.control.annotations import Annotations
from costweir.control.approvals import Approvals
from costweir.control.audit import Audit, Change
from costweir.control.database import Database
from costweir.control.directory import Budget, Customer, Directory, Entity, Entry, Origin, Plan
from costweir.control.edits import Edits
from costweir.control.incidents import Incidents
from costweir.control.keys import SECRET_FILE as KEY_SECRET_FILE
from costweir.control.keys import Keys
from costweir.control.mappings import OwnMappings
from costweir.control.replies import Replies
from costweir.control.runs import Outcome, Run, Runs
from costweir.control.stops import Stops
from costweir.control.tokens import SECRET_FILE, Tokens
from costweir.control.views import SavedView, SavedViews

if TYPE_CHECKING:
    from costweir.config import Settings


class Control:
    """What people set and the system remembers, in one SQLite file. Safe to use from several threads."""

    def __init__(self, database: Database, *, folder: Path | None = None) -> None:
        self._database = database
        self._runs = Runs(database)
        self._directory = Directory(database)
        self._views = SavedViews(database)
        #: Who may ask over the API.
        self.tokens = Tokens(database, None if folder is None else folder / SECRET_FILE)
        #: Who changed what.
        self.audit = Audit(database)
        #: What is wrong now and who was told.
        self.incidents = Incidents(database, self.audit)
        #: What is stopped, and the number that grows when the gateway has to know something.
        self.stops = Stops(database, self.audit)
        #: Who may call the gateway.
        self.keys = Keys(database, None if folder is None else folder / KEY_SECRET_FILE, self.audit)
        #: Which models each customer may use.
        self.approvals = Approvals(database)
        #: What people know about single days. For reading; changes go through `edits`.
        self.annotations = Annotations(database)
        #: What the operator says that lines of a bill mean.
        self.mappings = OwnMappings(database)
        #: Changes by hand, each with its row in the audit chain.
        self.edits = Edits(database, self._directory, self.audit)
        #: What was answered to writes that may be repeated.
        self.replies = Replies(database)

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Self:
        """Opens the file, made at the first call; read-only, a missing file is an empty one.

        Marks the runs that a crash cut short as failed. Raises Unreachable, StoreLocked or Conflict.
        """
        opened = cls(Database.open(path, read_only=read_only), folder=path.parent)
        if not read_only:
            opened._runs.fail_unfinished()
        return opened

    @property
    def schema_version(self) -> int:
        """The number of migrations that the file has."""
        return self._database.version

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Makes everything that is changed inside one step: all of it is stored or nothing."""
        with self._database.write():
            yield

    def start_run(
        self, *, source: str, account: str = "", period: str = "", files: Sequence[str] = (), run_id: str = ""
    ) -> str:
        """Writes that a load begins and gives its id; `run_id` chooses the id."""
        return self._runs.start(run_id=run_id, source=source, account=account, period=period, files=files)

    def finish_run(self, run_id: str, outcome: Outcome) -> None:
        """Writes how a load ended. Raises NotFound for a run that never started."""
        self._runs.finish(run_id, outcome)

    def runs(self, limit: int = 100) -> list[Run]:
        """The newest runs first."""
        return self._runs.newest(limit)

    def sync(self, settings: Settings) -> None:
        """Makes the entries of origin `config` equal to the settings; what was set by hand stays."""
        plans = [
            Plan(
                plan.id,
                plan.name,
                price_usd=format(plan.price_usd, "f"),
                budget_usd="" if plan.budget_usd is None else format(plan.budget_usd, "f"),
                session_usd="" if plan.session_usd is None else format(plan.session_usd, "f"),
                session_calls=plan.session_calls,
                tokens_per_minute=plan.tokens_per_minute,
                origin="config",
            )
            for plan in settings.plans
        ]
        customers = [
            Customer(row.id, row.name, row.plan or "", row.since.isoformat() if row.since else "", "config")
            for row in settings.customers
        ]
        budgets = [
            Budget(row.id, row.model_dump(mode="json", exclude={"id"}, exclude_none=True), "config")
            for row in settings.budgets
        ]
        approved = [(row.customer, model) for row in settings.approved_models for model in row.models]
        with self.transaction():
            self._replace("config", {Plan: plans, Customer: customers, Budget: budgets})
            self.approvals.replace("config", approved)

    def replace(self, kind: type[Entry], origin: Origin, entries: Iterable[Entry]) -> None:
        """Makes `entries` all there is of one kind and origin, for example the customers of the sample
        world."""
        self._replace(origin, {kind: list(entries)})

    def _replace(self, origin: Origin, groups: Mapping[type[Entity], Sequence[Entity]]) -> None:
        """Replaces, and writes every entry that differs into the audit chain; its actor is the origin."""
        with self.transaction():
            for kind, entries in groups.items():
                before = self._directory.records(kind, origin)
                after = {entry.id: entry.to_json() for entry in entries}
                noun = kind.TABLE.removesuffix("s")
                for name in sorted(before.keys() | after.keys()):
                    if before.get(name) != after.get(name):
                        action = f"{noun}.{'put' if name in after else 'delete'}"
                        change = Change(origin, action, f"{noun}:{name}", before.get(name), after.get(name))
                        self.audit.add(change)
            self._directory.replace(origin, groups)

    def add(self, entry: Customer | Plan | Budget) -> None:
        """Adds one entry, or changes the one of the same origin and id."""
        self._directory.add(entry)

    def drop(self, kind: type[Entry], name: str) -> bool:
        """Removes an entry that was set by hand; true when there was one."""
        return self._directory.drop(kind, name)

    def customers(self) -> list[Customer]:
        """Every known customer, by id."""
        return self._directory.listed(Customer)

    def plans(self) -> list[Plan]:
        """Every plan, by id."""
        return self._directory.listed(Plan)

    def budgets(self) -> list[Budget]:
        """Every budget, by id."""
        return self._directory.listed(Budget)

    def get(self, key: str, default: str = "") -> str:
        """What was remembered under `key`."""
        rows = self._database.read("SELECT value FROM meta WHERE key = ?", (key,))
        return rows[0][0] if rows else default

    def put(self, key: str, value: str) -> None:
        """Remembers `value` under `key`."""
        with self._database.write() as run:
            run("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def views(self) -> list[SavedView]:
        """Every saved view, by name."""
        return self._views.listed()

    def save_view(self, name: str, link: str) -> None:
        """Saves a view, or changes the one of that name. Raises ValueError for a link to another site."""
        self._views.save(name, link)

    def drop_view(self, name: str) -> bool:
        """Forgets a view; true when there was one."""
        return self._views.drop(name)

    def close(self) -> None:
        """Closes the file. A second call does nothing."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
