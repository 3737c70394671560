"""The schedule inside `costweir up`: a thread that pulls each source when it is due, one after the other and each in a
process of its own. What looks for alerts runs beside it, and is woken after each pull.

It never runs on the server's event loop. When the server stops, the process that pulls is ended with it; what was
not loaded is pulled again later (law L2).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from costweir.alerts import rulebook
from costweir.app.lookout import Lookout
from costweir.app.runner import is_pulled_now
from costweir.config import load
from costweir.control import Outcome
from costweir.control.pulls import PullState, pull_state, remember_pull
from costweir.errors import Error

if TYPE_CHECKING:
    from costweir.app.desk import LocalDesk
    from costweir.config import Settings
    from costweir.config.connections import Connection

_LOG = logging.getLogger("costweir.schedule")
#: After what may pass, a source is tried again this soon; the pause doubles up to its usual interval.
_SOON = timedelta(minutes=15)
#: A pull that was cut short is begun again after this pause, and none is begun sooner after the one before.
_AGAIN = timedelta(seconds=20)
_SPREAD_PERCENT = 10
_SIDES = 2**16
_CUT_SHORT = "The process that pulled ended before it was done."
#: A terminated process has this long to clean up before it is killed.
_GRACE_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the schedule looks whether something is due, how often for alerts, and how long one pull may take."""

    tick_seconds: float = 2
    watch_seconds: float = 60
    longest_seconds: float = 3 * 3600


def next_due(state: PullState, every: timedelta, now: datetime) -> datetime:
    """When a source is to be pulled next; one that was never tried, long ago.

    Up to a tenth earlier or later than `every` after the last try, by a dice that falls the same way each time it is
    asked, so that a restart changes nothing and many installations do not call at once.
    """
    last = datetime.fromisoformat(state.last_attempt) if state.last_attempt else None
    # A try in the future was written by a clock that was wrong.
    if last is None or last > now:
        return datetime.min.replace(tzinfo=UTC)
    wait = every
    if state.status in ("running", "interrupted"):
        wait = min(every, _AGAIN)
    elif state.status == "failed" and state.transient:
        wait = min(every, _SOON * 2 ** min(state.failures - 1, 10))
    dice = int.from_bytes(hashlib.sha256(f"{state.id} {state.last_attempt}".encode()).digest()[:2], "big")
    seconds = int(wait.total_seconds()) * (2 * dice - _SIDES) * _SPREAD_PERCENT // (100 * _SIDES)
    return last + wait + timedelta(seconds=seconds)


class Schedule:
    """Runs in its own thread from `start` to `stop`. The configuration file is read again when it changes."""

    def __init__(
        self, desk: LocalDesk, settings: Settings, *, pace: Pace | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:  # fmt: skip
        """Raises ConfigError for `[[alerts]]` that fit no rule."""
        rulebook.load(settings)
        self._desk = desk
        self._settings = settings
        self._pace = pace or Pace()
        self._clock = clock or (lambda: datetime.now(UTC))
        self._file = settings.file or settings.data_dir / "costweir.toml"
        self._stamp = self._stamped()
        self._stopping = threading.Event()
        self._not_before: dict[str, datetime] = {}
        self._lookout = Lookout(desk, settings, every_seconds=self._pace.watch_seconds, clock=self._clock)
        self._thread = threading.Thread(target=self._run, name="costweir-schedule", daemon=True)

    def start(self) -> None:
        """Begins. The first look follows at once."""
        self._thread.start()
        self._lookout.start()

    def halt(self) -> None:
        """Says that it is to end, and returns at once."""
        self._stopping.set()
        self._lookout.halt()

    def stop(self) -> None:
        """Ends it, and the process that pulls; waits a few seconds for both."""
        self.halt()
        if self._thread.is_alive():
            self._thread.join(_GRACE_SECONDS + 2)
        self._lookout.stop()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._read_again()
                if self._pull_due():
                    self._lookout.wake()
                self._desk.retain(now=self._clock())
            except (Error, OSError) as error:
                # A store that is held for a moment, or a full disk: the next turn may do better.
                _LOG.warning("schedule: %s", error)
            except Exception:  # noqa: BLE001 - it is logged, and the thread has nobody above it
                # A fault must not end the pulls of every source until somebody notices and restarts the server. Once
                # the server stops, its stores are closed under us, which is none.
                if not self._stopping.is_set():
                    _LOG.exception("schedule: this is a fault in Costweir")
            self._stopping.wait(self._pace.tick_seconds)

    def _pull_due(self) -> bool:
        pulled = False
        for row in self._settings.sources:
            if self._stopping.is_set() or not row.enabled:
                continue
            now = self._clock()
            due = next_due(pull_state(self._desk.control, row.id), row.interval, now)
            if now < max(due, self._not_before.get(row.id, due)) or is_pulled_now(
                self._settings.data_dir, row.id
            ):
                continue
            # A process may end before it can write anything down.
            self._not_before[row.id] = now + _AGAIN
            self._pull(row)
            pulled = True
        return pulled

    def _pull(self, row: Connection) -> None:
        config = str(self._settings.file) if self._settings.file else ""
        job = {"config": config, "data_dir": str(self._settings.data_dir), "source": row.id}
        reading, writing = os.pipe()
        try:
            with subprocess.Popen(
                [sys.executable, "-m", "costweir.app.pulling"],
                stdin=reading,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            ) as child:
                # It fits the pipe's buffer, so this never waits.
                os.write(writing, json.dumps(job).encode() + b"\n")
                said = self._attend(child)
        finally:
            os.close(reading)
            os.close(writing)
        if self._stopping.is_set():
            return
        if child.returncode:
            lines = said.strip().splitlines()
            sentence = lines[-1] if lines else f"exit status {child.returncode}"
            told = {"connection": row.id, "source": row.kind, "status": "failed"}
            extra = {"event_type": "run", "fields": told}
            _LOG.warning("schedule: the pull of %s failed: %s", row.id, sentence, extra=extra)
        self._close_broken(row)

    def _attend(self, child: subprocess.Popen[str]) -> str:
        """What the process said on stderr; ends it when the server stops or it takes too long."""
        deadline = time.monotonic() + self._pace.longest_seconds
        while True:
            try:
                return child.communicate(timeout=0.2)[1]
            except subprocess.TimeoutExpired:
                if self._stopping.is_set() or time.monotonic() > deadline:
                    return _end(child)

    def _close_broken(self, row: Connection) -> None:
        """Logs the failure of a process that was killed and could not do it itself."""
        control = self._desk.control
        state = pull_state(control, row.id)
        held = is_pulled_now(self._settings.data_dir, row.id)
        if held or state.status not in ("running", "interrupted"):
            return
        run_id = control.start_run(source=row.kind)
        control.finish_run(run_id, Outcome(status="failed", note=_CUT_SHORT, connection=row.id))
        failed = replace(
            state, status="failed", note=_CUT_SHORT, hint="", transient=True, failures=state.failures + 1
        )
        remember_pull(control, failed)

    def _stamped(self) -> int:
        try:
            return self._file.stat().st_mtime_ns
        except OSError:
            return 0

    def _read_again(self) -> None:
        """Takes sources and channels from the file when it changed; a file with an error in it changes nothing."""
        stamp = self._stamped()
        if stamp in (0, self._stamp):
            return
        self._stamp = stamp
        settings = load(path=self._file, overrides={"data_dir": str(self._settings.data_dir)})
        rulebook.load(settings)
        self._settings = self._lookout.settings = settings


def _end(child: subprocess.Popen[str]) -> str:
    """Interrupts the process and those it started, then kills them."""
    for number in (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        try:
            return child.communicate(timeout=_GRACE_SECONDS)[1]
        except subprocess.TimeoutExpired:
            continue
    return ""
