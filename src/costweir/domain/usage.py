"""Usage: what one call consumed, in exclusive buckets, so that no token is counted or priced twice.

On the wire providers report inclusive totals (`prompt_tokens` holds the cached tokens);
`Usage.from_inclusive` is the one place where they are taken apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import compress
from operator import attrgetter
from typing import TypedDict, Unpack

#: Token buckets on the input side. Their sum is the context that long-context prices are decided by.
INPUT_BUCKETS = (
    "input", "cache_read", "cache_write", "cache_write_1h", "input_audio", "cache_read_audio",
    "input_image", "cache_read_image", "input_video",
)  # fmt: skip
#: Token buckets on the output side.
OUTPUT_BUCKETS = ("output", "reasoning", "output_audio", "output_image", "output_video", "output_citation")
#: Buckets that count something other than tokens: requests, images, seconds, pages, characters, searches.
COUNT_BUCKETS = (
    "request", "image", "audio_seconds", "pages", "annotated_pages", "characters", "text_messages",
    "web_search", "storage_search",
)  # fmt: skip
#: Every bucket that a rate can be given for.
BUCKETS = INPUT_BUCKETS + OUTPUT_BUCKETS + COUNT_BUCKETS

# Every call of the gateway reads all buckets several times; a loop of getattr would cost as much as all its JSON.
_counts: Callable[[object], tuple[int, ...]] = attrgetter(*BUCKETS)
_inputs: Callable[[object], tuple[int, ...]] = attrgetter(*INPUT_BUCKETS)
_outputs: Callable[[object], tuple[int, ...]] = attrgetter(*OUTPUT_BUCKETS)


class InclusiveTotals(TypedDict, total=False):
    """Totals as providers report them: each holds its parts. All default to 0.

    `input` holds every cached, audio, image and video token; `cache_read` holds the cached audio and image
    tokens; `input_audio` and `input_image` hold their cached part; `cache_write` holds the one-hour writes;
    `output` holds reasoning, audio, image, video and citation tokens.
    """

    input: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    input_audio: int
    cache_read_audio: int
    input_image: int
    cache_read_image: int
    input_video: int
    output: int
    reasoning: int
    output_audio: int
    output_image: int
    output_video: int
    output_citation: int


# Made for every call, and frozen by agreement only: a frozen dataclass of so many fields takes twice as long to make.
@dataclass(slots=True, kw_only=True, unsafe_hash=True)
class Usage:
    """Exclusive counts; every token is in one bucket only. `cache_write` is the five-minute (default) write.

    Raises ValueError for a negative count.
    """

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    input_audio: int = 0
    cache_read_audio: int = 0
    input_image: int = 0
    cache_read_image: int = 0
    input_video: int = 0
    output: int = 0
    reasoning: int = 0
    output_audio: int = 0
    output_image: int = 0
    output_video: int = 0
    output_citation: int = 0
    request: int = 0
    image: int = 0
    audio_seconds: int = 0
    pages: int = 0
    annotated_pages: int = 0
    characters: int = 0
    text_messages: int = 0
    web_search: int = 0
    storage_search: int = 0

    def __post_init__(self) -> None:
        counts = _counts(self)
        if min(counts) < 0:
            name, count = next(pair for pair in zip(BUCKETS, counts, strict=True) if pair[1] < 0)
            raise ValueError(f"usage cannot be negative: {name} is {count}")

    @classmethod
    def from_inclusive(cls, **totals: Unpack[InclusiveTotals]) -> Usage:
        """Takes inclusive totals apart. ValueError when the parts of a total exceed it."""
        part = totals.get
        cache_read_audio, cache_read_image = part("cache_read_audio", 0), part("cache_read_image", 0)
        input_audio = part("input_audio", 0) - cache_read_audio
        input_image = part("input_image", 0) - cache_read_image
        input_video = part("input_video", 0)
        other_input = input_audio + input_image + input_video
        cache_read = part("cache_read", 0) - cache_read_audio - cache_read_image
        cache_write = part("cache_write", 0) - part("cache_write_1h", 0)
        outside = {name: part(name, 0) for name in OUTPUT_BUCKETS if name != "output"}
        return cls(
            input=part("input", 0) - part("cache_read", 0) - part("cache_write", 0) - other_input,
            cache_read=cache_read,
            cache_write=cache_write,
            cache_write_1h=part("cache_write_1h", 0),
            input_audio=input_audio,
            cache_read_audio=cache_read_audio,
            input_image=input_image,
            cache_read_image=cache_read_image,
            input_video=input_video,
            output=part("output", 0) - sum(outside.values()),
            **outside,
        )  # fmt: skip

    def used(self) -> dict[str, int]:
        """The buckets that are not zero, in the order of `BUCKETS`."""
        counts = _counts(self)
        return dict(compress(zip(BUCKETS, counts, strict=True), counts))

    @property
    def context_tokens(self) -> int:
        """All input-side tokens, cached ones included: what long-context thresholds compare with."""
        return sum(_inputs(self))

    @property
    def total(self) -> int:
        """All tokens of both sides; things that are not tokens do not count."""
        return sum(_inputs(self)) + sum(_outputs(self))
