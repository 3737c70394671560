"""An alert all the way: calls at the gateway, the rendered rules in a real Prometheus, the rendered routes in a real
Alertmanager, a webhook and a mail. Only what is about time and addresses is changed: seconds instead of minutes.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from typing import Any

import pytest
import yaml
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from prometheus_server import Prometheus, Target, binary, prometheus

from costweir import config
from costweir.telemetry import render

sys.path.insert(0, str(Path(__file__).parents[1] / "gateway"))
sys.path.insert(0, str(Path(__file__).parents[1] / "alerts"))

from receivers import Posts, http_receiver
from server import running

CHAT = "/v1/chat/completions"
#: A dollar and more for each call, so that a few calls are a fire.
CONFIG = """
providers = [ { id = "local", kind = "mock" } ]
models = [ { id = "big", provider = "local", context_tokens = 128000, max_output_tokens = 4096 } ]
prices = [ { model = "big", effective = "2026-01-01", input = "10000", output = "50000" } ]
customers = [ { id = "acme" }, { id = "poor" } ]
budgets = [
  { id = "house", scope = {}, limit_usd = "1000.00", window = "month" },
  { id = "poor-total", scope = { customer = "poor" }, limit_usd = "10.00", window = "total", mode = "debt" },
]
"""


class Mails(Message):
    """Keeps what came by SMTP."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[Any] = []

    def handle_message(self, message: Any) -> None:
        self.got.append(message)


def free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def quick(path: Path) -> Path:
    """A rule file with seconds instead of minutes."""
    text = re.sub(r"interval: \d+[sm]", "interval: 1s", path.read_text())
    path.write_text(re.sub(r"\bfor: \d+[smh]", "for: 1s", text))
    return path


def configuration(path: Path, posts: Posts, smtp_port: int) -> Path:
    """The rendered configuration with local addresses, short waits, and no quiet hours."""
    whole = yaml.safe_load(path.read_text())
    whole["global"] = {
        "resolve_timeout": "5s", "smtp_smarthost": f"127.0.0.1:{smtp_port}", "smtp_from": "costweir@example.com",
        "smtp_require_tls": False,
    }  # fmt: skip
    for route in (whole["route"], *whole["route"]["routes"]):
        route |= {"group_wait": "0s", "group_interval": "1s", "repeat_interval": "1h"}
        route.pop("mute_time_intervals", None)
    for receiver in whole["receivers"]:
        name = receiver["name"]
        for kind in [key for key in receiver if key != "name"]:
            if kind == "webhook_configs":
                kept = receiver[kind][0] | {"url": f"{posts.url}/{name}"}
                receiver[kind] = [{key: value for key, value in kept.items() if key != "url_file"}]
            elif kind == "email_configs":
                receiver[kind][0]["to"] = "team@example.com"
            else:
                # The pager and the chat are somebody else's servers; their turn is told by a webhook.
                receiver.pop(kind)
                receiver.setdefault("webhook_configs", [{"url": f"{posts.url}/{name}"}])
    path.write_text(yaml.safe_dump(whole))
    return path


@contextmanager
def alertmanager(folder: Path, file: Path) -> Iterator[str]:
    name = "prometheus-alertmanager"
    port = free_port()
    log = folder / "alertmanager.log"
    words = [
        binary(name), f"--config.file={file}", f"--storage.path={folder / 'am'}", "--cluster.listen-address=",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with log.open("wb") as out:
        process = subprocess.Popen(words, stdout=out, stderr=out)
    try:
        until(lambda: answers(port), 20, log.read_text)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def answers(port: int) -> bool:
    with socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(met: Callable[[], object], seconds: float, told: Callable[[], str]) -> float:
    """How long it took. Raises AssertionError in the end."""
    began = time.monotonic()
    while not met():
        assert time.monotonic() - began < seconds, told()
        time.sleep(0.02)
    return time.monotonic() - began


def told_of(posts: Posts, receiver: str, status: str = "firing") -> set[str]:
    """The names of the alerts that a receiver got."""
    bodies = [json.loads(body) for path, _, body in posts.got if path == f"/{receiver}"]
    return {
        one["labels"]["alertname"] for body in bodies for one in body["alerts"] if one["status"] == status
    }


def fired(asked: Prometheus) -> set[str]:
    """The names of the alerts that fire now."""
    return {one["labels"]["alertname"] for one in asked.alerts() if one["state"] == "firing"}


@pytest.mark.timeout(400)
def test_calls_that_burn_a_budget_reach_people(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    deploy = tmp_path / "deploy"
    render.write(deploy, render.rendered(config.load(environ={"HOME": str(tmp_path)}), "standard"))
    rules = [quick(path) for path in sorted((deploy / "prometheus/rules").glob("*.yml"))]
    mails = Mails()
    smtp = Controller(mails, hostname="127.0.0.1", port=free_port())
    smtp.start()
    try:
        with http_receiver() as posts, running(tmp_path, CONFIG) as server:
            file = configuration(deploy / "alertmanager/alertmanager.yml", posts, smtp.port)
            token = tmp_path / "token"
            token.write_text(server.costweir("token", "create", "--scope", "read")["token"])
            target = Target(
                "costweir", server.described["web"], token_file=token, labels={"service": "costweir"}
            )
            acme, poor = server.key("acme"), server.key("poor")
            body = {
                "model": "big",
                "messages": [{"role": "user", "content": "hello"}],
                "max_completion_tokens": 30,
            }
            with (
                alertmanager(tmp_path, file) as address,
                prometheus(tmp_path / "p", [target], rules=rules, alertmanager=address) as asked,
            ):
                asked.wait_up("costweir")
                asked.wait_for('costweir_budget_limit_usd{budget="house"}', 60)
                assert "BudgetBurnFast" not in told_of(posts, "pager")
                # What fired before Prometheus knew its Alertmanager is sent again after a minute.
                until(lambda: "Heartbeat" in told_of(posts, "heartbeat"), 80, lambda: str(posts.got))

                # A counter that begins with the fire has no increase; a server under way had calls before.
                assert server.post(CHAT, body, acme)[0] == 200
                asked.wait_for('llm_cost_usd_total{model="big"} > 0')
                spent = [server.post(CHAT, body, acme)[0] for _ in range(60)]
                assert set(spent) == {200}
                while server.post(CHAT, body, poor)[0] == 200:
                    pass
                began = time.monotonic()
                until(lambda: "BudgetBurnFast" in told_of(posts, "pager"), 30, lambda: str(asked.alerts()))
                until(lambda: "BudgetBurnFast" in told_of(posts, "chat-critical"), 10, lambda: str(posts.got))
                record_property("seconds_to_the_webhook", round(time.monotonic() - began, 2))
                assert time.monotonic() - began < 10

                until(lambda: mails.got, 60, lambda: str(asked.alerts()))
                mail = str(mails.got[0])
                assert "BudgetBlocked" in mail
                assert "poor-total" in mail
                assert mails.got[0]["To"] == "team@example.com"

                until(lambda: "BudgetNearLimit" in fired(asked), 20, lambda: str(asked.alerts()))
                assert {"BudgetBurnFast", "BudgetBlocked"} <= fired(asked)
                # What is worse about the same budget mutes what is milder.
                assert "BudgetNearLimit" not in told_of(posts, "chat")

                first = next(json.loads(text) for path, _, text in posts.got if path == "/chat-critical")
                one = next(row for row in first["alerts"] if row["labels"]["alertname"] == "BudgetBurnFast")
                assert one["labels"]["budget_scope"] == "house"
                assert one["annotations"]["summary"] == "Budget house burns more than 14 times too fast"
                assert one["annotations"]["link"].endswith("/budgets")

                # The server is gone: somebody is told, and what follows from it is not told as well.
                server.process.kill()
                until(lambda: "TargetDown" in told_of(posts, "pager"), 40, lambda: str(asked.alerts()))
                assert "GatewayDown" not in told_of(posts, "pager")
    finally:
        smtp.stop()
