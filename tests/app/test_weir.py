"""The gateway beside the server: it is kept alive, ends with it, and whatever is killed, every call is counted once."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from urllib.request import urlopen

import pytest

from costweir.guard.ledger import NANO, Attempt
from costweir.guard.ledgers.reader import LedgerReader

sys.path.insert(0, str(Path(__file__).parents[1] / "gateway"))

from server import CONFIG, Server, running, start, stop

BODY = {"model": "big", "messages": [{"role": "user", "content": "hello"}], "max_completion_tokens": 30}
CHAT = "/v1/chat/completions"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path) as made:
        yield made


def calls(server: Server) -> tuple[int, Decimal]:
    """How many calls the warehouse holds, and what they cost."""
    rows = json.loads(server.get("web", "/v1/answers/spend?by=model"))["rows"]
    return sum(row["lines"] for row in rows), sum((Decimal(row["metered_cost"]) for row in rows), Decimal(0))


def attempts(server: Server) -> list[Attempt]:
    with LedgerReader(server.data_dir / "ledger.db") as reader:
        return reader.attempts(limit=100_000)


def agree(server: Server) -> bool:
    """Whether ledger and warehouse hold the same calls at the same cost."""
    ended = [row for row in attempts(server) if row.state in ("SETTLED", "RELEASED", "UNCERTAIN")]
    return calls(server) == (len(ended), Decimal(sum(row.charged + row.debt for row in ended)) / NANO)


def test_the_gateway_ends_with_the_server(server: Server) -> None:
    pid = server.gateway_pid()
    assert pid
    assert stop(server) == 0
    assert not Path(f"/proc/{pid}").exists()


def test_the_gateway_ends_when_the_server_is_killed(server: Server) -> None:
    pid = server.gateway_pid()
    server.process.kill()
    server.process.wait()
    assert server.wait_for(lambda: not Path(f"/proc/{pid}").exists())


def test_a_gateway_that_is_killed_comes_back_and_callers_in_between_wait(server: Server) -> None:
    key = server.key("acme")
    assert server.post(CHAT, BODY, key)[0] == 200
    os.kill(server.gateway_pid(), signal.SIGKILL)
    assert server.post(CHAT, BODY, key)[0] == 200
    assert "costweir_gateway_restarts_total 1" in server.get("web", "/metrics")
    assert server.wait_for(lambda: agree(server))


def test_a_key_works_once_it_is_made_and_is_over_once_it_is_revoked(server: Server) -> None:
    for _ in range(3):
        made = server.costweir("key", "create", "--customer", "acme")
        assert server.post(CHAT, BODY, made["key"])[0] == 200
        server.costweir("key", "revoke", made["id"])
        assert server.post(CHAT, BODY, made["key"])[0] == 401


def test_sigterm_lets_calls_end(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        key = server.key("acme")
        slow = {**BODY, "messages": [{"role": "user", "content": "[[mock: slow]]"}]}
        answers: list[int] = []
        caller = threading.Thread(target=lambda: answers.append(server.post(CHAT, slow, key)[0]))
        caller.start()
        time.sleep(0.2)
        began = time.monotonic()
        assert stop(server) == 0
        caller.join()
        assert answers == [200]
        assert time.monotonic() - began < 11


def test_a_key_that_is_revoked_opens_nothing_a_moment_later(server: Server) -> None:
    key = server.key("acme")
    name = server.costweir("key", "list")["rows"][0]["id"]
    server.costweir("key", "revoke", name)
    assert server.wait_for(lambda: server.post(CHAT, BODY, key)[0] == 401, seconds=2)


def test_what_the_file_says_about_budgets_holds_for_the_first_call(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        status, said = server.post(CHAT, BODY, server.key("poor"))
        assert (status, said["costweir"]["code"]) == (402, "budget_exceeded")
        with urlopen(server.gateway + "/ready") as reply:
            assert reply.status == 200


def test_nothing_configured_means_that_no_key_opens_anything(tmp_path: Path) -> None:
    with running(tmp_path, "") as server:
        status, said = server.post(CHAT, BODY, "")
        assert (status, said["error"]["code"]) == (401, "key_invalid")
        assert "costweir key create" in said["error"]["message"]


def test_more_than_one_process_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="need a ledger that they share"):
        start(tmp_path, "workers = 2\n" + CONFIG)


@pytest.mark.parametrize("victim", ["gateway", "server"])
def test_kill_9_in_the_middle_of_calls_loses_none_and_counts_none_twice(tmp_path: Path, victim: str) -> None:
    server = start(tmp_path)
    try:
        key = server.key("acme")
        ending = threading.Event()

        def call() -> None:
            while not ending.is_set():
                try:
                    server.post(CHAT, BODY, key)
                except OSError:
                    time.sleep(0.01)

        for turn in range(3):
            ending.clear()
            callers = [threading.Thread(target=call) for _ in range(4)]
            for caller in callers:
                caller.start()
            time.sleep(0.4 + turn / 10)
            if victim == "gateway":
                os.kill(server.gateway_pid(), signal.SIGKILL)
                time.sleep(0.8)
            else:
                server.process.kill()
                server.process.wait()
            ending.set()
            if victim == "server":
                server = start(tmp_path)
            for caller in callers:
                caller.join()
        assert server.wait_for(lambda: not [row for row in attempts(server) if row.state in ("HELD", "SENT")])
        assert server.wait_for(lambda: agree(server))
        assert len({row.attempt for row in attempts(server)}) == len(attempts(server)) > 0
        with LedgerReader(server.data_dir / "ledger.db") as reader:
            assert reader.verify() == []
    finally:
        stop(server)


def test_providers_models_and_prices_are_read_again_on_sighup(server: Server) -> None:
    key, file = server.key("acme"), server.data_dir / "costweir.toml"
    fresh = {**BODY, "model": "fresh"}
    assert server.post(CHAT, fresh, key)[0] == 403

    file.write_text("providers = [")
    server.process.send_signal(signal.SIGHUP)
    assert server.wait_for(lambda: "the file is not in force" in server.log())
    assert server.post(CHAT, BODY, key)[0] == 200, "what is not readable changes nothing"

    added = '  { id = "fresh", provider = "second", context_tokens = 128000, max_output_tokens = 4096 },\n]\nprices = ['
    price = '\n  { model = "fresh", effective = "2026-01-01", input = "1.00", output = "2.00" },'
    more = CONFIG.replace(
        '{ id = "local", kind = "mock" }', '{ id = "local", kind = "mock" }, { id = "second", kind = "mock" }'
    )
    file.write_text(more.replace("]\nprices = [", added + price, 1))
    server.process.send_signal(signal.SIGHUP)
    assert server.wait_for(lambda: server.post(CHAT, fresh, key)[0] == 200)
    pid = server.gateway_pid()

    def models() -> set[str]:
        return {row["model"] for row in json.loads(server.get("web", "/v1/answers/spend?by=model"))["rows"]}

    assert server.wait_for(lambda: models() == {"big", "fresh"} and agree(server))
    assert pid == server.gateway_pid(), "it goes on"
