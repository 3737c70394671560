"""The exact count of texts, for a request whose bytes do not fit into a budget. A byte is at most a token; most tokens
have several.

Only the content of a message that is one text is counted, because what a provider joins may be cut elsewhere. All else
keeps its bytes. The library is an extra (`tokenizers`); without it nothing is counted.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from typing import Any

import msgspec

from costweir.guard.bounds.shape import Shape

_PACKAGE = "bpe_openai"
Counter = Callable[[str], int]


@cache
def is_there() -> bool:
    """Whether texts can be counted here."""
    return find_spec(_PACKAGE) is not None


def counted(shape: Shape, tokenizer: str) -> Shape:
    """The shape with its texts counted by the tokenizer of that name. It never counts more than the bytes did."""
    count = _counter(tokenizer)
    saved = sum(len(text.encode("utf-8", "replace")) - count(text) for text in _texts(shape.raw))
    return msgspec.structs.replace(shape, text=shape.text - saved) if saved else shape


@cache
def _counter(name: str) -> Counter:
    with warnings.catch_warnings():
        # The library reads its own data in a way that Python 3.11 calls old.
        warnings.simplefilter("ignore", DeprecationWarning)
        import bpe_openai  # pyright: ignore[reportMissingTypeStubs]

        encode = bpe_openai.get_encoding(name).encode_ordinary

    def count(text: str) -> int:
        size = len(text.encode("utf-8", "replace"))
        try:
            return min(size, len(encode(text)))
        except (ValueError, bpe_openai.TokenizerError):
            # Longer than the library takes.
            return size

    return count


def _texts(raw: bytes) -> Iterator[str]:
    """The content of each message that is one text."""
    body: Any = msgspec.json.decode(raw)
    for message in body.get("messages") or ():
        content = message.get("content")
        if isinstance(content, list) and len(content) == 1 and content[0].get("type") == "text":  # pyright: ignore
            content = content[0].get("text")  # pyright: ignore
        if isinstance(content, str):
            yield content
