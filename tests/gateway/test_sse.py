"""Events come out of any cut of the bytes whole and unchanged."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costweir.gateway import sse
from costweir.gateway.sse import Events, TooLong, data_of

LINES = st.sampled_from(
    ["data: {}", "data: a\u00fc", "data:x", "event: ping", ": note", "id: 1", "data: [DONE]"]
)
STREAMS = st.lists(st.lists(LINES, min_size=1, max_size=3), max_size=6)
CUTS = st.lists(st.integers(0, 200), max_size=8)


@given(STREAMS, CUTS, st.sampled_from(["\n", "\r\n"]))
def test_events_are_whole_however_the_bytes_are_cut(
    stream: list[list[str]], cuts: list[int], end: str
) -> None:
    wanted = ["".join(line + end for line in event).encode() + end.encode() for event in stream]
    data = b"".join(wanted)
    places = sorted({0, len(data), *(place for place in cuts if place < len(data))})
    events = Events()
    found = [event for first, last in pairwise(places) for event in events.feed(data[first:last])]
    if end == "\n":
        assert found == wanted
    assert b"".join(found) + events.rest() == data


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: {}\n\n", b"{}"),
        (b"data:{}\n\n", b"{}"),
        (b"event: x\ndata: {}\n\n", b"{}"),
        (b"data: a\r\ndata: b\r\n\r\n", b"a\nb"),
        (b": nothing\n\n", b""),
        (b"data: [DONE]\n\n", b"[DONE]"),
    ],
)
def test_the_data_of_an_event(event: bytes, data: bytes) -> None:
    assert data_of(event) == data


def test_an_event_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MOST_EVENT", 100)
    events = Events()
    events.feed(b"data: " + b"x" * 90)
    with pytest.raises(TooLong):
        events.feed(b"x" * 20)
