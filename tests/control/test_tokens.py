"""A token is shown once, is of use only while it may be, and the database alone lets nobody in."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from costweir.control import Control
from costweir.control.tokens import SECRET_FILE, USE_STEP, Wish
from costweir.errors import NotFound, Unreachable, UsageError

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    with Control.open(tmp_path / "control.db") as opened:
        yield opened


def test_a_token_is_found_by_its_text_and_by_nothing_near_it(control: Control) -> None:
    token, text = control.tokens.create(Wish("read", customer="acme"), by="admin")

    found = control.tokens.find(text)
    assert found is not None
    assert (found.id, found.scope, found.customer) == (token.id, "read", "acme")
    other = "A" if text[-1] != "A" else "B"
    for wrong in (text[:-1] + other, text[:-1], text + "A", text.upper(), token.prefix, "", "cwt_", "\ud800"):
        assert control.tokens.find(wrong) is None, wrong


def test_a_token_has_256_bits_that_do_not_show_in_its_prefix(control: Control) -> None:
    made = [control.tokens.create(Wish(), by="admin") for _ in range(20)]

    secrets = [text.removeprefix(f"{token.prefix}_") for token, text in made]
    assert {len(secret) for secret in secrets} == {43}
    assert len(set(secrets)) == 20
    assert all(text.startswith(f"{token.prefix}_") for token, text in made)


def test_neither_the_token_nor_its_plain_hash_stands_in_any_file(control: Control, tmp_path: Path) -> None:
    import hashlib

    _, text = control.tokens.create(Wish(), by="admin")
    secret = text[13:].encode()
    plain = hashlib.sha256(text.encode()).hexdigest().encode()

    held = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert secret not in held
    assert plain not in held


def test_the_key_of_the_hashes_is_private_and_without_it_no_token_works(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    with Control.open(path) as control:
        _, text = control.tokens.create(Wish(), by="admin")
    key = tmp_path / SECRET_FILE
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    with Control.open(path) as again:
        assert again.tokens.find(text) is not None
    key.unlink()
    with Control.open(path) as robbed:
        assert robbed.tokens.find(text) is None


def test_a_broken_key_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / SECRET_FILE).write_text("not hex")
    with Control.open(tmp_path / "control.db") as control, pytest.raises(Unreachable, match="cannot be read"):
        control.tokens.create(Wish(), by="admin")


def test_a_token_ends_at_its_instant(control: Control) -> None:
    token, text = control.tokens.create(Wish(expires=timedelta(days=1)), by="admin", now=NOON)

    assert token.expires_at == "2026-11-21T12:00:00.000Z"
    assert control.tokens.find(text, now=NOON + timedelta(hours=23)) is not None
    assert control.tokens.find(text, now=NOON + timedelta(days=1)) is None


@pytest.mark.parametrize("by", ["id", "prefix"])
def test_a_revoked_token_is_of_no_use_at_once_and_stays_in_the_list(control: Control, by: str) -> None:
    token, text = control.tokens.create(Wish(), by="admin", now=NOON)
    ended = control.tokens.revoke(getattr(token, by), now=NOON)
    again = control.tokens.revoke(token.id, now=NOON + timedelta(days=1))

    assert control.tokens.find(text, now=NOON) is None
    assert ended.revoked_at == again.revoked_at == "2026-11-20T12:00:00.000Z"
    assert [row.id for row in control.tokens.listed()] == [token.id]


def test_revoking_what_is_not_there_is_refused(control: Control) -> None:
    with pytest.raises(NotFound, match="tok_none"):
        control.tokens.revoke("tok_none")


def test_the_last_use_is_remembered_once_a_minute(control: Control) -> None:
    _, text = control.tokens.create(Wish(), by="admin", now=NOON)
    seen: list[str | None] = []
    for step in (timedelta(0), USE_STEP / 2, USE_STEP):
        control.tokens.find(text, now=NOON + step)
        seen.append(control.tokens.listed()[0].last_used_at)

    assert seen == ["2026-11-20T12:00:00.000Z", "2026-11-20T12:00:00.000Z", "2026-11-20T12:01:00.000Z"]


def test_a_disk_that_takes_no_note_does_not_turn_the_caller_away(
    control: Control, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("costweir.control.database.BUSY_MILLISECONDS", 1)
    with Control.open(tmp_path / "control.db") as quick:
        _, text = quick.tokens.create(Wish(), by="admin")
        holder = sqlite3.connect(tmp_path / "control.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        try:
            assert quick.tokens.find(text) is not None
        finally:
            holder.execute("ROLLBACK")
            holder.close()


def test_an_admin_token_of_one_customer_and_an_unknown_scope_are_refused(control: Control) -> None:
    with pytest.raises(UsageError, match="bound"):
        control.tokens.create(Wish("admin", customer="acme"), by="admin")
    with pytest.raises(UsageError, match="no scope"):
        control.tokens.create(Wish("root"), by="admin")  # type: ignore[arg-type]
