"""The log: whole lines of JSON whatever happens, nobody waits for its reader, and nothing secret is in it."""

from __future__ import annotations

import json
import logging
import os
import pty
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from costweir.gateway.witness import CallLine
from costweir.telemetry import logs_page
from costweir.telemetry.logs import Lines, Log, Style, encode, masked, readable, record_of

SCHEMA = yaml.safe_load((Path(logs_page.__file__).parent / "logs.yaml").read_text(encoding="utf-8"))
ALWAYS = {"timestamp", "severity", "level", "message", "service", "process", "event_type"}
LOG = logging.getLogger("costweir.test")


@dataclass
class Pipe:
    """A pipe whose reader reads only when it is asked to."""

    reading: int
    writing: int
    closed: set[int] = field(default_factory=set[int])

    def fileno(self) -> int:
        return self.writing

    def isatty(self) -> bool:
        return os.isatty(self.writing)

    def close(self, end: int) -> None:
        if end not in self.closed:
            os.close(end)
            self.closed.add(end)

    def all(self) -> bytes:
        """Everything until the writing end is closed."""
        self.close(self.writing)
        found: list[bytes] = []
        while piece := os.read(self.reading, 1 << 16):
            found.append(piece)
        return b"".join(found)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe(*os.pipe())
    yield made
    made.close(made.reading)
    made.close(made.writing)


@contextmanager
def log(pipe: Pipe, **style: Any) -> Iterator[Log]:
    with Log(Style("web", **style), pipe) as made:  # type: ignore[arg-type]
        yield made


def told(pipe: Pipe) -> list[dict[str, Any]]:
    return [json.loads(line) for line in pipe.all().splitlines()]


def test_a_line_has_the_fields_that_the_clouds_know(pipe: Pipe) -> None:
    with log(pipe, project="my-project"):
        fields = {"request_id": "req_1", "trace_id": "4bf9", "customer_id": None}
        LOG.warning("the %s is late", "bill", extra={"event_type": "run", "fields": fields})
    (line,) = told(pipe)
    stamp = line.pop("timestamp")
    assert stamp.endswith("Z")
    assert len(stamp) == len("2026-11-21T05:00:00.000Z")
    assert line == {
        "severity": "WARNING", "level": "warning", "message": "the bill is late", "service": "costweir",
        "process": "web", "event_type": "run", "logger": "costweir.test", "request_id": "req_1", "trace_id": "4bf9",
        "logging.googleapis.com/trace": "projects/my-project/traces/4bf9",
    }  # fmt: skip


def test_the_level_is_the_one_that_was_set_and_other_libraries_say_what_is_wrong_only(pipe: Pipe) -> None:
    with log(pipe, level="info"):
        LOG.debug("hidden")
        LOG.info("shown")
        logging.getLogger("botocore").info("hidden")
        logging.getLogger("somebody.else").warning("shown too")
    assert [line["message"] for line in told(pipe)] == ["shown", "shown too"]


def test_warnings_faults_and_dying_threads_are_lines_too(pipe: Pipe) -> None:
    def die() -> None:
        raise RuntimeError("it broke with password=hunter2hunter2")

    with log(pipe):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("this will go", DeprecationWarning, stacklevel=1)
        try:
            die()
        except RuntimeError:
            LOG.exception("a fault")
        thread = threading.Thread(target=die, name="worker")
        thread.start()
        thread.join()
    warned, fault, died = told(pipe)
    assert (warned["severity"], "this will go" in warned["message"]) == ("WARNING", True)
    assert (fault["severity"], "RuntimeError" in fault["stack_trace"]) == ("ERROR", True)
    assert died["message"].startswith("thread worker ended")
    assert "hunter2" not in json.dumps([fault, died])


def test_what_was_there_before_is_there_again(pipe: Pipe) -> None:
    before = (list(logging.getLogger().handlers), threading.excepthook)
    with log(pipe):
        pass
    assert (list(logging.getLogger().handlers), threading.excepthook) == before


@given(
    st.text(max_size=300),
    st.dictionaries(st.sampled_from(["customer_id", "model", "code"]), st.text(max_size=60)),
)
def test_whatever_is_said_is_one_line_of_json(message: str, fields: dict[str, str]) -> None:
    record = logging.LogRecord("costweir.x", logging.INFO, "", 0, "%s", (message,), None)
    record.fields = fields
    line = encode(record_of(record, Style("web")))
    assert line.count(b"\n") == 1
    assert json.loads(line).keys() >= ALWAYS


@given(
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=12, max_size=40),
    st.text(st.characters(exclude_categories=["C"]), max_size=30),
)
def test_a_hidden_text_is_in_no_line_wherever_it_stands(secret: str, around: str) -> None:
    record = logging.LogRecord("costweir.x", logging.ERROR, "", 0, f"{around}{secret}{around}", None, None)
    record.fields = {"error": secret + around}
    assert secret.encode() not in encode(record_of(record, Style("web"), (secret,))).replace(b"[masked]", b"")


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abc.def-CANARY", "api_key=CANARY", "x-api-key: CANARY", "postgresql://me:CANARY@db/x",
        "sk-CANARY-12345678", "http://127.0.0.1:8080/enter?once=CANARY", "token=CANARY&x=1", "xoxb-CANARY-123456",
        "https://hooks.slack.com/services/T0/B0/CANARY", 'password="CANARY"', "cwk_CANARY12345",
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_masked(text: str) -> None:
    assert "CANARY" not in masked(text)
    assert "[masked]" in masked(text)


def test_ordinary_sentences_are_not_masked() -> None:
    for text in (
        "the pull of aws failed: code: budget_exceeded", "calls of gpt-4o-mini wait", "risk-averse and task-specific",
        "https://example.com/v1/messages answers 503",
    ):  # fmt: skip
        assert masked(text) == text


def test_a_reader_who_does_not_read_stalls_nobody_and_hears_what_is_missing(pipe: Pipe) -> None:
    lost = b'{"dropped":%d}\n'
    lines = Lines(pipe.writing, most=200_000, lost=lambda count: lost % count)
    line = b'{"n":"' + b"x" * 200 + b'"}\n'
    slowest = 0.0
    for _ in range(20_000):
        began = time.perf_counter()
        lines.put(line)
        slowest = max(slowest, time.perf_counter() - began)
    assert slowest < 0.5
    dropped = lines.dropped
    assert dropped > 10_000
    reader = threading.Thread(target=lambda: found.append(pipe_read(pipe.reading)))
    found: list[bytes] = []
    reader.start()
    lines.close(10)
    pipe.close(pipe.writing)
    reader.join(10)
    records = [json.loads(one) for one in found[0].splitlines()]
    assert len([one for one in records if "n" in one]) == 20_000 - dropped
    assert sum(one["dropped"] for one in records if "dropped" in one) == dropped


def pipe_read(descriptor: int) -> bytes:
    found: list[bytes] = []
    while piece := os.read(descriptor, 1 << 16):
        found.append(piece)
    return b"".join(found)


def test_a_reader_who_goes_away_stalls_nobody(pipe: Pipe) -> None:
    lines = Lines(pipe.writing)
    pipe.close(pipe.reading)
    lines.put(b"one\ntwo\n")
    lines.close()
    assert lines.dropped == 2
    lines.put(b"three\n")
    assert lines.dropped == 3


def test_lines_of_two_writers_to_one_pipe_stay_whole(pipe: Pipe) -> None:
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe_read(pipe.reading)))
    reader.start()
    writers = [Lines(pipe.writing), Lines(pipe.writing)]
    for number in range(200):
        for name, lines in zip("ab", writers, strict=True):
            lines.put(
                b"".join(
                    b'{"by":"%s","n":%d,"x":"%s"}\n' % (name.encode(), number, b"y" * 300) for _ in range(20)
                )
            )
    for lines in writers:
        lines.close(20)
    pipe.close(pipe.writing)
    reader.join(20)
    records = [json.loads(line) for line in found[0].splitlines()]
    assert len(records) == 2 * 200 * 20
    assert [r["n"] for r in records if r["by"] == "a"] == [n for n in range(200) for _ in range(20)]


def test_a_terminal_gets_text_that_moves_no_cursor() -> None:
    leading, following = pty.openpty()
    try:
        with Log(Style("web"), Pipe(leading, following)):  # type: ignore[arg-type]
            LOG.info("acme\x1b[2J called big")
        said = os.read(leading, 4096).decode()
    finally:
        os.close(leading)
        os.close(following)
    assert "INFO" in said
    assert "acme\ufffd[2J called big" in said
    assert "{" not in said


def test_the_format_can_be_chosen(pipe: Pipe) -> None:
    with log(pipe, format="text"):
        LOG.warning("here")
    assert pipe.all().decode().split()[1:] == ["WARNING", "here"]


def test_text_shows_a_line_that_is_no_json_as_it_is() -> None:
    assert readable(b"what is this\n") == b"what is this\n"


def test_the_lines_of_the_gateway_have_the_fields_of_the_schema() -> None:
    own = set(SCHEMA["events"]["call"]["fields"])
    struct = {found.encode_name for found in msgspec.structs.fields(CallLine)}
    assert struct - ALWAYS - {"trace_id", "logging.googleapis.com/trace"} == own
    assert {"timestamp", "severity", "level", "message"} <= struct
    assert {"customer_id", "provider", "model", "tokens_used", "cost_usd"} <= own


def test_every_field_of_an_event_is_described() -> None:
    for name, event in SCHEMA["events"].items():
        assert set(event["fields"]) <= SCHEMA["fields"].keys(), name
    used = {name for event in SCHEMA["events"].values() for name in event["fields"]}
    everywhere = ALWAYS | {
        "logger",
        "trace_id",
        "logging.googleapis.com/trace",
        "stack_trace",
        "dropped_lines",
    }
    assert SCHEMA["fields"].keys() - used == everywhere
    page = (Path(__file__).parents[2] / "docs" / "logs.md").read_text(encoding="utf-8")
    assert [name for name in SCHEMA["fields"] if f"`{name}`" not in page] == []
