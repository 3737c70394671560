"""`costweir key`: a key is shown once, works at the gateway at once, and ends when it is told to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from costweir.control import Control


def test_a_key_is_made_shown_once_and_listed_without_its_text(cli, home: Path) -> None:
    made = cli(
        "key", "create", "--customer", "acme", "--models", "big, small", "--may-assert", "session,user",
        "--expires", "30d", "--json",
    )  # fmt: skip
    assert made.code == 0
    key = made.json
    assert key["schema"] == "costweir.key/1"
    assert re.fullmatch(r"cw-[0-9a-f]{8}-\S{51}", key["key"])
    assert key["key"].startswith(key["prefix"])
    assert (key["models"], key["may_assert"]) == (["big", "small"], ["session", "user"])
    assert key["expires_at"] is not None

    listed = cli("key", "list", "--json")
    assert [row["id"] for row in listed.json["rows"]] == [key["id"]]
    assert key["key"] not in listed.out + cli("key", "list").out + cli("audit", "list").out
    with Control.open(home / "data/control.db", read_only=True) as control:
        assert control.keys.ring().find(key["key"]) is not None


def test_a_rotated_key_is_shown_and_a_revoked_one_is_over(cli, home: Path) -> None:
    first = cli("key", "create", "--customer", "acme", "--json").json
    second = cli("key", "rotate", first["id"], "--grace", "0m", "--json").json
    assert second["id"] == first["id"]
    with Control.open(home / "data/control.db", read_only=True) as control:
        ring = control.keys.ring()
        assert [ring.find(row["key"]) is not None for row in (first, second)] == [False, True]

    ended = cli("key", "revoke", second["prefix"], "--json").json
    assert ended["revoked_at"] is not None
    assert "key" not in ended
    with Control.open(home / "data/control.db", read_only=True) as control:
        assert control.keys.ring().find(second["key"]) is None


def test_the_hint_to_keep_it_does_not_stand_in_the_data(cli) -> None:
    done = cli("key", "create", "--customer", "acme")

    assert "Keep the key now" in done.err
    assert "Keep the key now" not in done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "needs a customer"),
        (["--customer", "acme", "--may-assert", "plan"], "cannot assert 'plan'"),
        (["--customer", "acme", "--expires", "soon"], "is not a time"),
    ],
)
def test_what_cannot_be_granted_is_a_usage_error(cli, words: list[str], said: str) -> None:
    done = cli("key", "create", *words, "--json")

    assert done.code == 2
    assert said in done.error["message"]


def test_a_key_that_does_not_exist_is_said(cli) -> None:
    done = cli("key", "revoke", "key_no", "--json")

    assert (done.code, done.error["code"]) == (1, "not_found")
