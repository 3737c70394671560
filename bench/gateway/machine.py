"""What the system says about processes: CPU time, memory, the tree below a process, and what else is running."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """A process and everything it started."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def cpu_seconds(pids: list[int]) -> float:
    """CPU time of all threads, to the nanosecond where the kernel counts it."""
    total = 0
    for pid in pids:
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                total += int((task / "schedstat").read_text().split()[0])
        except OSError:
            continue
    return total / 1e9


def named(pids: list[int], part: str) -> list[int]:
    """Those of the processes whose command line has this part."""
    found = []
    for pid in pids:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if part.encode() in command:
            found.append(pid)
    return found


def memory_mb(pids: list[int]) -> tuple[float, float]:
    """Resident and proportional memory."""
    resident = proportional = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        resident += int(re.search(r"^Rss:\s+(\d+)", text, re.MULTILINE)[1])
        proportional += int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)[1])
    return resident / 1024, proportional / 1024


def busy_seconds() -> float:
    """CPU time that the whole machine has spent."""
    fields = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICK


def described() -> str:
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    return (
        f"{model[1] if model else platform.processor()}, {os.cpu_count()} cores, "
        f"{int(memory[1]) // 1024 // 1024 if memory else 0} GB, Linux {platform.release().partition('-')[0]}, "
        f"Python {platform.python_version()}"
    )
