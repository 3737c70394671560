"""The desk of this process: it opens store and control, loads what was staged, and answers for every face.

A load is one transaction in the warehouse; the run beside it is the log. When the two disagree after a crash, the
warehouse is right, and loading again ends in the same store (law L2).
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from costweir import __version__
from costweir.app.engines import mark_of, open_warehouse
from costweir.app.loading import load_slot, log_refused
from costweir.app.locks import running_server
from costweir.app.mirror import in_step, mirror, mirror_approvals, sync
from costweir.app.remote import RemoteDesk
from costweir.app.retention import retain
from costweir.app.staged import export_job, move_export, read_job
from costweir.control import Budget, Control, Customer, Plan
from costweir.control.pulls import pull_state
from costweir.domain.answer import Answer
from costweir.errors import Conflict, Error, StoreLocked, UsageError
from costweir.queries.ask import ask
from costweir.queries.focus import write_focus
from costweir.queries.question import catalogue
from costweir.queries.records import metered_months, quarantined_lines, stored_months
from costweir.queries.request import Request

if TYPE_CHECKING:
    from costweir.config import Settings
    from costweir.store.warehouse import Warehouse

_LOG = logging.getLogger("costweir.store")
Record = Mapping[str, object]
Report = Callable[[str, int, int], None]
Result = TypeVar("Result")
#: Seconds that a change waits for a load; whoever asks can try again, and a thread cannot wait for ever.
EDIT_PATIENCE = 5

CONTROL_FILE = "control.db"
STAGING_DIR = "staging"

#: Questions that join the approved models.
APPROVAL_QUESTIONS = ("model_approvals", "first_seen")
EXPORT_SUFFIXES = (".csv", ".csv.gz", ".parquet")


def open_desk(settings: Settings, *, read_only: bool = False) -> LocalDesk | RemoteDesk:
    """The desk of the server that runs on this data directory, else one of our own. Use it in `with`.

    Our own opens the store at the first question, so a long read of bills holds nothing.
    """
    server = running_server(settings.data_dir)
    return RemoteDesk(server, settings) if server else LocalDesk(settings, read_only=read_only)


class LocalDesk:
    """Implements `web.desk.Desk` on the stores of the data directory. Safe to use from several threads."""

    def __init__(self, settings: Settings, *, read_only: bool = False) -> None:
        self._settings = settings
        self._read_only = read_only
        self._opening = threading.Lock()
        self._loading = threading.Lock()
        self._store: Warehouse | None = None
        self._memory: Control | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Releases both stores. A second call does nothing."""
        with self._opening:
            if self._store is not None:
                self._store.close()
            if self._memory is not None:
                self._memory.close()
            self._store = self._memory = None

    @property
    def warehouse(self) -> Warehouse:
        """The facts, opened and migrated. Raises StoreLocked when another command is writing."""
        return self._open()[0]

    @property
    def control(self) -> Control:
        """What people set, in step with the configuration file."""
        return self._open()[1]

    @property
    def store_mark(self) -> str:
        """Tells this store from one that the settings named before; empty for the usual file."""
        return mark_of(self._settings)

    def _open(self) -> tuple[Warehouse, Control]:
        with self._opening:
            if self._store is None or self._memory is None:
                self._store, self._memory = _opened(self._settings, read_only=self._read_only)
            return self._store, self._memory

    def questions(self) -> Sequence[Record]:
        """The catalogue: `id, title, dimensions, params` each."""
        return [question.to_json() for question in catalogue()]

    def ask(self, request: Request) -> Answer:
        """Answers one question."""
        warehouse = self.warehouse
        if request.question in APPROVAL_QUESTIONS and not warehouse.read_only:
            # Approvals are set beside a running server, and patterns grow with every load.
            mirror_approvals(self.control, warehouse)
        return ask(warehouse, request)

    def runs(self, *, limit: int = 100) -> Sequence[Record]:
        """The newest runs first."""
        return [run.to_json() for run in self.control.runs(limit)]

    def quarantine(self, *, run_id: str = "", limit: int = 100) -> Sequence[Record]:
        """Lines that could not be read."""
        return quarantined_lines(self.warehouse, run_id=run_id, limit=limit)

    def customers(self) -> Sequence[Record]:
        """Every known customer."""
        return [entry.to_json() for entry in self.control.customers()]

    def plans(self) -> Sequence[Record]:
        """Every plan."""
        return [entry.to_json() for entry in self.control.plans()]

    def budgets(self) -> Sequence[Record]:
        """Every budget."""
        return [entry.to_json() for entry in self.control.budgets()]

    def connections(self) -> Sequence[Record]:
        """Every configured live source, and how its last pull went."""
        return [
            {
                **pull_state(self.control, row.id).to_json(),
                "kind": row.kind, "enabled": row.enabled, "every": row.every,
            }
            for row in self._current().sources
        ]  # fmt: skip

    def _current(self) -> Settings:
        """The settings as the file says now, because sources are added beside a running server; a file with an
        error in it changes nothing."""
        from costweir.config import load

        file = self._settings.file or self._settings.data_dir / "costweir.toml"
        try:
            return load(path=file, overrides={"data_dir": str(self._settings.data_dir)})
        except Error:
            return self._settings

    def views(self) -> Sequence[Record]:
        """Every saved view."""
        return [view.to_json() for view in self.control.views()]

    def status(self) -> Record:
        """`version, name, today, sample, empty, metered, months` (oldest first); `metered` says that no bill is stored
        and the months are those of calls."""
        months = stored_months(self.warehouse)
        called = [] if months else metered_months(self.warehouse)
        return {
            "version": __version__,
            "name": self._settings.name,
            "environment": self._settings.environment,
            "today": datetime.now(UTC).date().isoformat(),
            "sample": any(month.samples for month in months),
            "empty": not months and not called,
            "metered": bool(called),
            "months": [month.period for month in months] or called,
        }

    def not_ready(self) -> str:
        """Why questions cannot be answered now, or nothing."""
        try:
            stored_months(self.warehouse)
        except Error as error:
            return error.message
        return ""

    def pull_files(
        self, paths: Sequence[str], *, source: str = "auto", all_services: bool = False, dry_run: bool = False,
        progress: Report | None = None, sample: bool = False,
    ) -> Sequence[Record]:  # fmt: skip
        """Reads bills in a child process, then loads them; one row for each account and month, contract §2."""
        from costweir.app.pull import Pull, pull_files

        wanted = Pull(tuple(paths), source=source, all_services=all_services, dry_run=dry_run, sample=sample)
        return pull_files(self._settings, wanted, load=self.load, progress=progress)

    def adopt(self, sample: Mapping[str, Any]) -> None:
        """Makes the customers, plans and budgets of the sample world known. Raises Conflict when bills of your own
        are loaded: sample money must not be added to them."""
        if any(month.loads > month.samples for month in stored_months(self.warehouse)):
            raise Conflict(
                "This data directory holds bills of your own, and sample bills would be added to them.",
                hint="Give the sample world its own directory: costweir demo --data-dir DIR.",
            )
        with self._loading:
            self.control.replace(Plan, "demo", [Plan(**row, origin="demo") for row in sample["plans"]])
            self.control.replace(
                Customer, "demo", [Customer(**row, origin="demo") for row in sample["customers"]]
            )
            self.control.replace(
                Budget,
                "demo",
                [Budget(row["id"], _without_id(row), origin="demo") for row in sample["budgets"]],
            )
            mirror(self._settings, self.control, self.warehouse)

    def edit(self, change: Callable[[Control], Result]) -> Result:
        """Changes what people set, all of it in one transaction, and brings the warehouse in step.

        Raises StoreLocked while a bill is being loaded.
        """
        with self.changing():
            with self.control.transaction():
                result = change(self.control)
            mirror(self._settings, self.control, self.warehouse)
        return result

    @contextmanager
    def changing(self) -> Generator[None]:
        """Keeps loads and other changes out. Raises StoreLocked while a bill is being loaded."""
        if not self._loading.acquire(timeout=EDIT_PATIENCE):
            raise StoreLocked("A bill is being loaded.", hint="Try again in a moment.")
        try:
            yield
        finally:
            self._loading.release()

    def export(self, wanted: Mapping[str, Any]) -> str:
        """Writes charges as FOCUS 1.2 into the staging folder and gives the file's path; `wanted` has `since`,
        `until` (days or null), `provider` and `suffix` (`.csv`, `.csv.gz` or `.parquet`)."""
        suffix: str = wanted["suffix"]
        if suffix not in EXPORT_SUFFIXES:
            raise UsageError(
                f"A FOCUS file ends in {', '.join(EXPORT_SUFFIXES)}.", hint="Give --out with one of these."
            )
        room = self._settings.data_dir / STAGING_DIR
        room.mkdir(parents=True, exist_ok=True)
        out = room / f"export-{secrets.token_hex(8)}{suffix}"
        days = {
            name: date.fromisoformat(wanted[name]) if wanted[name] else None for name in ("since", "until")
        }
        write_focus(
            self.warehouse, out, since=days["since"], until=days["until"], provider=wanted["provider"]
        )
        return str(out)

    def export_focus(
        self, out: Path, *, since: date | None = None, until: date | None = None, provider: str = ""
    ) -> Path:
        """Writes charges as FOCUS 1.2 to `out`, whose name ends in `.csv`, `.csv.gz` or `.parquet`."""
        return move_export(self.export(export_job(out, since, until, provider)), out)

    def load(self, job: Mapping[str, Any]) -> list[Record]:
        """Stores staged slots one by one, each in its own transaction; a slot whose content is there already is
        `unchanged`. A dry run stores nothing and says what would happen. A pulled source adds its `connection` and a
        `note` to the job, which go into the log."""
        loads = read_job(job, inside=self._settings.data_dir / STAGING_DIR)
        with self._loading:
            done = [load_slot(self.warehouse, self.control, staged, job) for staged in loads]
            if loads and not job["dry_run"]:
                try:
                    self.retain()
                except Error as error:
                    # the bills are there all the same
                    _LOG.warning("retention: %s", error.message)
            return done + [log_refused(self.control, file, job) for file in job["refused"]]

    def retain(self, *, now: datetime | None = None) -> Record:
        """Lets old lines and calls go where the settings say so, and says how many went, by table."""
        return retain(self._settings, self.control, self.warehouse, now=now)


def _without_id(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "id"}


def _opened(settings: Settings, *, read_only: bool) -> tuple[Warehouse, Control]:
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if read_only:
        found = _as_it_is(settings)
        if found is not None:
            return found
    warehouse = open_warehouse(settings)
    try:
        warehouse.migrate()
        control = Control.open(settings.data_dir / CONTROL_FILE)
        if warehouse.read_only:
            # a role that may only read shows what others mirrored
            sync(settings, control)
        else:
            mirror(settings, control, warehouse)
            mirror_approvals(control, warehouse)
    except BaseException:
        warehouse.close()
        raise
    return warehouse, control


def _as_it_is(settings: Settings) -> tuple[Warehouse, Control] | None:
    """Both stores opened for reading, or None where one of them has to change first."""
    if settings.store_path is not None and not settings.store_path.exists():
        return None
    # The warehouse first: its lock says whether another command is at work on this directory.
    warehouse = open_warehouse(settings, read_only=True)
    control: Control | None = None
    current = False
    try:
        control = Control.open(settings.data_dir / CONTROL_FILE, read_only=True)
        warehouse.migrate()
        current = in_step(settings, control, warehouse)
        return (warehouse, control) if current else None
    except Error:
        return None
    finally:
        if not current:
            warehouse.close()
            if control is not None:
                control.close()
