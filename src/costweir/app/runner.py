"""Pulls one live source: fetch into files, read them like any bill, load them, and log how it went.

Only one run of a source at a time; killed anywhere and run again, it ends in the same store (law L2). Whole invoice
months are asked for, because a month is replaced as a whole.
"""

from __future__ import annotations

import fcntl
import json
import random
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from costweir.app.pull import Pull, pull_files
from costweir.control import Outcome
from costweir.control.pulls import PullState, pull_state, remember_pull
from costweir.control.runs import instant
from costweir.domain.money import decimal_text
from costweir.domain.period import Month
from costweir.errors import Conflict, Error, UsageError
from costweir.sources.live.source import Fetched, Report, Source, Window

if TYPE_CHECKING:
    from costweir.config import Settings
    from costweir.config.connections import Connection
    from costweir.control import Control

Record = Mapping[str, object]
Load = Callable[[Mapping[str, object]], Sequence[Record]]
_Result = TypeVar("_Result")
_Told = TypeVar("_Told")

#: The last days are always read again, because clouds restate them.
TRAILING_DAYS = 5
#: Until this day the month before is not final.
FINAL_DAY = 10
_STALE_SECONDS = 24 * 3600
_DICE = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Patience:
    """How often what may pass is tried, and how long the pauses are; they double, and are spread by up to half."""

    tries: int = 3
    first_seconds: int = 5
    sleep: Callable[[float], None] = time.sleep
    spread: Callable[[], float] = _DICE.random

    def run(self, step: Callable[[], _Result]) -> _Result:
        """What `step` returns. Only a transient error is tried again."""
        for attempt in range(self.tries - 1):
            try:
                return step()
            except Error as error:
                if not error.transient:
                    raise
                self.sleep(self.first_seconds * 2**attempt * (1 + self.spread() / 2))
        return step()


@dataclass(frozen=True, slots=True)
class Order:
    """What to pull: the days (None for what is open or was missed), and how."""

    window: Window | None = None
    dry_run: bool = False
    all_services: bool = False


def trailing_window(today: date, covered_on: date | None = None) -> Window:
    """The open month, the one before until the tenth, and at least five days; to the end of today.

    After downtime it begins where the run of `covered_on` began, so that what became final meanwhile is read too.
    """
    since = min(Month.of(today).first, today - timedelta(days=TRAILING_DAYS))
    if today.day <= FINAL_DAY:
        since = Month.of(today).previous.first
    if covered_on is not None and covered_on < today:
        since = min(since, trailing_window(covered_on).since)
    return Window(Month.of(since).first, today + timedelta(days=1))


def whole_months(window: Window, today: date) -> Window:
    """The invoice months that the days lie in, not beyond today. Raises UsageError when there are none."""
    if window.since >= window.until:
        raise UsageError(
            f"There is no day from {window.since} to {window.until}.", hint="--until is the day after."
        )
    if window.since > today:
        raise UsageError(f"{window.since} has not come yet.", hint="Give a day up to today, in UTC.")
    last = min(window.until - timedelta(days=1), today)
    return Window(
        Month.of(window.since).first, min(Month.of(last).following.first, today + timedelta(days=1))
    )


@runtime_checkable
class Remembers(Protocol):
    """A source that reads what is new since it was last read: `state` is what it knew, and after `fetch` what it knows.

    `reread` is `changed` for what is new, `window` for the days that were asked for.
    """

    state: Mapping[str, str]
    reread: str


def is_pulled_now(data_dir: Path, connection: str) -> bool:
    """True while some process pulls the source."""
    path = _lock_file(data_dir, connection)
    if not path.exists():
        return False
    with path.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


class Runner:
    """Pulls sources for one data directory. `load` stores staged slots, here or through the server that runs."""

    def __init__(
        self, settings: Settings, control: Control, *, load: Load, patience: Patience | None = None,
        now: Callable[[], datetime] | None = None,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._control = control
        self._load = load
        self._patience = patience or Patience()
        self._now = now or (lambda: datetime.now(UTC))

    def run(
        self, source: Source, order: Order | None = None, *, report: Report | None = None
    ) -> list[Record]:
        """One row for each account and month, as `pull files` gives them; see `web.desk`.

        Raises Conflict while another run pulls this source, UsageError for days that are none, and whatever
        `Source.fetch` raises once trying again does not help. What failed is in the log of runs.
        """
        order = order or Order()
        today = self._now().date()
        state = pull_state(self._control, source.id)
        covered = date.fromisoformat(state.covered_on) if state.covered_on else None
        needed = trailing_window(today, covered)
        window = needed if order.window is None else whole_months(order.window, today)
        with self._alone(source):
            _sweep(self._room(), source.id)
            if isinstance(source, Remembers):
                source.state = json.loads(self._control.get(f"marks:{source.id}", "{}"))
                source.reread = "changed" if order.window is None else "window"
            if order.dry_run:
                return self._pull(source, window, order, report)
            started = replace(
                state,
                first_seen=state.first_seen or self._instant(),
                last_attempt=self._instant(),
                status="running",
            )
            remember_pull(self._control, started)
            try:
                rows = self._pull(source, window, order, report)
            except Exception as error:
                self._failed(source, started, error)
                raise
            except BaseException:
                remember_pull(self._control, replace(started, status="interrupted"))
                raise
            caught_up = window.since <= needed.since and window.until >= needed.until
            self._ended(source, started, rows, today if caught_up else covered)
            return rows

    def refused(self, row: Connection, error: Error) -> None:
        """Logs that a source could not even be opened, for example because its library is missing."""
        state = pull_state(self._control, row.id)
        started = replace(
            state,
            first_seen=state.first_seen or self._instant(),
            last_attempt=self._instant(),
            status="running",
        )
        self._failed(row, started, error)

    def _pull(self, source: Source, window: Window, order: Order, report: Report | None) -> list[Record]:
        folder = Path(tempfile.mkdtemp(prefix=f"live-{source.id}-", dir=self._room()))
        try:
            fetched = self._patience.run(lambda: _fetch(source, window, folder, report))
            if not fetched.files:
                return [self._nothing(source, fetched, order)]
            wanted = Pull(
                tuple(map(str, fetched.files)),
                source=fetched.reader,
                all_services=order.all_services,
                dry_run=order.dry_run,
            )

            def load(job: Mapping[str, object]) -> Sequence[Record]:
                described = {
                    **job,
                    "refused": _named(job["refused"], folder),
                    "connection": source.id,
                    "note": _note(fetched, job),
                }
                return self._patience.run(lambda: self._load(described))

            rows: list[Record] = [
                {**row, "connection": source.id}
                for row in pull_files(self._settings, wanted, load=load, progress=report)
            ]
        except Error as error:
            error.message, error.hint = _named(error.message, folder), _named(error.hint, folder)
            raise
        except OSError as error:
            text = f"The files of {source.id} could not be written: {error.strerror or error}."
            raise Error(text, hint="Nothing was loaded; free some space and pull it again.") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return rows or [self._nothing(source, fetched, order)]

    def _nothing(self, source: Source, fetched: Fetched, order: Order) -> Record:
        days = f"{fetched.window.since} to {fetched.window.until - timedelta(days=1)}"
        note = " ".join([f"{source.id} has no rows of an AI service from {days}.", *fetched.notes])
        run_id = "" if order.dry_run else self._log(source.id, "unchanged", source=fetched.reader, note=note)
        return {
            "run_id": run_id, "source": fetched.reader, "account": "", "period": "", "status": "unchanged",
            "rows_in": 0, "rows_stored": 0, "rows_skipped": 0, "rows_quarantined": 0, "billed_total": "0.00",
            "file_total": "0.00", "currency": "", "content_hash": "", "note": note, "connection": source.id,
        }  # fmt: skip

    def _failed(self, source: Source | Connection, started: PullState, error: Exception) -> None:
        known = error if isinstance(error, Error) else Error(f"{type(error).__name__}: {error}")
        text = f"{known.message} {known.hint}".strip()
        self._log(source.id, "failed", source=source.kind, note=text)
        failed = replace(
            started, status="failed", note=known.message, hint=known.hint, transient=known.transient,
            failures=started.failures + 1,
        )  # fmt: skip
        remember_pull(self._control, failed)

    def _ended(
        self, source: Source, started: PullState, rows: Sequence[Record], covered: date | None
    ) -> None:
        broken = [str(row["note"]) for row in rows if row["status"] == "failed"]
        ended = replace(
            started,
            status="failed" if broken else "ok",
            note=broken[0] if broken else "",
            hint="",
            transient=False,
            failures=started.failures + 1 if broken else 0,
            last_success=started.last_success if broken else self._instant(),
            covered_on=started.covered_on if broken or covered is None else covered.isoformat(),
        )
        # Kept only now: what is marked as read before it is loaded would never be read again.
        if isinstance(source, Remembers) and not broken:
            self._control.put(f"marks:{source.id}", json.dumps(source.state))
        remember_pull(self._control, ended)

    def _log(self, connection: str, status: Any, *, source: str, note: str) -> str:
        run_id = self._control.start_run(source=source)
        self._control.finish_run(run_id, Outcome(status=status, note=note, connection=connection))
        return run_id

    def _instant(self) -> str:
        return instant(self._now())

    def _room(self) -> Path:
        room = self._settings.data_dir / "staging"
        room.mkdir(parents=True, exist_ok=True)
        return room

    @contextmanager
    def _alone(self, source: Source) -> Generator[None]:
        """Holds the lock of a source; the kernel drops it with the process, so a crash leaves nothing behind."""
        path = _lock_file(self._settings.data_dir, source.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict(
                    f"Another run is pulling {source.id} now.",
                    hint="Wait for it to end; `costweir runs` shows what it loaded.",
                ) from None
            yield


def _lock_file(data_dir: Path, connection: str) -> Path:
    return data_dir / "locks" / f"{connection}.lock"


def _fetch(source: Source, window: Window, folder: Path, report: Report | None) -> Fetched:
    # What a try before left is no part of this one: its pages may be half written.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return source.fetch(window, into=folder, report=report or (lambda _what, _done, _total: None))


def _named(told: _Told, folder: Path) -> _Told:
    """The same with the files as the provider calls them: where they lay is gone when somebody reads it."""
    return json.loads(json.dumps(told).replace(json.dumps(f"{folder}/")[1:-1], ""))


def _note(fetched: Fetched, job: Mapping[str, Any]) -> str:
    """What the provider says besides the rows: its own total against that of the files, and what asking cost."""
    parts: list[str] = []
    if fetched.provider_total is not None:
        held = sum(
            (Decimal(slot["totals"][1]) for slot in job["slots"] if slot["currency"] == fetched.currency),
            Decimal(0),
        )
        total = f"{decimal_text(fetched.provider_total)} {fetched.currency}".strip()
        days = f"{fetched.window.since} to {fetched.window.until - timedelta(days=1)}"
        agrees = "as fetched" if held == fetched.provider_total else f"fetched were {decimal_text(held)}"
        parts.append(f"The provider's own total of {days} is {total}; {agrees}.")
    if fetched.request_cost_usd:
        parts.append(f"{fetched.requests} requests cost {decimal_text(fetched.request_cost_usd)} USD.")
    return " ".join([*parts, *fetched.notes])


def _sweep(room: Path, connection: str) -> None:
    """Removes what pulls that were killed left: those of this source at once, because its lock is held, the others once
    they are too old to be in use."""
    own = re.compile(rf"live-{re.escape(connection)}-[a-z0-9_]{{8}}")
    for folder in [*room.glob("live-*"), *room.glob("pull-*")]:
        try:
            old = time.time() - folder.stat().st_mtime > _STALE_SECONDS
        except FileNotFoundError:
            continue
        if old or own.fullmatch(folder.name):
            shutil.rmtree(folder, ignore_errors=True)
