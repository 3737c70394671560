"""Virtual keys: what callers of the gateway show instead of a provider's key. A key is shown once; what is kept is a
keyed hash of it. Its id stays when it is rotated, so its budgets and its history stay too."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zlib import crc32

from costweir.control.audit import Audit, Change
from costweir.control.database import Database, Execute, Row
from costweir.control.runs import instant
from costweir.control.secret import read_secret
from costweir.errors import Conflict, NotFound, Unreachable, UsageError

SECRET_FILE = "key-secret"  # noqa: S105 - a file name
#: What a key's holder may name in a header, when the key says so.
ASSERTABLE = ("customer", "session", "user")
#: Bytes of randomness in a key.
KEY_BYTES = 32
#: How long the text before a rotation still works, unless somebody says otherwise.
GRACE = timedelta(hours=24)
#: `cw-`, eight signs that name the text, its randomness, and eight signs that tell a slip from a wrong key.
_TEXT = re.compile(r"(cw-[0-9a-f]{8})-[A-Za-z0-9_-]{43}([0-9a-f]{8})")
_CHECKED = 8
#: Who makes the keys of the configuration file.
CONFIG = "config"
#: No key is longer; a longer text is not even hashed.
_LONGEST = 512
_NOBODY = b"\0" * 32


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key; its text is not kept. Instants are RFC 3339 in UTC, None where there is none.

    `models` empty means every model. `prefix` is how the text begins that works now.
    """

    id: str
    prefix: str
    customer: str
    models: tuple[str, ...]
    may_assert: tuple[str, ...]
    name: str
    created_at: str
    created_by: str
    expires_at: str | None
    rotated_at: str | None
    revoked_at: str | None

    def to_json(self) -> dict[str, object]:
        """All fields; `customer` is null for a key whose holder names the customer."""
        return {
            "id": self.id, "prefix": self.prefix, "customer": self.customer or None, "models": list(self.models),
            "may_assert": list(self.may_assert), "name": self.name, "created_at": self.created_at,
            "created_by": self.created_by, "expires_at": self.expires_at, "rotated_at": self.rotated_at,
            "revoked_at": self.revoked_at,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class KeyWish:
    """The key that somebody asks for. `expires` is how long it lives, None until it is revoked."""

    customer: str = ""
    models: Collection[str] = ()
    may_assert: Collection[str] = ()
    name: str = ""
    expires: timedelta | None = None

    def check(self) -> None:
        """Raises UsageError for a wish that cannot be granted."""
        for kind in self.may_assert:
            if kind not in ASSERTABLE:
                raise UsageError(
                    f"A key cannot assert {kind!r}.", hint=f"It may assert {', '.join(ASSERTABLE)}."
                )
        if not self.customer and "customer" not in self.may_assert:
            raise UsageError(
                "A key needs a customer, or has to be allowed to say which.",
                hint="Give --customer ID, or --may-assert customer.",
            )
        if self.expires is not None and self.expires <= timedelta():
            raise UsageError("A key cannot end before it begins.", hint="Give a time such as 30d.")


class Keys:
    """The keys of one control database. The key of the hashes lies in `secret_file`, outside the database. Every
    change is audited, and `policy_revision` grows with it; `by` names who makes it."""

    def __init__(self, database: Database, secret_file: Path | None, audit: Audit) -> None:
        self._database = database
        self._secret_file = secret_file
        self._audit = audit
        self._secret = b""

    def create(self, wish: KeyWish, *, by: str, now: datetime | None = None) -> tuple[Key, str]:
        """Makes a key and gives it with its text, which nobody can read again. Raises UsageError."""
        wish.check()
        moment = now or datetime.now(UTC)
        prefix, text = _new_text()
        key = Key(
            id=f"key_{secrets.token_hex(8)}", prefix=prefix, customer=wish.customer,
            models=tuple(dict.fromkeys(wish.models)),
            may_assert=tuple(kind for kind in ASSERTABLE if kind in wish.may_assert), name=wish.name,
            created_at=instant(moment), created_by=by,
            expires_at=instant(moment + wish.expires) if wish.expires is not None else None, rotated_at=None,
            revoked_at=None,
        )  # fmt: skip
        with self._database.write() as run:
            run(
                "INSERT INTO keys (id, prefix, customer, models, may_assert, name, created_at, created_by, expires_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    key.id, prefix, key.customer, json.dumps(key.models), json.dumps(key.may_assert), key.name,
                    key.created_at, by, key.expires_at,
                ),
            )  # fmt: skip
            self._keep(run, key.id, prefix, text)
            self._audit.add(Change(by, "key.create", f"key:{key.id}", None, key.to_json()))
        return key, text

    def rotate(
        self, name: str, *, by: str, grace: timedelta = GRACE, now: datetime | None = None
    ) -> tuple[Key, str]:
        """Gives a key a new text; the one before works for `grace` more, and those before it no longer.

        Raises NotFound, and Conflict for a key that was revoked.
        """
        moment = now or datetime.now(UTC)
        prefix, text = _new_text()
        with self._database.write() as run:
            before = self._one(run, name)
            if before.revoked_at is not None:
                raise Conflict(f"The key {before.id} was revoked.", hint="Make a new one.")
            _refuse_configured(before)
            run("DELETE FROM key_texts WHERE key_id = ? AND prefix <> ?", (before.id, before.prefix))
            run("UPDATE key_texts SET ends_at = ? WHERE key_id = ?", (instant(moment + grace), before.id))
            self._keep(run, before.id, prefix, text)
            run(
                "UPDATE keys SET prefix = ?, rotated_at = ? WHERE id = ?",
                (prefix, instant(moment), before.id),
            )
            after = replace(before, prefix=prefix, rotated_at=instant(moment))
            self._audit.add(Change(by, "key.rotate", f"key:{before.id}", before.to_json(), after.to_json()))
        return after, text

    def revoke(self, name: str, *, by: str, now: datetime | None = None) -> Key:
        """Ends a key and all its texts at once, by its id or prefix. Raises NotFound. A second call changes nothing."""
        with self._database.write() as run:
            before = self._one(run, name)
            if before.revoked_at is not None:
                return before
            _refuse_configured(before)
            return self._end(run, before, by, now or datetime.now(UTC))

    def _end(self, run: Execute, before: Key, by: str, now: datetime) -> Key:
        after = replace(before, revoked_at=instant(now))
        run("UPDATE keys SET revoked_at = ? WHERE id = ?", (after.revoked_at, before.id))
        run("DELETE FROM key_texts WHERE key_id = ?", (before.id,))
        self._audit.add(Change(by, "key.revoke", f"key:{before.id}", before.to_json(), after.to_json()))
        return after

    def listed(self) -> list[Key]:
        """Every key that was ever made, newest first."""
        return [_key(row) for row in self._database.read("SELECT * FROM keys ORDER BY created_at DESC, id")]

    def find(self, name: str) -> Key:
        """A key by its id or prefix. Raises NotFound."""
        return _one(self._database.read("SELECT * FROM keys WHERE id = ? OR prefix = ?", (name, name)), name)

    def ring(self) -> KeyRing:
        """The keys that work now, in memory, for whoever has to look one up at every request."""
        return KeyRing(self)

    def texts(self) -> list[tuple[str, bytes, str | None, Key]]:
        """Prefix, hash and end of every text that may still work, with its key."""
        rows = self._database.read(
            "SELECT key_texts.prefix AS text_prefix, digest, ends_at, keys.* FROM key_texts"
            " JOIN keys ON keys.id = key_texts.key_id WHERE revoked_at IS NULL"
        )
        return [
            (
                row["text_prefix"],
                bytes.fromhex(row["digest"]),
                _earlier(row["ends_at"], row["expires_at"]),
                _key(row),
            )
            for row in rows
        ]

    def digest(self, text: str) -> bytes:
        """The keyed hash of a text. Raises what `read_secret` raises."""
        if not self._secret:
            self._need_secret()
            self._secret = read_secret(self._secret_file, of="keys")
        return hashlib.blake2b(text.encode(), key=self._secret, digest_size=32).digest()

    def _need_secret(self) -> None:
        path = self._secret_file
        if path is not None and not path.exists() and self.texts():
            # A new one would end every key without a word.
            raise Unreachable(
                f"{path} is gone, so no key can be told from a wrong one.",
                hint="Restore it from a copy, or revoke every key and make new ones.",
            )

    def _keep(self, run: Execute, name: str, prefix: str, text: str) -> None:
        run(
            "INSERT INTO key_texts (prefix, key_id, digest) VALUES (?, ?, ?)",
            (prefix, name, self.digest(text).hex()),
        )

    def _one(self, run: Execute, name: str) -> Key:
        return _one(run("SELECT * FROM keys WHERE id = ? OR prefix = ?", (name, name)), name)

    def sync(self, wanted: Mapping[str, tuple[KeyWish, str]]) -> None:
        """Makes the keys of the configuration file equal to `wanted`: wishes and texts by id. What is so already is not
        written again; one that is gone ends. Raises Conflict for two that cannot be told apart."""
        held = {key.id: key for key in self.listed() if key.created_by == CONFIG}
        if len({text for _, text in wanted.values()}) < len(wanted):
            raise Conflict("Two keys of the configuration file are the same.", hint="Give each its own.")
        for key in self.listed():
            if key.id in wanted and key.created_by != CONFIG:
                raise Conflict(
                    f"There is a key {key.id!r} already.", hint="Name the one in the file differently."
                )
        digests = {key.id: digest for _, digest, _, key in self.texts()}
        with self._database.write() as run:
            for name, (wish, text) in wanted.items():
                key = _configured(name, wish)
                before = held.pop(name, None)
                same = before is not None and replace(before, created_at=key.created_at) == key
                if not same or digests.get(name) != self.digest(text):
                    self._put(run, key, before, text)
            for key in held.values():
                if key.revoked_at is None:
                    self._end(run, key, CONFIG, datetime.now(UTC))

    def _put(self, run: Execute, key: Key, before: Key | None, text: str) -> None:
        run("DELETE FROM key_texts WHERE key_id = ?", (key.id,))
        run("DELETE FROM keys WHERE id = ?", (key.id,))
        run(
            "INSERT INTO keys (id, prefix, customer, models, may_assert, name, created_at, created_by)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                key.id, key.prefix, key.customer, json.dumps(key.models), json.dumps(key.may_assert), key.name,
                key.created_at, CONFIG,
            ),
        )  # fmt: skip
        self._keep(run, key.id, key.prefix, text)
        was = None if before is None else before.to_json()
        self._audit.add(Change(CONFIG, "key.put", f"key:{key.id}", was, key.to_json()))


class KeyRing:
    """The keys that work, in memory. `reload` brings it in step with the database."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._held: dict[str, tuple[bytes, int | None, Key]] = {}
        self._own: dict[bytes, Key] = {}
        self.reload()

    def reload(self) -> None:
        """Takes what the database holds now. Raises what `read_secret` raises, when there are keys to be compared."""
        self._held = {
            prefix: (digest, _seconds(ends), key) for prefix, digest, ends, key in self._keys.texts()
        }
        self._own = {digest: key for digest, _, key in self._held.values() if key.created_by == CONFIG}
        if self._held:
            self._keys.digest("")

    def find(self, text: str, *, now: int | None = None) -> Key | None:
        """The key of this text when it may be used now (`now` in seconds since 1970), else None.

        The time it takes does not tell how much of a text was right, nor whether its prefix exists.
        """
        match = _TEXT.fullmatch(text)
        if match is None or match[2] != _check(text[:-_CHECKED]):
            # A key of the file has any form. A keyed hash is looked up: what it is near to tells nobody anything.
            known = self._own and len(text) <= _LONGEST and text.isascii()
            return self._own.get(self._keys.digest(text)) if known else None
        held = self._held.get(match[1])
        right = hmac.compare_digest(self._keys.digest(text), _NOBODY if held is None else held[0])
        if held is None or not right:
            return None
        ends = held[1]
        if ends is not None and ends <= (int(time.time()) if now is None else now):
            return None
        return held[2]


def _configured(name: str, wish: KeyWish) -> Key:
    wish.check()
    return Key(
        id=name, prefix=f"{CONFIG}:{name}", customer=wish.customer, models=tuple(dict.fromkeys(wish.models)),
        may_assert=tuple(kind for kind in ASSERTABLE if kind in wish.may_assert), name=wish.name,
        created_at=instant(datetime.now(UTC)), created_by=CONFIG, expires_at=None, rotated_at=None, revoked_at=None,
    )  # fmt: skip


def _refuse_configured(key: Key) -> None:
    if key.created_by == CONFIG:
        raise Conflict(
            f"The key {key.id!r} is set in the configuration file.", hint="Change it there, and start again."
        )


def _new_text() -> tuple[str, str]:
    prefix = f"cw-{secrets.token_hex(4)}"
    body = f"{prefix}-{secrets.token_urlsafe(KEY_BYTES)}"
    return prefix, body + _check(body)


def _check(body: str) -> str:
    return f"{crc32(body.encode()):08x}"


def _one(rows: list[Row], name: str) -> Key:
    if not rows:
        raise NotFound(f"There is no key {name!r}.", hint="`costweir key list` shows them.")
    return _key(rows[0])


def _earlier(first: str | None, second: str | None) -> str | None:
    return min(filter(None, (first, second)), default=None)


def _seconds(moment: str | None) -> int | None:
    return None if moment is None else int(datetime.fromisoformat(moment).timestamp())


def _key(row: Row) -> Key:
    return Key(
        id=row["id"], prefix=row["prefix"], customer=row["customer"], models=tuple(json.loads(row["models"])),
        may_assert=tuple(json.loads(row["may_assert"])), name=row["name"], created_at=row["created_at"],
        created_by=row["created_by"], expires_at=row["expires_at"], rotated_at=row["rotated_at"],
        revoked_at=row["revoked_at"],
    )  # fmt: skip
