"""Calls while the same server works hard: it loads a large bill, over and over, and answers its heaviest question."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from pathlib import Path
from urllib.request import urlopen

from gateway.servers import Running, costweir, load, start_costweir

LINES = 400_000
HEAVIEST = "/v1/answers/hours?by=customer&by=model&limit=20"


def while_working(work: Path, upstream: int, *, quick: bool) -> list[dict]:
    """50 paced calls a second, first in peace and then while the pull and the question run, over and over.

    Nothing is pinned here: server, parser, load and provider share all cores, as they would.
    """
    from load_aws import write_cur2

    # Two bills of one month, so that each replaces the other and no pull finds that nothing changed.
    bills = [work / "a.parquet", work / "b.parquet"]
    for place, bill in enumerate(bills):
        write_cur2(bill, LINES // (10 if quick else 1) - place, 100)
    server = start_costweir(work, upstream, pinned=False, name="strained")
    home = work / "strained"
    try:
        pull(home, bills[1])
        direct = Running("direct", upstream, server.path, server.model, {})
        targets = [
            word
            for one in (direct, server)
            for word in (one.name, str(one.port), str(one.request(work, stream=False, waits=True)))
        ]
        seconds = "4" if quick else "15"
        load(work, "paced", "2", "50", *targets)
        calm = load(work, "paced", seconds, "50", *targets)
        stopped = threading.Event()
        counts = {"pulls": 0, "questions": 0}
        web = json.loads((home / "server.json").read_text())["web"]
        workers = [
            threading.Thread(
                target=over_and_over,
                args=(stopped, counts, "pulls", lambda: [pull(home, bill) for bill in bills]),
            ),
            threading.Thread(target=over_and_over, args=(stopped, counts, "questions", lambda: ask(web))),
        ]
        for worker in workers:
            worker.start()
        time.sleep(1)
        busy = load(work, "paced", seconds, "50", *targets)
        stopped.set()
        for worker in workers:
            worker.join()
    finally:
        server.stop()
    return [
        {**through, "kind": "strain", "phase": phase, "direct": plain["whole"], **counts,
         "added_whole": [round(a - b) for a, b in zip(through["whole"], plain["whole"], strict=True)]}
        for phase, (plain, through) in (("in peace", calm), ("while working", busy))
    ]  # fmt: skip


def over_and_over(stopped: threading.Event, counts: dict[str, int], name: str, work) -> None:
    while not stopped.is_set():
        work()
        counts[name] += 1  # a pull counts once for both bills


def pull(home: Path, bill: Path) -> None:
    """Loads a bill through the server, as an operator does."""
    subprocess.run(costweir("pull", "files", str(bill), "--json", home=home), capture_output=True, check=True)


def ask(web: str) -> None:
    with urlopen(web + HEAVIEST, timeout=60) as reply:
        reply.read()
