"""Bodies keep the bytes of the caller but for what has to be set, and mean one thing only."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costweir.gateway.splice import NotAnObject, cut, join

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(max_size=8), JSON, max_size=6)


@given(OBJECTS, st.sampled_from([None, 1]), st.booleans())
def test_an_object_that_is_cut_and_joined_is_the_same(
    value: dict[str, object], indent: int | None, ascii_: bool
) -> None:
    body = json.dumps(value, indent=indent, ensure_ascii=ascii_).encode("utf-8", "surrogatepass")
    assert json.loads(join(cut(body), {})) == value


@given(OBJECTS, st.integers(1, 9))
def test_what_is_set_is_set_and_the_rest_stays(value: dict[str, object], cap: int) -> None:
    body = join(cut(json.dumps(value).encode()), {"model": "m", "max_tokens": cap, "gone": None})
    wanted = {name: inner for name, inner in value.items() if name != "gone"}
    assert json.loads(body) == wanted | {"model": "m", "max_tokens": cap}


def test_values_keep_their_bytes() -> None:
    body = b'{ "a" : [1.0e0,\n 2 ], "b":"\\u00fc","model":"x"}'
    assert join(cut(body), {"model": "y"}) == b'{"a":[1.0e0,\n 2 ],"b":"\\u00fc","model":"y"}'


def test_a_name_that_is_there_twice_is_sent_once() -> None:
    body = b'{"max_tokens":1,"m\\u0061x_tokens":9999}'
    assert join(cut(body), {}) == b'{"max_tokens":9999}'


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'"x"', b"{", b'{"a":}', b"{}x", b'{"a":1}' * 2, b"\xff"]
)
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(NotAnObject):
        cut(body)
