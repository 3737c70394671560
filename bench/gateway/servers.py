"""Starting the servers under test: pinned to one core, up when they answer, ended with everything they started."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from gateway.machine import tree
from gateway.peers import MODEL, Peer, environment

SERVER_CORE, LOAD_CORE = "0", "1"
PROMPT = (
    "You are a careful assistant of an accounting team. Cite the row you used and never invent a number. "
    "The rows of March: compute 1,204.50; storage 310.00; network 99.10; support 250.00. Which exceed 300, by what? "
)


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


class Running:
    """A server that runs. `requests` writes the file that the load generator sends."""

    def __init__(self, name: str, port: int, path: str, model: str, headers: dict[str, str]) -> None:
        self.name, self.port, self.path, self.model, self.headers = name, port, path, model, headers
        self.process: subprocess.Popen[bytes] | None = None

    def pids(self) -> list[int]:
        return tree(self.process.pid) if self.process else []

    def request(self, folder: Path, *, stream: bool, waits: bool = False) -> Path:
        """The file with one call; with `waits` the provider takes 50 ms, and 5 ms between the events of a stream."""
        asked = PROMPT * 2 + "[wait 50 5]" * waits
        body: dict[str, object] = {
            "model": self.model,
            "messages": [{"role": "system", "content": PROMPT}, {"role": "user", "content": asked}],
            "max_tokens": 300,
            "temperature": 0.2,
        }
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        text = json.dumps(body, separators=(",", ":"))
        given = {"Host": f"127.0.0.1:{self.port}", "Content-Type": "application/json", **self.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        file = folder / f"{self.name}-{'stream' if stream else 'whole'}{'-waits' * waits}.http"
        file.write_text(
            f"POST {self.path} HTTP/1.1\r\n{lines}Content-Length: {len(text)}\r\n\r\n{text}", newline=""
        )
        return file

    def stop(self) -> None:
        if self.process is None:
            return
        pids = self.pids()
        for signum in (signal.SIGTERM, signal.SIGKILL):
            for pid in pids:
                with contextlib.suppress(OSError):
                    os.kill(pid, signum)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(8)
                return


def answers(port: int, request: Path) -> bool:
    """Whether a call gets a good answer now."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 30) as line:
        line.sendall(request.read_bytes())
        line.settimeout(30)
        heard = b""
        while b'"finish_reason"' not in heard and (piece := line.recv(65536)):
            heard += piece
        return heard[9:12] == b"200"
    return False


def until_answers(server: Running, folder: Path, log: Path, patience: float = 90) -> None:
    request, deadline = server.request(folder, stream=False), time.monotonic() + patience
    while not answers(server.port, request):
        if (server.process and server.process.poll() is not None) or time.monotonic() > deadline:
            raise SystemExit(f"{server.name} gives no good answer; its log ends:\n{log.read_text()[-1500:]}")
        time.sleep(0.1)


def start_peer(peer: Peer, installed: Path, work: Path, upstream: int, *, pinned: bool = True) -> Running:
    port = free_port()
    server = Running(peer.name, port, peer.path, peer.model, peer.headers(upstream))
    log = work / f"{peer.name}.log"
    told = installed / f"{peer.name}.port"
    told.unlink(missing_ok=True)
    pin = ["taskset", "-c", SERVER_CORE] if pinned else []
    command = peer.command(installed, port, upstream)
    with log.open("wb") as out:
        server.process = subprocess.Popen(
            [*pin, *command], env=environment(peer) | {"PYTHONPATH": str(Path(__file__).parents[2] / "src")},
            stdout=out, stderr=out, cwd=work, start_new_session=True,
        )  # fmt: skip
    if peer.tells_port:
        while not told.exists() or not told.read_text():
            if server.process.poll() is not None:
                raise SystemExit(f"{peer.name} did not start:\n{log.read_text()[-1500:]}")
            time.sleep(0.05)
        server.port = urlsplit(told.read_text()).port or 0
    until_answers(server, work, log)
    return server


#: Six scopes, each with a strict budget in USD: everything, customer, plan, session, feature and model.
CONFIG = """
ledger = {{ url = "sqlite:ledger.db", durability = "fsync" }}
providers = [ {{ id = "up", kind = "openai", base_url = "http://127.0.0.1:{upstream}/v1", allow_private = true }} ]
models = [ {{ id = "{model}", provider = "up", context_tokens = 128000, max_output_tokens = 4096 }} ]
prices = [ {{ model = "{model}", effective = "2026-01-01", input = "0.15", output = "0.60" }} ]
plans = [ {{ id = "tier_1", price_usd = "49" }} ]
customers = [ {{ id = "acme", plan = "tier_1" }} ]
log_level = "warning"
budgets = [
  {{ id = "everything", limit_usd = "1000000", window = "month" }},
  {{ id = "customer", scope = {{ customer = "acme" }}, limit_usd = "1000000", window = "month" }},
  {{ id = "plan", scope = {{ plan = "tier_1" }}, limit_usd = "1000000", window = "month" }},
  {{ id = "session", scope = {{ session = "s1" }}, limit_usd = "1000000", window = "session" }},
  {{ id = "feature", scope = {{ feature = "ledger" }}, limit_usd = "1000000", window = "month" }},
  {{ id = "model", scope = {{ model = "{model}" }}, limit_usd = "1000000", window = "month" }},
]
"""


def costweir(*arguments: str, home: Path) -> list[str]:
    return [
        sys.executable, "-m", "costweir", "--config", str(home / "costweir.toml"), "--data-dir", str(home), *arguments,
    ]  # fmt: skip


def start_costweir(work: Path, upstream: int, *, pinned: bool = True, name: str = "costweir") -> Running:
    home = work / name
    home.mkdir()
    (home / "costweir.toml").write_text(CONFIG.format(upstream=upstream, model=MODEL))
    log = work / f"{name}.log"
    ports = [f"--{face}-port=0" for face in ("web", "gateway", "mcp", "otlp")]
    pin = ["taskset", "-c", SERVER_CORE] if pinned else []
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*pin, *costweir("--quiet", "up", *ports, home=home)],
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    told = home / "server.json"
    while not told.exists():
        if process.poll() is not None:
            raise SystemExit(f"costweir did not start:\n{log.read_text()[-1500:]}")
        time.sleep(0.02)
    gateway = json.loads(told.read_text())["gateway"]
    made = subprocess.run(
        costweir("key", "create", "--customer", "acme", "--may-assert", "session", "--json", home=home),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    headers = {
        "Authorization": f"Bearer {json.loads(made.stdout)['key']}",
        "x-costweir-session": "s1",
        "x-costweir-feature": "ledger",
    }
    server = Running(name, int(gateway.rpartition(":")[2]), "/v1/chat/completions", MODEL, headers)
    server.process = process
    until_answers(server, work, log)
    return server


@contextlib.contextmanager
def provider(work: Path) -> Iterator[int]:
    """The provider with no latency of its own; gives its port."""
    port = free_port()
    process = subprocess.Popen(["taskset", "-c", LOAD_CORE, str(work / "upstream"), str(port)])
    time.sleep(0.3)
    if process.poll() is not None:
        raise SystemExit("the provider did not start")
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


def compile_tools(work: Path) -> None:
    here = Path(__file__).parent
    for tool in ("upstream", "load"):
        subprocess.run(["cc", "-O2", "-o", str(work / tool), str(here / f"{tool}.c")], check=True)


def load(work: Path, *arguments: str) -> list[dict]:
    done = subprocess.run(
        ["taskset", "-c", LOAD_CORE, str(work / "load"), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"the load generator failed: {done.stderr}")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    for line in done.stderr.splitlines():
        print(f"  {line[:300]}", file=sys.stderr, flush=True)
    return rows
