"""Request ids: `req_` and 26 characters that sort by time, as a ULID does."""

from __future__ import annotations

import os
import time

_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _LETTERS for second in _LETTERS]


def request_id() -> str:
    """A new id: 48 bits of milliseconds, 80 bits at random."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    return "req_" + "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)])
