"""Looks for what is wrong, in a thread of the server: every minute, at once when the guard told something, and after
each pull. A pull that takes hours, or a channel that does not answer, delays no pull and no call."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from costweir.alerts import deliver_due
from costweir.alerts.rules_heartbeat import beat
from costweir.alerts.rules_tables import silence
from costweir.app.mirror import mirror_approvals
from costweir.app.pulling import look
from costweir.app.weir.alarms import OPEN
from costweir.control.runs import instant
from costweir.errors import Error

if TYPE_CHECKING:
    from costweir.app.desk import LocalDesk
    from costweir.config import Settings

_LOG = logging.getLogger("costweir.alerts")
#: When this thread looked last, in the memory of the control database. A command that pulls looks too, and does not
#: promise to look again.
_WATCHED = "alerts:watched"
#: Seconds between two glances at what the guard told.
GLANCE_SECONDS = 0.5
#: Seconds between two times that approved models are brought in step with the models that are used.
_APPROVALS_SECONDS = 600
_STOP_SECONDS = 5


class Lookout:
    """Runs from `start` to `stop`. `settings` may be replaced at any time."""

    def __init__(
        self, desk: LocalDesk, settings: Settings, *, every_seconds: float = 60,
        clock: Callable[[], datetime] | None = None,
    ) -> None:  # fmt: skip
        self.settings = settings
        self._desk = desk
        self._every = every_seconds
        self._clock = clock or (lambda: datetime.now(UTC))
        self._wanted = threading.Event()
        self._stopping = threading.Event()
        self._told = ""
        self._approved = -float(_APPROVALS_SECONDS)
        self._thread = threading.Thread(target=self._run, name="costweir-lookout", daemon=True)

    def start(self) -> None:
        """Begins. The first look follows at once."""
        self._thread.start()

    def wake(self) -> None:
        """Looks as soon as it can: something changed."""
        self._wanted.set()

    def halt(self) -> None:
        """Says that it is to end, and returns at once."""
        self._stopping.set()

    def stop(self) -> None:
        """Ends it; waits a few seconds for a look that is under way."""
        self.halt()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        looked = -self._every
        while not self._stopping.is_set():
            try:
                told = self._desk.control.get(OPEN)
                if self._wanted.is_set() or told != self._told or time.monotonic() - looked >= self._every:
                    self._wanted.clear()
                    looked = time.monotonic()
                    self._look()
                    self._told = told
                else:
                    # What a channel did not take, and what somebody did about an incident meanwhile.
                    deliver_due(self._desk.control, self.settings, self._clock())
            except (Error, OSError) as error:
                # A store that is held for a moment, or a full disk: the next turn may do better.
                _LOG.warning("alerts: %s", error)
                self._stopping.wait(min(self._every, 5))
            except Exception:  # noqa: BLE001 - it is logged, and the thread has nobody above it
                # A fault must not end every alert until somebody restarts the server, which would not be told either.
                # Once the server stops, its stores are closed under us, which is none.
                if not self._stopping.is_set():
                    _LOG.exception("alerts: this is a fault in Costweir")
                    self._stopping.wait(min(self._every, 5))
            self._stopping.wait(GLANCE_SECONDS)

    def _look(self) -> None:
        if time.monotonic() - self._approved >= _APPROVALS_SECONDS:
            self._approved = time.monotonic()
            if not self._desk.warehouse.read_only:
                mirror_approvals(self._desk.control, self._desk.warehouse)
        control, now = self._desk.control, self._clock()
        before = control.get(_WATCHED)
        since = datetime.fromisoformat(before) if before else None
        look(self._desk, self.settings, now, told={"silence": silence(since, now)})
        control.put(_WATCHED, instant(now))
        beat(self.settings)
