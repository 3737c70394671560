"""How long Costweir takes to start, and what it weighs: `python bench/start.py`. Prints a Markdown table."""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COSTWEIR = [sys.executable, "-m", "costweir"]


def seconds(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begun


def resident(pid: int) -> float:
    """Resident memory of a process and its children, in MB."""
    pids = [pid]
    for one in pids:
        children = Path(f"/proc/{one}/task/{one}/children")
        if children.exists():
            pids += [int(child) for child in children.read_text().split()]
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in pids)
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def server(data_dir: Path) -> tuple[float, float]:
    """Seconds until `server.json` is there and /ready answers, and MB after five idle seconds."""
    from urllib.request import urlopen

    ports = [f"--{name}-port=0" for name in ("web", "gateway", "mcp", "otlp")]
    begun = time.perf_counter()
    process = subprocess.Popen([*COSTWEIR, "--data-dir", str(data_dir), "--quiet", "up", *ports])
    try:
        while not (data_dir / "server.json").exists():
            time.sleep(0.005)
        web = json.loads((data_dir / "server.json").read_text())["web"]
        with urlopen(f"{web}/ready") as reply:
            reply.read()
        ready = time.perf_counter() - begun
        with urlopen(f"{web}/") as reply:
            reply.read()
        time.sleep(5)
        return ready, resident(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def core_size(folder: Path) -> float:
    """MB of a fresh environment that holds Costweir and what it needs, nothing else."""
    uv = shutil.which("uv") or str(ROOT / ".tools/bin/uv")
    subprocess.run([uv, "venv", "--quiet", str(folder / "env")], check=True)
    python = folder / "env/bin/python"
    subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), str(ROOT)], check=True)
    return sum(path.stat().st_size for path in (folder / "env").rglob("*") if path.is_file()) / 1e6


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data_dir = folder / "data"
        rows = [
            (
                "`costweir --help`, median of 9",
                statistics.median(seconds([*COSTWEIR, "--help"]) for _ in range(9)),
                "s",
                0.3,
            )
        ]
        demo = seconds([*COSTWEIR, "--data-dir", str(data_dir), "demo", "--no-serve"])
        rows.append(("`costweir demo --no-serve`: write and load 13 months", demo, "s", 60))
        ask = [*COSTWEIR, "--data-dir", str(data_dir), "ask", "spend", "--by", "model", "--json"]
        rows.append(
            (
                "`costweir ask spend --by model`, no server, median of 5",
                statistics.median(seconds(ask) for _ in range(5)),
                "s",
                0,
            )
        )
        ready, memory = server(data_dir)
        rows.append(("`costweir up` until /ready, demo data", ready, "s", 2))
        rows.append(("server after the first page and five idle seconds", memory, "MB", 250))
        rows.append(("core install, everything in the environment", core_size(folder), "MB", 250))
    print("| what | measured | limit |\n|---|---:|---:|")
    for what, value, unit, limit in rows:
        print(f"| {what} | {value:.2f} {unit} | {f'{limit} {unit}' if limit else '–'} |")


if __name__ == "__main__":
    main()
