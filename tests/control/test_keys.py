"""A virtual key is shown once, works only while it may, and no copy of the database lets anybody in."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from costweir.control import Control
from costweir.control.keys import SECRET_FILE, KeyWish
from costweir.errors import Conflict, NotAllowed, NotFound, Unreachable, UsageError

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = 3_600
AT_NOON = int(NOON.timestamp())
ACME = KeyWish("acme", ("big", "small"), ("session", "user"), "checkout")


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    with Control.open(tmp_path / "control.db") as opened:
        yield opened


def test_a_key_is_found_by_its_text_with_all_that_it_says(control: Control) -> None:
    made, text = control.keys.create(ACME, by="ada")

    found = control.keys.ring().find(text)

    assert found == made
    assert (made.customer, made.models, made.may_assert) == ("acme", ("big", "small"), ("session", "user"))
    assert text.startswith(f"{made.prefix}-")


def test_a_slip_of_one_sign_is_told_without_the_database_and_a_right_sum_is_not_enough(
    control: Control,
) -> None:
    from zlib import crc32

    _, text = control.keys.create(ACME, by="ada")
    ring = control.keys.ring()
    slips = [text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :] for at in range(12, len(text))]
    body = text[:12] + "A" * 43
    forged = f"{body}{crc32(body.encode()):08x}"

    assert [ring.find(slip) for slip in slips] == [None] * len(slips)
    assert ring.find(forged) is None
    assert [
        ring.find(odd) for odd in ("", "cw-", text.upper(), text + "A", text[:-1], "\ud800" + text[1:])
    ] == [None] * 6
    assert ring.find(text) is not None


def test_a_key_has_256_random_bits(control: Control) -> None:
    texts = [control.keys.create(ACME, by="ada")[1] for _ in range(20)]

    secrets = {text[12:55] for text in texts}
    assert len(secrets) == 20
    assert {len(secret) for secret in secrets} == {43}


def test_neither_a_key_nor_a_plain_hash_of_it_stands_in_any_file(control: Control, tmp_path: Path) -> None:
    _, text = control.keys.create(ACME, by="ada")
    hashes = [
        hashlib.new(name, text.encode()).hexdigest().encode() for name in ("sha256", "blake2b", "sha1", "md5")
    ]
    plain = hashlib.blake2b(text.encode(), digest_size=32).hexdigest().encode()

    held = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())

    assert [one for one in (text[12:55].encode(), plain, *hashes) if one in held] == []


def test_without_the_installations_own_secret_a_copy_of_the_database_is_worth_nothing(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    with Control.open(path) as control:
        _, text = control.keys.create(ACME, by="ada")
    secret = tmp_path / SECRET_FILE
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    with Control.open(path, read_only=True) as reader:
        assert reader.keys.ring().find(text) is not None
    secret.write_text("00" * 32)
    secret.chmod(0o600)
    with Control.open(path) as robbed:
        assert robbed.keys.ring().find(text) is None


def test_a_lost_secret_is_said_and_not_replaced_while_keys_live(control: Control, tmp_path: Path) -> None:
    made, _ = control.keys.create(ACME, by="ada")
    (tmp_path / SECRET_FILE).unlink()

    with Control.open(tmp_path / "control.db") as again:
        for use in (again.keys.ring, lambda: again.keys.create(ACME, by="ada")):
            with pytest.raises(Unreachable, match="is gone") as raised:
                use()
            assert "revoke every key" in raised.value.hint
        assert not (tmp_path / SECRET_FILE).exists()
        again.keys.revoke(made.id, by="ada")
        _, text = again.keys.create(ACME, by="ada")
        assert again.keys.ring().find(text) is not None


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644])
def test_a_secret_that_everybody_may_read_or_change_is_refused(
    control: Control, tmp_path: Path, mode: int
) -> None:
    control.keys.create(ACME, by="ada")
    (tmp_path / SECRET_FILE).chmod(mode)

    with (
        Control.open(tmp_path / "control.db") as again,
        pytest.raises(NotAllowed, match="Every user") as raised,
    ):
        again.keys.ring()
    assert "chmod 600" in raised.value.hint


def test_a_key_ends_at_its_second(control: Control) -> None:
    made, text = control.keys.create(KeyWish("acme", expires=timedelta(hours=1)), by="ada", now=NOON)
    ring = control.keys.ring()

    assert made.expires_at == "2026-11-20T13:00:00.000Z"
    assert ring.find(text, now=AT_NOON + HOUR - 1) is not None
    assert ring.find(text, now=AT_NOON + HOUR) is None


def test_a_rotated_key_keeps_its_id_and_both_texts_work_for_the_grace(control: Control) -> None:
    made, first = control.keys.create(ACME, by="ada", now=NOON)
    again, second = control.keys.rotate(made.id, by="bob", grace=timedelta(hours=2), now=NOON)
    ring = control.keys.ring()

    assert (again.id, again.customer, again.models) == (made.id, made.customer, made.models)
    for text in (first, second):
        found = ring.find(text, now=AT_NOON + 2 * HOUR - 1)
        assert found is not None
        assert found.id == made.id
    assert ring.find(first, now=AT_NOON + 2 * HOUR) is None
    assert ring.find(second, now=AT_NOON + 2 * HOUR) is not None


def test_a_second_rotation_ends_the_text_before_the_last(control: Control) -> None:
    made, first = control.keys.create(ACME, by="ada", now=NOON)
    _, second = control.keys.rotate(made.id, by="ada", now=NOON)
    _, third = control.keys.rotate(made.id, by="ada", now=NOON)
    ring = control.keys.ring()

    assert [ring.find(text, now=AT_NOON) is not None for text in (first, second, third)] == [
        False,
        True,
        True,
    ]


def test_a_rotation_does_not_let_a_key_live_longer(control: Control) -> None:
    made, _ = control.keys.create(KeyWish("acme", expires=timedelta(hours=1)), by="ada", now=NOON)
    _, text = control.keys.rotate(made.id, by="ada", now=NOON)

    assert control.keys.ring().find(text, now=AT_NOON + HOUR) is None


def test_a_revoked_key_ends_with_all_its_texts(control: Control) -> None:
    made, first = control.keys.create(ACME, by="ada")
    _, second = control.keys.rotate(made.id, by="ada")
    ring = control.keys.ring()
    ended = control.keys.revoke(made.id, by="bob")
    ring.reload()

    assert ended.revoked_at is not None
    assert [ring.find(first), ring.find(second)] == [None, None]
    assert control.keys.revoke(made.id, by="bob") == ended
    with pytest.raises(Conflict, match="was revoked"):
        control.keys.rotate(made.id, by="bob")


def test_what_does_not_exist_is_said(control: Control) -> None:
    for call in (control.keys.find, lambda name: control.keys.revoke(name, by="ada")):
        with pytest.raises(NotFound, match="There is no key 'key_no'"):
            call("key_no")


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (KeyWish(), "needs a customer"),
        (KeyWish("acme", may_assert=("plan",)), "cannot assert 'plan'"),
        (KeyWish("acme", expires=timedelta()), "cannot end before"),
    ],
)
def test_a_wish_that_cannot_be_granted_is_refused(control: Control, wish: KeyWish, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        control.keys.create(wish, by="ada")
    assert control.keys.listed() == []


def test_a_key_without_a_customer_lets_its_holder_say_whom_it_is_for(control: Control) -> None:
    made, _ = control.keys.create(KeyWish(may_assert=("customer",)), by="ada")

    assert made.to_json()["customer"] is None


OWN = "0123456789abcdef" * 3


def test_a_key_of_the_file_works_in_its_own_form_and_is_changed_there_only(control: Control) -> None:
    control.keys.sync({"ci": (KeyWish("acme", ("big",)), OWN)})
    found = control.keys.ring().find(OWN)

    assert found is not None
    assert (found.id, found.customer, found.models, found.created_by) == ("ci", "acme", ("big",), "config")
    for wrong in (OWN[:-1], OWN + "0", OWN.upper(), "", "x" * 600):
        assert control.keys.ring().find(wrong) is None
    for change in (control.keys.revoke, control.keys.rotate):
        with pytest.raises(Conflict, match="configuration file"):
            change("ci", by="ada")


def test_a_start_with_the_same_file_writes_nothing_and_a_changed_one_what_changed(control: Control) -> None:
    control.keys.sync({"ci": (KeyWish("acme"), OWN), "cd": (KeyWish("acme"), OWN[::-1])})
    before = (control.stops.revision, len(control.audit.listed()))
    control.keys.sync({"ci": (KeyWish("acme"), OWN), "cd": (KeyWish("acme"), OWN[::-1])})
    assert (control.stops.revision, len(control.audit.listed())) == before

    control.keys.sync({"ci": (KeyWish("acme"), OWN + "new")})
    ring = control.keys.ring()
    assert [ring.find(text) is not None for text in (OWN, OWN + "new", OWN[::-1])] == [False, True, False]
    assert control.stops.revision > before[0]
    assert OWN not in "".join(f"{row.before}{row.after}" for row in control.audit.listed())

    control.keys.sync({"ci": (KeyWish("acme"), OWN), "cd": (KeyWish("acme"), OWN[::-1])})
    assert control.keys.ring().find(OWN[::-1]) is not None


def test_keys_of_the_file_that_cannot_be_told_apart_are_refused(control: Control) -> None:
    made, _ = control.keys.create(ACME, by="ada")

    with pytest.raises(Conflict, match="are the same"):
        control.keys.sync({"a": (KeyWish("acme"), OWN), "b": (KeyWish("acme"), OWN)})
    with pytest.raises(Conflict, match="already"):
        control.keys.sync({made.id: (KeyWish("acme"), OWN)})


def test_every_change_is_audited_without_the_text_and_moves_the_policy(control: Control) -> None:
    revisions = [control.stops.revision]
    made, text = control.keys.create(ACME, by="ada")
    revisions.append(control.stops.revision)
    control.keys.rotate(made.id, by="bob")
    revisions.append(control.stops.revision)
    control.keys.revoke(made.id, by="eve")
    revisions.append(control.stops.revision)

    rows = control.audit.listed()
    assert [(row.actor, row.action, row.subject) for row in reversed(rows)] == [
        ("ada", "key.create", f"key:{made.id}"),
        ("bob", "key.rotate", f"key:{made.id}"),
        ("eve", "key.revoke", f"key:{made.id}"),
    ]
    assert control.audit.verify().ok
    assert text[12:55] not in "".join(f"{row.before}{row.after}" for row in rows)
    assert revisions == sorted(set(revisions))


def test_a_refused_change_leaves_no_row(control: Control) -> None:
    made, _ = control.keys.create(ACME, by="ada")
    control.keys.revoke(made.id, by="ada")
    count = len(control.audit.listed())
    with pytest.raises(Conflict):
        control.keys.rotate(made.id, by="ada")

    assert len(control.audit.listed()) == count
