"""Law L3 in miniature: calls, kill -9 in the middle of them, and a ledger that is right afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).parents[2] / "bench" / "soak.py"


def test_kill_minus_nine_leaves_the_ledger_right() -> None:
    command = [sys.executable, str(SOAK), "--seconds", "12", "--every", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "yes  every balance equals its attempts" in done.stdout
    assert "yes  the bill is within what the ledger counts" in done.stdout
