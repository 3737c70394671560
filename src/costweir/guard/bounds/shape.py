"""What a request asks for, as far as its bill depends on it; the same for every model that may serve it."""

from __future__ import annotations

from typing import Literal

import msgspec

Format = Literal["openai.chat", "openai.embeddings", "anthropic.messages"]
Media = Literal["image_low", "image_high", "image", "audio", "file", "video", "stored_audio", "fetched"]
Need = Literal["tools", "images", "audio", "files", "schema", "thinking"]

#: Bytes of English text that make one token, for estimates. Bounds count one token a byte.
BYTES_OF_TOKEN = 4


class Shape(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A request, taken apart. Tokens are upper bounds, except `estimate`.

    `raw` is the body. `text` bounds all text in it and everything that the provider adds. `cap` is the output cap that
    the caller set in `cap_fields`, None without one. `tiers` are the prices it may meet besides the standard one.
    `rounds` counts how often the provider may ask the model again by itself. `problems` name what has no bound.
    """

    format: Format
    model: str
    raw: bytes
    text: int
    estimate: int
    stream: bool = False
    stream_usage: bool = False
    cap: int | None = None
    cap_fields: tuple[str, ...] = ()
    choices: int = 1
    predicted: int = 0
    thinking: int = 0
    rounds: int = 0
    media: tuple[Media, ...] = ()
    fees: tuple[tuple[str, int], ...] = ()
    tiers: frozenset[str] = frozenset()
    caching: Literal["", "5m", "1h"] = ""
    speaks: bool = False
    """True when the output may be audio."""
    context: int = 0
    """A context window that a beta header opens, 0 for the model's own."""
    output: int = 0
    """An output limit that a beta header opens, 0 for the model's own."""
    needs: frozenset[Need] = frozenset()
    problems: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Without the body: a request's content is in no log (law L9)."""
        return f"Shape({self.format}, {self.model[:80]!r}, {len(self.raw)} bytes)"
