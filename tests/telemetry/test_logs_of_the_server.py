"""The log of a whole server: every line follows the schema, and no prompt, key or token is in any."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import yaml

from costweir.telemetry import logs_page

sys.path.insert(0, str(Path(__file__).parents[1] / "gateway"))

from server import CONFIG, PORTS, Server, running, stop

SCHEMA = yaml.safe_load((Path(logs_page.__file__).parent / "logs.yaml").read_text(encoding="utf-8"))
EVERYWHERE = {
    "timestamp", "severity", "level", "message", "service", "process", "event_type", "logger", "trace_id",
    "logging.googleapis.com/trace", "stack_trace", "dropped_lines",
}  # fmt: skip
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PROMPT, PROVIDER_KEY, WRONG = "canary-prompt-7f3a", "canary-provider-key-91c2", "canary-wrong-token-55d1"
MORE = """
gcp = { project_id = "my-project" }
"""
CHAT = "/v1/chat/completions"


def body(model: str = "big") -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": PROMPT}], "max_completion_tokens": 9}


def config() -> str:
    """The configuration of the other tests, with a provider that nobody is behind; written as tables."""
    return MORE + CONFIG.replace(
        'providers = [ { id = "local", kind = "mock" } ]',
        'providers = [ { id = "local", kind = "mock" }, { id = "nobody", kind = "openai", retries = 0,'
        ' base_url = "http://127.0.0.1:9/v1", allow_private = true, api_key_env = "NOBODY_KEY" } ]',
    ).replace(
        "models = [\n",
        'models = [\n  { id = "silent", provider = "nobody", context_tokens = 1000, max_output_tokens = 100 },\n',
    ).replace(
        "prices = [\n",
        'prices = [\n  { model = "silent", effective = "2026-01-01", input = "3.00", output = "15.00" },\n',
    ).replace(
        'window = "day" },', 'window = "day", thresholds = [50, 80, 95, 100] },\n'
        '  { id = "tiny", scope = { customer = "other" }, limit_usd = "0.0003", window = "total" },',
    )  # fmt: skip


def ask(server: Server, path: str, token: str) -> int:
    request = Request(server.described["web"] + path, headers={"authorization": f"Bearer {token}"})
    try:
        with urlopen(request, timeout=20) as reply:
            return reply.status
    except HTTPError as error:
        return error.code


def test_every_line_follows_the_schema_and_holds_nothing_secret(tmp_path: Path) -> None:
    with running(tmp_path, config(), {"NOBODY_KEY": PROVIDER_KEY}) as server:
        key, poor, other = server.key("acme"), server.key("poor"), server.key("other")
        admin = Path(server.described["admin_token_file"]).read_text().strip()
        request = Request(
            server.gateway + CHAT, json.dumps(body()).encode(),
            {"authorization": f"Bearer {key}", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, method="POST",
        )  # fmt: skip
        with urlopen(request, timeout=20) as reply:
            assert reply.status == 200
        assert server.post(CHAT, body("silent"), key)[0] in (502, 503)
        assert server.post(CHAT, body(), poor)[0] == 402
        assert server.post(CHAT, body(), WRONG)[0] == 401
        while server.post(CHAT, body(), other)[0] == 200:
            pass
        assert ask(server, "/v1/answers/spend", WRONG) == 401
        assert ask(server, f"/enter?once={WRONG}", admin) == 403
        assert ask(server, "/v1/answers/spend", admin) == 200
        assert server.wait_for(lambda: '"budget_threshold"' in server.log())
        assert stop(server) == 0
        text = server.log()
    for secret in (PROMPT, PROVIDER_KEY, WRONG, admin, key, poor, other):
        assert secret not in text
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    for line in lines:
        assert line["service"] == "costweir"
        assert set(line) <= EVERYWHERE | set(SCHEMA["events"][line["event_type"]]["fields"]), line
        for name, value in line.items():
            assert SCHEMA["fields"][name]["type"] != "money" or value is None or isinstance(value, str), line
    told: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        told.setdefault(line["event_type"], []).append(line)
    assert told.keys() >= {"start", "call", "refusal", "authentication", "budget_threshold", "stop"}
    first = told["call"][0]
    assert (first["customer_id"], first["provider"], first["model"]) == ("acme", "local", "big")
    assert first["tokens_used"] > 0
    assert first["trace_id"] == TRACE
    assert first["logging.googleapis.com/trace"] == f"projects/my-project/traces/{TRACE}"
    assert {line["process"] for line in lines} == {"web", "gateway"}
    assert {(line["method"], line["outcome"]) for line in told["authentication"]} == {
        ("key", "refused"), ("token", "refused"), ("link", "refused"),
    }  # fmt: skip
    assert any(line["code"] == "budget_exceeded" and line["limit_usd"] for line in told["refusal"])
    assert all("." in line["limit_usd"] for line in told["budget_threshold"] if "limit_usd" in line)
    assert lines[-1]["event_type"] == "stop"


def test_the_level_comes_from_the_environment(tmp_path: Path) -> None:
    with running(tmp_path, environ={"COSTWEIR_LOG_LEVEL": "warning"}) as server:
        assert server.post(CHAT, body(), server.key("acme"))[0] == 200
        assert server.post(CHAT, body(), server.key("poor"))[0] == 402
        assert server.wait_for(lambda: "budget_exceeded" in server.log())
        stop(server)
        lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    assert {line["severity"] for line in lines} == {"WARNING"}
    assert "call" not in {line["event_type"] for line in lines}


def test_a_reader_who_does_not_read_stalls_no_call(tmp_path: Path) -> None:
    """A pipe holds a hundred lines; three hundred calls go through, and the server still ends in time."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "costweir.toml").write_text(CONFIG)
    command = [sys.executable, "-m", "costweir", "--data-dir", str(data), "--quiet", "up", *PORTS]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (data / "server.json").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        server = Server(data, process, json.loads((data / "server.json").read_text()))
        key = server.key("acme")
        slowest = 0.0
        for _ in range(300):
            began = time.monotonic()
            assert server.post(CHAT, body(), key)[0] == 200
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 5
        assert "costweir_gateway_up 1.0" in server.get("web", "/metrics")
    finally:
        process.terminate()
    assert process.wait(timeout=30) == 0
    assert process.stdout is not None
    process.stdout.close()
