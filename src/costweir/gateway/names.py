"""Request ids: `req_` and 26 characters that sort by time."""

from __future__ import annotations

import os
import time


def request_id() -> str:
    """A new id: twelve hexadecimal digits of milliseconds, fourteen at random."""
    return f"req_{time.time_ns() // 1_000_000:012x}{os.urandom(7).hex()}"
