"""The log of the server: one JSON object per line on standard output, or text on a terminal. Cloud Logging, CloudWatch
and Azure Monitor know its fields; `logs.yaml` lists them.

Nobody who has something to say waits for whoever reads it: lines go through a queue, and when that is full they are
given up and counted. No content of calls and no secret is in a line (law L9); what looks like a secret is masked too.
"""

from __future__ import annotations

import json
import logging
import os
import re
import select
import stat
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import IO, Any, Self, cast

SERVICE = "costweir"
#: Bytes that may wait to be written. At half a kilobyte a call it is some seconds of a busy gateway.
MOST_BYTES = 8 << 20
#: Characters of one message or field that are kept.
MOST_LETTERS = 8_000
_FIELDS, _EVENT = "fields", "event_type"
_MASK = "[masked]"
_SECRETS = re.compile(
    r"(?i)(\bbearer\s+)[^\s\"',;]+"
    r"|(\b(?:api[-_]?key|x-api-key|authorization|password|passwd|secret|token|once|sig|signature)[\"']?\s*[=:]\s*[\"']?"
    r"(?:bearer\s+|basic\s+)?)"
    r"[^\s\"'&,;]+"
    r"|(://[^/\s:@]*:)[^@/\s]+(?=@)"
    r"|(\b(?:sk|pk|rk|xox[a-z]|ghp|cwk|cwt)[-_])[A-Za-z0-9_-]{8,}"
    r"|(hooks\.slack\.com/services/)\S+"
)


class Lines:
    """Writes whole lines to an open file from a thread of its own. `shown` turns a line into what a person reads."""

    def __init__(
        self, descriptor: int, *, most: int = MOST_BYTES, shown: Callable[[bytes], bytes] | None = None,
        lost: Callable[[int], bytes] | None = None,
    ) -> None:  # fmt: skip
        self._descriptor = descriptor
        self._most = most
        self._shown = shown
        self._lost = lost
        self._piece = select.PIPE_BUF if _is_pipe(descriptor) else MOST_BYTES
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._told = 0
        self._changed = threading.Condition()
        self._closing = False
        #: How many lines were given up.
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="costweir-log", daemon=True)
        self._thread.start()

    def put(self, lines: bytes) -> None:
        """Takes lines, each with its end, and never waits for the reader."""
        with self._changed:
            if self._closing or self._size + len(lines) > self._most:
                self.dropped += lines.count(b"\n")
                return
            self._waiting.append(lines)
            self._size += len(lines)
            self._changed.notify()

    def close(self, seconds: float = 2) -> None:
        """Writes what waits, for so long at most; what comes later is given up."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    if self._closing:
                        return
                    self._changed.wait()
                lines = self._waiting.popleft()
                dropped = self.dropped
            if self._lost is not None and dropped > self._told:
                lines += self._lost(dropped - self._told)
                self._told = dropped
            if not self._write(lines if self._shown is None else self._shown(lines)):
                with self._changed:
                    self.dropped += lines.count(b"\n")
            with self._changed:
                self._size = max(0, self._size - len(lines))

    def _write(self, lines: bytes) -> bool:
        """False when the reader has gone. Two processes write to the same pipe, and only a short piece stays whole."""
        try:
            for piece in _pieces(lines, self._piece):
                left = memoryview(piece)
                while left:
                    try:
                        left = left[os.write(self._descriptor, left) :]
                    except BlockingIOError:
                        select.select([], [self._descriptor], [], 1)
        except OSError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Style:
    """How lines look. `project` is the Google Cloud project that traces are in; the texts of `hidden` are masked
    wherever they stand."""

    process: str
    level: str = "info"
    format: str = "auto"
    project: str = ""
    hidden: tuple[str, ...] = ()


class Log:
    """The log of one process. From here to `close` the standard library's loggers, warnings and dying threads write to
    it."""

    def __init__(self, style: Style, out: IO[Any] | None = None) -> None:
        stream = sys.stdout if out is None else out
        human = style.format == "text" or (style.format == "auto" and stream.isatty())
        self.lines = Lines(
            stream.fileno(), shown=readable if human else None,
            lost=lambda count: encode(dropped_record(count, style)),
        )  # fmt: skip
        self._handler = _Handler(self.lines.put, style)
        self._before: Callable[[threading.ExceptHookArgs], object] = threading.excepthook
        level = logging.getLevelNamesMapping()[style.level.upper()]
        root = logging.getLogger()
        root.addHandler(self._handler)
        # Other libraries say much that is of use to their authors only.
        root.setLevel(max(level, logging.WARNING))
        logging.getLogger(SERVICE).setLevel(level)
        logging.captureWarnings(capture=True)
        threading.excepthook = _thread_died

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def hide(self, texts: Iterable[str]) -> None:
        """Masks these as well."""
        self._handler.hide(texts)

    def close(self) -> None:
        """Writes what waits, and lets go of the loggers."""
        logging.getLogger().removeHandler(self._handler)
        logging.captureWarnings(capture=False)
        threading.excepthook = self._before
        self.lines.close()


class _Handler(logging.Handler):
    def __init__(self, put: Callable[[bytes], None], style: Style) -> None:
        super().__init__()
        self._put = put
        self._style = style
        self._hidden = _hidden(style.hidden)

    def hide(self, texts: Iterable[str]) -> None:
        self._hidden = _hidden([*self._hidden, *texts])

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._put(encode(record_of(record, self._style, self._hidden)))
        except (ValueError, TypeError, OverflowError):
            # A message whose arguments do not fit it. Whoever logs must never fail by it.
            self.handleError(record)


def record_of(record: logging.LogRecord, style: Style, hidden: Iterable[str] = ()) -> dict[str, object]:
    """The object of one line. `extra={"event_type": ..., "fields": {...}}` gives it a type and fields of its own."""
    made: dict[str, object] = {
        "timestamp": _instant(record.created), "severity": _severity(record.levelno),
        "level": _severity(record.levelno).lower(), "message": masked(record.getMessage(), hidden),
        "service": SERVICE, "process": style.process,
        "event_type": str(getattr(record, _EVENT, "log")), "logger": record.name,
    }  # fmt: skip
    given = cast("Mapping[str, object]", getattr(record, _FIELDS, None) or {})
    for name, value in given.items():
        if value is not None:
            made.setdefault(name, masked(value, hidden) if isinstance(value, str) else value)
    trace = made.get("trace_id")
    if trace and style.project:
        made["logging.googleapis.com/trace"] = f"projects/{style.project}/traces/{trace}"
    if record.exc_info and record.exc_info[0] is not None:
        text = logging.Formatter().formatException(record.exc_info)
        made["stack_trace"] = masked(text, hidden, most=4 * MOST_LETTERS)
    return made


def dropped_record(count: int, style: Style) -> dict[str, object]:
    """The line that says how many are missing."""
    text = f"{count} lines of the log were given up because nobody read them"
    made = logging.LogRecord("costweir.log", logging.WARNING, "", 0, text, None, None)
    return record_of(made, style) | {"dropped_lines": count}


def encode(record: Mapping[str, object]) -> bytes:
    """One line of JSON with its end."""
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=str)
    return text.encode("utf-8", "replace") + b"\n"


def masked(text: str, hidden: Iterable[str] = (), *, most: int = MOST_LETTERS) -> str:
    """The text without what is hidden and without what looks like a secret, and not too long."""
    for secret in hidden:
        text = text.replace(secret, _MASK)
    if len(text) > most:
        text = text[:most] + "…"
    return _SECRETS.sub(lambda found: next(filter(None, found.groups()), "") + _MASK, text)


def readable(lines: bytes) -> bytes:
    """Lines of JSON as a person reads them: the time of day, how grave it is, and the message."""
    shown: list[str] = []
    for line in lines.splitlines():
        try:
            record = cast("dict[str, Any]", json.loads(line))
            at = datetime.fromisoformat(record["timestamp"]).astimezone()
            shown.append(f"{at:%H:%M:%S} {record['severity']:<8} {_printable(record['message'])}")
            if record.get("stack_trace"):
                shown.append(str(record["stack_trace"]))
        except (ValueError, KeyError, TypeError):
            shown.append(line.decode("utf-8", "replace"))
    return "".join(f"{text}\n" for text in shown).encode("utf-8", "replace")


def _printable(text: str) -> str:
    """Without what would move the cursor of a terminal."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def _hidden(texts: Iterable[str]) -> tuple[str, ...]:
    """The longest first, so that none leaves a part of another; a short one would mask ordinary words."""
    return tuple(sorted({text for text in texts if len(text) >= 8}, key=len, reverse=True))


def _severity(level: int) -> str:
    steps = ((logging.CRITICAL, "CRITICAL"), (logging.ERROR, "ERROR"), (logging.WARNING, "WARNING"))
    return next(
        (name for least, name in steps if level >= least), "INFO" if level >= logging.INFO else "DEBUG"
    )


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _is_pipe(descriptor: int) -> bool:
    with suppress(OSError):
        mode = os.fstat(descriptor).st_mode
        return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
    return False


def _pieces(lines: bytes, most: int) -> Iterable[bytes]:
    """Parts of at most this size that end with a line; a longer line is a part by itself."""
    at = 0
    while len(lines) - at > most:
        end = lines.rfind(b"\n", at, at + most)
        if end < 0:
            end = lines.find(b"\n", at)
        if end < 0:
            break
        yield lines[at : end + 1]
        at = end + 1
    if at < len(lines):
        yield lines[at:]


def _thread_died(died: threading.ExceptHookArgs) -> None:
    if died.exc_type is SystemExit or died.exc_value is None:
        return
    name = died.thread.name if died.thread else "?"
    where = (died.exc_type, died.exc_value, died.exc_traceback)
    logging.getLogger(SERVICE).error("thread %s ended: this is a fault in Costweir", name, exc_info=where)
