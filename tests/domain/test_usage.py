"""Usage buckets are exclusive, whatever the wire says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costweir.domain.usage import BUCKETS, Usage


def test_cached_tokens_leave_the_input_bucket() -> None:
    usage = Usage.from_inclusive(input=1000, cache_read=600, cache_write=100, output=50)
    assert usage == Usage(input=300, cache_read=600, cache_write=100, output=50)


def test_one_hour_writes_are_part_of_all_writes() -> None:
    usage = Usage.from_inclusive(input=500, cache_write=300, cache_write_1h=200)
    assert (usage.input, usage.cache_write, usage.cache_write_1h) == (200, 100, 200)


def test_cached_audio_is_counted_once() -> None:
    usage = Usage.from_inclusive(input=1000, cache_read=400, input_audio=500, cache_read_audio=300)
    assert usage == Usage(input=400, cache_read=100, input_audio=200, cache_read_audio=300)


def test_reasoning_is_part_of_output() -> None:
    assert Usage.from_inclusive(output=900, reasoning=700) == Usage(output=200, reasoning=700)


def test_parts_above_their_total_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        Usage.from_inclusive(input=10, cache_read=11)


@given(
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
)
def test_no_token_is_lost_or_doubled(plain: int, read: int, write: int, audio: int, reasoning: int) -> None:
    usage = Usage.from_inclusive(
        input=plain + read + write + audio, cache_read=read, cache_write=write, input_audio=audio,
        output=plain + reasoning, reasoning=reasoning,
    )  # fmt: skip
    assert usage.context_tokens == plain + read + write + audio
    assert usage.total == usage.context_tokens + plain + reasoning
    assert usage.input == plain


def test_every_bucket_is_a_field() -> None:
    assert [name for name in BUCKETS if getattr(Usage(), name) == 0] == list(BUCKETS)
    assert Usage(output=2, input=1, image=3).used() == {"input": 1, "output": 2, "image": 3}
