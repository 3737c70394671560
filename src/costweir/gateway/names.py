"""Request ids: `req_` and 26 characters that sort by time."""

from __future__ import annotations

import os
import time

_SIZE = 7
#: Ids that one question to the system for random bytes is good for. Every such question lets go of the interpreter, the
#: ledger's thread takes it, and the call has to win it back: a tenth of what a call costs.
_MANY = 512

_ready: list[bytes] = []


def request_id() -> str:
    """A new id: twelve hexadecimal digits of milliseconds, fourteen at random."""
    if not _ready:
        fresh = os.urandom(_SIZE * _MANY)
        _ready.extend([fresh[at : at + _SIZE] for at in range(0, len(fresh), _SIZE)])
    return f"req_{time.time_ns() // 1_000_000:012x}{_ready.pop().hex()}"
