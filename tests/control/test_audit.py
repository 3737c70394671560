"""Every change is a link of a chain, and whoever alters the chain is found."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from costweir import config
from costweir.control import Control, Customer
from costweir.control.audit import START, Change
from costweir.control.replies import Asked, Reply
from costweir.errors import Conflict

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.db"


@pytest.fixture
def control(path: Path) -> Iterator[Control]:
    with Control.open(path) as opened:
        for number in range(5):
            opened.audit.add(
                Change("admin", "plan.put", f"plan:p{number}", None, {"id": f"p{number}", "naïve": "é"})
            )
        yield opened


def tamper(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_an_untouched_chain_holds_and_an_empty_one_too(control: Control, tmp_path: Path) -> None:
    assert control.audit.verify().ok
    assert control.audit.verify().rows == 5
    with Control.open(tmp_path / "empty.db") as empty:
        assert empty.audit.verify().to_json() == {
            "ok": True, "count": 0, "head_hash": START, "broken_at": None, "reason": "",
        }  # fmt: skip


def test_the_hash_can_be_computed_by_anybody_from_the_exported_rows(control: Control) -> None:
    prev = START
    for row in reversed(control.audit.listed()):
        fields = [row.seq, row.at, row.actor, row.action, row.subject, row.before, row.after, row.prev_hash]
        text = json.dumps(fields, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
        assert row.prev_hash == prev
        assert row.hash == hashlib.sha256(text.encode()).hexdigest()
        prev = row.hash


@pytest.mark.parametrize(
    ("statement", "broken_at"),
    [
        ("UPDATE audit SET actor = 'nobody' WHERE seq = 3", 3),
        ("UPDATE audit SET at = '2020-01-01T00:00:00.000Z' WHERE seq = 1", 1),
        ("UPDATE audit SET after = '{\"id\":\"p9\"}' WHERE seq = 2", 2),
        ("UPDATE audit SET before = '{}' WHERE seq = 2", 2),
        ("UPDATE audit SET hash = prev_hash WHERE seq = 4", 4),
        ("DELETE FROM audit WHERE seq = 2", 3),
        ("DELETE FROM audit WHERE seq = 1", 2),
        ("DELETE FROM audit WHERE seq = 5", 4),
        ("DELETE FROM audit", 1),
        ("UPDATE audit SET seq = 6 WHERE seq = 5", 6),
        ("INSERT INTO audit SELECT 6, at, actor, action, subject, before, after, hash, hash FROM audit LIMIT 1", 6),
        ("DELETE FROM meta WHERE key = 'audit_head'", 5),
        ("UPDATE meta SET value = 'x' WHERE key = 'audit_head'", 5),
    ],
)  # fmt: skip
def test_every_way_to_alter_the_chain_is_found(
    control: Control, path: Path, statement: str, broken_at: int
) -> None:
    tamper(path, statement)

    verdict = control.audit.verify()
    assert not verdict.ok
    assert verdict.broken_at == broken_at
    assert verdict.reason


def test_a_forger_who_rewrites_a_row_and_its_hash_breaks_the_next_one(control: Control, path: Path) -> None:
    row = control.audit.listed()[-2]
    fields = [row.seq, row.at, "nobody", row.action, row.subject, row.before, row.after, row.prev_hash]
    text = json.dumps(fields, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    tamper(
        path,
        f"UPDATE audit SET actor = 'nobody', hash = '{hashlib.sha256(text.encode()).hexdigest()}' WHERE seq = 2",
    )

    assert control.audit.verify().broken_at == 3


def test_the_newest_rows_come_first_and_page_by_page(control: Control) -> None:
    first = control.audit.listed(limit=2)
    rest = control.audit.listed(limit=10, before=first[-1].seq)

    assert [row.seq for row in [*first, *rest]] == [5, 4, 3, 2, 1]


def test_a_change_and_its_row_are_stored_together_or_not_at_all(control: Control) -> None:
    def dies() -> None:
        with control.transaction():
            control.add(Customer("acme"))
            control.audit.add(Change("admin", "customer.put", "customer:acme"))
            raise RuntimeError("the process dies here")

    with pytest.raises(RuntimeError):
        dies()
    assert control.customers() == []
    assert control.audit.verify().rows == 5
    with control.transaction():
        control.add(Customer("acme"))
        control.audit.add(Change("admin", "customer.put", "customer:acme"))
    assert [row.id for row in control.customers()] == ["acme"]
    assert control.audit.verify().rows == 6


def test_what_a_configuration_file_changes_is_in_the_chain_once(tmp_path: Path) -> None:
    def settings(text: str) -> config.Settings:
        file = tmp_path / "costweir.toml"
        file.write_text(text, encoding="utf-8")
        return config.load(path=file, environ={})

    gold = 'plans = [{ id = "gold", price_usd = "1.50" }]'
    first = gold + '\ncustomers = [{ id = "acme", plan = "gold" }, { id = "old" }]'
    with Control.open(tmp_path / "new.db") as control:
        control.sync(settings(first))
        control.sync(settings(first))
        control.sync(
            settings(
                'plans = [{ id = "gold", price_usd = "2.00" }]\ncustomers = [{ id = "acme", plan = "gold" }]'
            )
        )

        rows = [(row.actor, row.action, row.subject) for row in reversed(control.audit.listed())]
        assert rows == [
            ("config", "plan.put", "plan:gold"), ("config", "customer.put", "customer:acme"),
            ("config", "customer.put", "customer:old"), ("config", "plan.put", "plan:gold"),
            ("config", "customer.delete", "customer:old"),
        ]  # fmt: skip
        assert control.audit.verify().ok


def test_a_long_chain_is_walked_to_its_end(path: Path) -> None:
    with Control.open(path) as control:
        with control.transaction():
            for number in range(2_003):
                control.audit.add(Change("admin", "plan.put", f"plan:{number}"))
        assert control.audit.verify().rows == 2_003
        tamper(path, "UPDATE audit SET subject = 'plan:x' WHERE seq = 2002")
        assert control.audit.verify().broken_at == 2_002


def test_a_key_gives_the_same_reply_for_a_day_and_refuses_another_request(control: Control) -> None:
    asked, reply = Asked("admin", "k1", "digest"), Reply(201, '{"id":"acme"}')
    control.replies.keep(asked, reply, now=NOON)

    assert control.replies.find(asked, now=NOON + timedelta(hours=23)) == reply
    assert control.replies.find(Asked("tok_other", "k1", "digest"), now=NOON) is None
    with pytest.raises(Conflict, match="Idempotency-Key"):
        control.replies.find(Asked("admin", "k1", "else"), now=NOON)
    assert control.replies.find(asked, now=NOON + timedelta(hours=24)) is None
    control.replies.keep(Asked("admin", "k2", "digest"), reply, now=NOON + timedelta(hours=25))
    assert control.replies.find(Asked("admin", "k1", "else"), now=NOON) is None
