"""A request's body, cut at its top level and put together again: what must be set is set, every other value keeps the
very bytes that the client sent.

A name that is given twice is sent once, with the value that was measured, so that the provider cannot read another.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

#: A JSON object whose values are still text.
Pieces = dict[str, msgspec.Raw]

_decode = msgspec.json.Decoder(Pieces).decode
_text = msgspec.json.Encoder().encode


class NotAnObject(ValueError):
    """The body is no JSON object."""


def cut(body: bytes) -> Pieces:
    """The members of a JSON object. Raises NotAnObject."""
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotAnObject(str(error)) from None


def join(pieces: Pieces, changes: Mapping[str, object]) -> bytes:
    """The object with some members set; one that is set to None is left out, a new one stands at the end."""
    out: list[bytes | msgspec.Raw] = []
    for name, raw in pieces.items():
        if name not in changes:
            out += (b"," if out else b"{", _name(name), raw)
    for name, value in changes.items():
        if value is not None:
            out += (b"," if out else b"{", _name(name), _text(value))
    return b"".join(out) + b"}" if out else b"{}"


_NAMES: dict[str, bytes] = {}


def _name(name: str) -> bytes:
    """A member's name as JSON, with its colon; the few that requests have are kept."""
    found = _NAMES.get(name)
    if found is None:
        found = _text(name) + b":"
        if len(_NAMES) < 256 and len(name) < 64:
            _NAMES[name] = found
    return found
