"""The first steps say what is there, and what they give to copy is what the configuration takes."""

from __future__ import annotations

import html
import re
import tomllib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from fake_desk import FakeDesk
from test_pages import Markup, Reply

from costweir import config

Serve = Callable[..., AbstractContextManager[str]]
PATH = "/settings/start"


def steps(text: str) -> dict[str, tuple[bool, str]]:
    found = re.findall(
        r"<h3>([^<]+)</h3><p><span class=\"badge (ok|neutral)\">(.*?)</span>", text, flags=re.DOTALL
    )
    return {title: (tone == "ok", re.sub(r"<[^>]+>", "", words).strip()) for title, tone, words in found}


def test_each_step_says_how_far_it_is(site: str) -> None:
    found = steps(Reply(site + PATH).text)
    assert found["Load your bills"] == (False, "7 months of sample data loaded")
    assert found["Say what your plans cost"] == (True, "3 of 3 plans with a price")
    assert found["Put customers on plans"] == (True, "10 of 10 customers on a plan")
    assert found["Set a budget for everything"] == (True, "$520 a month")
    assert found["Be told"] == (False, "nobody is told")
    assert "4 of 6 done" in Reply(site + PATH).words


def test_an_empty_installation_has_everything_to_do(serve: Serve) -> None:
    desk = FakeDesk(empty=True)
    with serve(desk) as address:
        found = steps(Reply(address + PATH).text)
        assert found["Load your bills"] == (False, "no bill yet")
        assert found["Connect an account"] == (False, "none connected")
        assert 'href="/settings/start"' in Reply(address + "/").text


def test_own_bills_count_as_done(serve: Serve) -> None:
    with serve(FakeDesk(sample=False)) as address:
        assert steps(Reply(address + PATH).text)["Load your bills"] == (True, "7 months loaded")


def test_what_is_there_to_copy_is_valid_once_it_is_filled_in(site: str, tmp_path: Path) -> None:
    text = Reply(site + PATH).text
    stubs = [
        html.unescape(stub)
        for stub in re.findall(r'id="(?:budget|alert-channel)"[^>]*>(.*?)</pre>', text, re.DOTALL)
    ]
    assert len(stubs) == 2
    file = tmp_path / "costweir.toml"
    file.write_text("\n".join(stubs).replace('limit_usd = ""', 'limit_usd = "500"'), encoding="utf-8")
    held = config.load(path=file, environ={"SLACK_WEBHOOK_URL": "https://hooks.example/x"})
    assert tomllib.loads(file.read_text())["budgets"][0]["id"] == held.budgets[0].id
    assert held.channels[0].kind == "slack"


def test_the_page_is_small_and_well_formed(site: str) -> None:
    reply = Reply(site + PATH)
    markup = Markup(reply.text)
    assert len(reply.text.encode()) <= 60_000
    assert markup.styles == markup.handlers == []
    assert len(markup.ids) == len(set(markup.ids))
