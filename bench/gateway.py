"""What the gateway costs, beside what others cost, in one run on one machine.

    python bench/gateway.py                        # everything, about seven minutes; writes docs/gateway-bench.md
    python bench/gateway.py --quick --no-write     # a rehearsal
    python bench/gateway.py --only costweir,bare,nginx
    python bench/gateway.py --install-only         # only fetches the peers

Needs Linux with two cores, a C compiler, taskset, nginx, node with npm, and uv. The servers share core 0, one at a
time; the load and the provider share core 1. `calls per CPU second` is what a server's own process tree spent, so it
hardly depends on what else the machine does; latencies do, so they want an idle machine.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from gateway.machine import busy_seconds, cpu_seconds, described, memory_mb, named
from gateway.peers import PEERS
from gateway.servers import Running, compile_tools, load, provider, start_costweir, start_peer
from gateway.strain import while_working

from gateway import report

ROOT = Path(__file__).parents[1]
ORDER = ("nginx", "bare", "costweir", "tensorzero", "portkey", "litellm", "litellm-budget")
#: Within so long every call is in the warehouse.
BOOKS_SECONDS = 1.0
INSTALLED = Path(tempfile.gettempdir()) / "costweir-bench-peers"


def main() -> None:
    given = arguments()
    names = [name for name in ORDER if name in given.only.split(",")] if given.only else list(ORDER)
    INSTALLED.mkdir(exist_ok=True)
    for name in names:
        if name in PEERS:
            PEERS[name].install(INSTALLED)
    if given.install_only:
        return
    begun, busy = time.monotonic(), busy_seconds()
    with tempfile.TemporaryDirectory(prefix="costweir-bench-") as folder:
        work = Path(folder)
        compile_tools(work)
        with provider(work) as upstream:
            results: list[dict] = []
            for name in names:
                results += measure(name, work, upstream, quick=given.quick)
            results += measure_direct(upstream, work, quick=given.quick)
            if "costweir" in names:
                results += while_working(work, upstream, quick=given.quick)
    versions = {name: PEERS[name].version(INSTALLED) for name in names if name in PEERS}
    versions["costweir"] = PEERS["bare"].version(INSTALLED)
    facts = {
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": described(),
        "command": "python " + " ".join(["bench/gateway.py", *sys.argv[1:]]),
        "minutes": (time.monotonic() - begun) / 60,
        "load": (busy_seconds() - busy) / (time.monotonic() - begun),
        "commit": subprocess.run(
            ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.strip(),
    }
    text = report.page(results, versions, facts)
    print(text)
    if not given.no_write and not given.quick:
        (ROOT / "docs/gateway-bench.md").write_text(text, encoding="utf-8")


def measure(name: str, work: Path, upstream: int, *, quick: bool) -> list[dict]:
    """Everything about one server: throughput first, then what it adds to a call of 50 ms, whole and streamed."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    seconds, rounds = (1.0, 1) if quick else (2.0, 3)
    rows: list[dict] = []
    server = (
        start_costweir(work, upstream)
        if name == "costweir"
        else start_peer(PEERS[name], INSTALLED, work, upstream)
    )
    direct = Running("direct", upstream, "/v1/chat/completions", "gpt-4o-mini", {})
    try:
        load(work, "closed", "1.5", "8", name, str(server.port), str(server.request(work, stream=False)))
        for connections in (1, 16, 64):
            rows += [closed(server, work, connections, seconds, stream=False) for _ in range(rounds)]
        rows += [closed(server, work, 16, seconds, stream=True) for _ in range(rounds - (not quick))]
        for stream in (False, True):
            rows += paced(server, direct, work, 3.0 if quick else 9.0, stream=stream)
    finally:
        server.stop()
    return rows


def measure_direct(upstream: int, work: Path, *, quick: bool) -> list[dict]:
    """The provider without any gateway: what the load generator can ask at all."""
    direct = Running("direct", upstream, "/v1/chat/completions", "gpt-4o-mini", {})
    return [
        closed(direct, work, connections, 1.0 if quick else 2.0, stream=False) for connections in (1, 16, 64)
    ]


def closed(server: Running, work: Path, connections: int, seconds: float, *, stream: bool) -> dict:
    pids = server.pids()
    # Of Costweir, the process that serves calls; the other one feeds the warehouse and the pages.
    serving = named(pids, "weir.child") or pids
    before, before_serving, moment = cpu_seconds(pids), cpu_seconds(serving), time.monotonic()
    request = str(server.request(work, stream=stream))
    row = load(work, "closed", str(seconds), str(connections), server.name, str(server.port), request)[0]
    if serving != pids:
        # The other process carries calls to the warehouse a moment later; that is a part of what they cost.
        time.sleep(BOOKS_SECONDS)
    used, passed = cpu_seconds(pids) - before, time.monotonic() - moment
    used_serving = cpu_seconds(serving) - before_serving
    resident, proportional = memory_mb(server.pids())
    calls = row["sent"]
    return row | {
        "kind": "closed", "stream": stream, "connections": connections, "rss_mb": resident, "pss_mb": proportional,
        "per_cpu_second": calls / used if used else 0,
        "per_serving_second": calls / used_serving if used_serving else 0,
        "rss_serving_mb": memory_mb(serving)[0], "core_share": used / passed,
    }  # fmt: skip


def paced(server: Running, direct: Running, work: Path, seconds: float, *, stream: bool) -> list[dict]:
    """50 calls a second to the server and as many to the provider itself, in turn; the difference is what it adds."""
    targets = [
        word
        for one in (direct, server)
        for word in (one.name, str(one.port), str(one.request(work, stream=stream, waits=True)))
    ]
    load(work, "paced", "1", "20", *targets)
    rows = load(work, "paced", str(seconds), "50", *targets)
    plain, through = rows
    added = {
        f"added_{what}": [round(through[what][place] - plain[what][place]) for place in range(3)]
        for what in ("first", "whole")
    }
    return [through | added | {"kind": "paced", "stream": stream}]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", metavar="NAMES", help=", ".join(ORDER))
    parser.add_argument("--quick", action="store_true", help="short rounds, no page")
    parser.add_argument("--no-write", action="store_true", help="print the page only")
    parser.add_argument("--install-only", action="store_true", help="fetch the peers, then stop")
    return parser.parse_args()


def median(values: list[float]) -> float:
    return statistics.median(values) if values else 0


if __name__ == "__main__":
    main()
