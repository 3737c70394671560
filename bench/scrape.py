"""What a scrape of `/metrics` costs: `python bench/scrape.py`. Prints a Markdown table.

A server with 1,000 customers on four plans, a budget for each, and 100 models; every customer and every model is called
through the gateway, a part as streams. Then it is scraped, idle and with calls going on. CPU is that of the server and
its gateway, so it is the same on a machine that is busy with other things.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from costweir.gateway.mock.caller import Caller

CUSTOMERS, MODELS, PLANS, CALLS, CLIENTS, SCRAPES = 1_000, 100, 4, 12_000, 32, 60
COSTWEIR = [sys.executable, "-m", "costweir"]
FORMATS = {
    "text 0.0.4": {},
    "OpenMetrics with exemplars": {"accept": "application/openmetrics-text;version=1.0.0"},
    "OpenMetrics, gzip": {"accept": "application/openmetrics-text;version=1.0.0", "accept-encoding": "gzip"},
}


def config() -> str:
    """The configuration file."""
    models = [f'  {{ id = "model-{n:03}", provider = "local", context_tokens = 128000, max_output_tokens = 4096 }},'
              for n in range(MODELS)]  # fmt: skip
    prices = [f'  {{ model = "model-{n:03}", effective = "2026-01-01", input = "3.00", output = "15.00" }},'
              for n in range(MODELS)]  # fmt: skip
    plans = [f'  {{ id = "tier_{n}", price_usd = "{n * 20}" }},' for n in range(PLANS)]
    customers = [f'  {{ id = "customer-{n:04}", plan = "tier_{n % PLANS}" }},' for n in range(CUSTOMERS)]
    budgets = [
        f'  {{ id = "b-{n:04}", scope = {{ customer = "customer-{n:04}" }}, limit_usd = "5.00", window = "day" }},'
        for n in range(CUSTOMERS)
    ]
    parts = {"models": models, "prices": prices, "plans": plans, "customers": customers, "budgets": budgets}
    lists = "\n".join(f"{name} = [\n" + "\n".join(rows) + "\n]" for name, rows in parts.items())
    return f'providers = [ {{ id = "local", kind = "mock" }} ]\n{lists}\n'


async def load(url: str, key: str, *, calls: int, until: asyncio.Event | None = None) -> int:
    """Calls every model for every customer in turns; how many calls went well."""
    numbers = iter(range(calls))
    done = 0

    async def client() -> None:
        nonlocal done
        for number in numbers:
            if until is not None and until.is_set():
                return
            caller = Caller(
                url,
                {
                    "authorization": f"Bearer {key}", "x-costweir-customer": f"customer-{number % CUSTOMERS:04}",
                    "x-costweir-environment": ("production", "staging")[number % 7 == 0],
                },
            )  # fmt: skip
            body = {
                "model": f"model-{number * 37 % MODELS:03}", "messages": [{"role": "user", "content": "hello"}],
                "max_completion_tokens": 20, "stream": number % 10 == 0,
            }  # fmt: skip
            heard = await caller.post("/v1/chat/completions", json.dumps(body).encode())
            done += heard.status == 200
            await caller.close()

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return done


def scrape(url: str, headers: dict[str, str]) -> tuple[float, int, int]:
    """Milliseconds, bytes on the wire, and bytes of the text."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
    began = time.perf_counter()
    connection.request("GET", "/metrics", headers=headers)
    reply = connection.getresponse()
    body = reply.read()
    took = (time.perf_counter() - began) * 1_000
    assert reply.status == 200
    connection.close()
    plain = gzip.decompress(body) if reply.headers.get("content-encoding") == "gzip" else body
    return took, len(body), len(plain)


def cpu(pid: int) -> float:
    """Milliseconds of CPU that a process and its children used so far."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    fields = [Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split() for one in (pid, *children)]
    return sum(int(found[11]) + int(found[12]) for found in fields) * 1_000 / os.sysconf("SC_CLK_TCK")


def row(what: str, url: str, headers: dict[str, str], pid: int = 0) -> str:
    """One line of the table; the CPU only where `pid` says whose."""
    before = cpu(pid) if pid else 0
    found: list[tuple[float, int, int]] = []
    for _ in range(SCRAPES):
        found.append(scrape(url, headers))
        time.sleep(0.05)
    used = f"{(cpu(pid) - before) / SCRAPES:.1f} ms" if pid else ""
    times = sorted(one[0] for one in found)
    wire, plain = found[-1][1], found[-1][2]
    return (
        f"| {what} | {statistics.median(times):.1f} ms | {times[int(len(times) * 0.95)]:.1f} ms | {used} |"
        f" {plain / 1000:.0f} kB | {wire / 1000:.0f} kB |"
    )


async def measure(described: dict[str, str], key: str) -> list[str]:
    """The table's lines."""
    done = await load(described["gateway"], key, calls=CALLS)
    print(f"{done} calls", file=sys.stderr)
    await asyncio.sleep(3)
    pid = int(described["pid"])
    rows = [
        await asyncio.to_thread(row, f"{name}, idle", described["web"], headers, pid)
        for name, headers in FORMATS.items()
    ]
    enough = asyncio.Event()
    going = asyncio.create_task(load(described["gateway"], key, calls=10**9, until=enough))
    await asyncio.sleep(1)
    name, headers = "OpenMetrics with exemplars", FORMATS["OpenMetrics with exemplars"]
    rows.append(await asyncio.to_thread(row, f"{name}, {CLIENTS} clients calling", described["web"], headers))
    enough.set()
    await going
    return rows


def main() -> None:
    """Starts the server, loads it and scrapes it."""
    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        (data / "costweir.toml").write_text(config(), encoding="utf-8")
        ports = [f"--{face}-port=0" for face in ("web", "gateway", "mcp", "otlp")]
        process = subprocess.Popen(
            [*COSTWEIR, "--data-dir", name, "--quiet", "up", *ports], stdout=subprocess.DEVNULL
        )
        try:
            while not (data / "server.json").exists():
                assert process.poll() is None
                time.sleep(0.05)
            described = json.loads((data / "server.json").read_text())
            words = ["key", "create", "--customer", "customer-0000", "--may-assert", "customer", "--json"]
            made = subprocess.run([*COSTWEIR, "--data-dir", name, *words], check=True, capture_output=True)
            rows = asyncio.run(measure(described, json.loads(made.stdout)["key"]))
        finally:
            process.terminate()
            process.wait()
    print(
        f"{CUSTOMERS} customers, {MODELS} models, {PLANS} plans, after {CALLS} calls; {SCRAPES} scrapes each\n"
    )
    print("| scrape | median | slowest 5 % | CPU | text | on the wire |\n|---|---:|---:|---:|---:|---:|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
