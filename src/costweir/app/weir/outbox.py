"""Takes ended attempts from the ledger into the warehouse as Calls: each exactly once, within two seconds (law L2).

The warehouse takes a call that it has already for none, so a crash between its commit and ours only repeats work.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from costweir.app.weir.alarms import BATCH as EVENTS
from costweir.app.weir.alarms import hear
from costweir.errors import Error
from costweir.guard.ledger import Attempt, Event, dollars
from costweir.prices.table import short_name

if TYPE_CHECKING:
    from costweir.app.desk import LocalDesk
    from costweir.store.warehouse import Value

_LOG = logging.getLogger("costweir.gateway")
#: What of the ledger is in the warehouse, in the memory of the control database.
CURSOR = "weir:outbox"
_PAUSE_SECONDS = 0.7
#: How far it stands back.
_NICE = 10
#: After a failure it is tried again this soon; the pause doubles up to the second.
_RETRIES = (1.0, 30.0)
BATCH = 2_000

UNTAGGED = "untagged"
#: A gateway has few models; a provider may answer with any name.
_short_name = lru_cache(maxsize=1_024)(short_name)

#: Buckets of a usage, and the columns of a Call that they are counted in.
_COLUMNS: Mapping[str, str] = {
    "input": "uncached_input_tokens", "input_video": "uncached_input_tokens", "cache_read": "cache_read_tokens",
    "cache_read_audio": "cache_read_tokens", "cache_read_image": "cache_read_tokens",
    "cache_write": "cache_write_5m_tokens", "cache_write_1h": "cache_write_1h_tokens",
    "input_audio": "audio_input_tokens", "input_image": "image_input_tokens", "output": "text_output_tokens",
    "output_citation": "text_output_tokens", "output_video": "text_output_tokens", "reasoning": "reasoning_tokens",
    "output_audio": "audio_output_tokens", "output_image": "image_output_tokens",
}  # fmt: skip
_TEXTS = (
    "operation",
    "request_model",
    "response_model",
    "degraded_from",
    "query_type",
    "finish_reason",
)
_NUMBERS = ("duration_ms", "first_token_ms")


class Source(Protocol):
    """The ledger, as another process reads it."""

    def outbox(self, after: int, limit: int = 1_000) -> Sequence[tuple[int, Attempt]]:
        """Ended attempts in the order they ended, each with its number."""
        ...

    def events(self, after: int, limit: int = 1_000) -> Sequence[Event]:
        """Events in order."""
        ...


def call_of(attempt: Attempt, kinds: Mapping[str, str]) -> dict[str, Value]:
    """The Call of an attempt; `kinds` gives the provider's code for the id of a configured provider.

    What is unpriced costs null, never zero (law L5). Usage that came late is an adjustment beside the call (law L6).
    """
    told, subject = attempt.call, attempt.subject
    at, ended = attempt.created_at.astimezone(UTC), attempt.ended_at
    correction = attempt.correction
    cost = attempt.cost if correction is None else correction.before
    model = str(told.get("response_model") or attempt.model)
    row: dict[str, Value] = {
        "call_id": f"att_{attempt.attempt}", "request_id": attempt.request_id, "started_at": _naive(at),
        "ended_at": None if ended is None else _naive(ended.astimezone(UTC)),
        "provider": kinds.get(attempt.provider, attempt.provider), "service": attempt.provider,
        "model": _short_name(model), "outcome": attempt.outcome or "error", "error_type": attempt.error or None,
        "customer": subject.customer or UNTAGGED, "project": subject.project or UNTAGGED,
        "feature": subject.feature or UNTAGGED, "session_id": subject.session or UNTAGGED,
        "end_user": subject.user or None, "key_id": subject.key or UNTAGGED, "plan_tier": subject.plan or None,
        "environment": subject.environment or None, "reserved_usd": dollars(attempt.held),
        "settled_usd": None if cost is None else dollars(cost),
        "price_version": attempt.price_version or None, "usage_certainty": attempt.certainty or "unknown",
        "usage_date": at.date(), "usage_hour": at.hour, "iso_dow": at.isoweekday(),
        "usage_month": f"{at.year}-{at.month:02d}",
    }  # fmt: skip
    for name in _TEXTS:
        if text := told.get(name):
            row[name] = str(text)
    for name in _NUMBERS:
        if (number := told.get(name)) is not None:
            row[name] = int(str(number))
    for bucket, count in attempt.usage.items():
        column = _COLUMNS.get(bucket)
        if column is not None:
            before = row.get(column)
            row[column] = count + (before if isinstance(before, int) else 0)
    return row


def adjustment_of(attempt: Attempt) -> dict[str, Value] | None:
    """What late usage changed, as an adjustment of the attempt's Call; None where nothing came late."""
    correction = attempt.correction
    if correction is None or attempt.cost is None:
        return None
    before, at = correction.before, correction.at.astimezone(UTC)
    version = str(attempt.call.get("price_version") or attempt.price_version)
    return {
        # A call of unknown usage is never priced anew, and usage comes late once: this is always the first step.
        "call_id": f"att_{attempt.attempt}", "step": 1, "run_id": f"late-{attempt.attempt}",
        "reason": "priced" if before is None else "corrected",
        "usd_before": None if before is None else dollars(before), "usd_after": dollars(attempt.cost),
        "price_version_before": attempt.price_version or None, "price_version_after": version,
        "adjusted_by": "gateway", "adjusted_at": _naive(at), "adjusted_on": at.date(),
    }  # fmt: skip


def _naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)


def _nowhere(lines: bytes) -> None:
    """For a server without a log."""


def _yield_to_calls() -> None:
    """Lets calls go first where they share a processor with this thread."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


class Outbox:
    """Carries calls over and notes events through `write`, in a thread from `start` to `stop`."""

    def __init__(
        self, desk: LocalDesk, open_source: Callable[[], Source], kinds: Mapping[str, str], *,
        write: Callable[[bytes], object] = _nowhere,
    ) -> None:  # fmt: skip
        self._desk = desk
        # another store has to be told of every call that the ledger still knows
        self._cursor = CURSOR + desk.store_mark
        self._open_source = open_source
        self.kinds = kinds
        self._write = write
        self._source: Source | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="costweir-outbox", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Carries over what there is, and ends."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def carry(self) -> int:
        """Carries one batch and says how many attempts it held. Raises Error while a store does not answer."""
        if self._source is None:
            self._source = self._open_source()
        control = self._desk.control
        # First what people are told of: a warehouse that does not answer must not keep it from them.
        while hear(control, self._source, self._write) == EVENTS:
            pass
        ended = self._source.outbox(int(control.get(self._cursor, "0")), BATCH)
        if ended:
            self._desk.warehouse.append([call_of(attempt, self.kinds) for _, attempt in ended])
            late = [row for _, attempt in ended if (row := adjustment_of(attempt)) is not None]
            if late:
                self._desk.warehouse.adjust(late)
            control.put(self._cursor, str(ended[-1][0]))
        return len(ended)

    def _run(self) -> None:
        _yield_to_calls()
        pause = _RETRIES[0]
        while True:
            last = self._stopping.is_set()
            try:
                while self.carry() == BATCH:
                    pass
                wait, pause = _PAUSE_SECONDS, _RETRIES[0]
            except Error as error:
                _LOG.warning("outbox: %s", error.message)
                wait, pause = pause, min(pause * 2, _RETRIES[1])
            if last:
                return
            self._stopping.wait(wait)
