"""Tokens of the read API. A token is shown once; what is kept is a keyed hash of it, so a copy of the database lets
nobody in."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

from costweir.control.database import Database, Row
from costweir.control.runs import instant
from costweir.control.secret import read_secret
from costweir.errors import NotFound, Unreachable, UsageError

Scope = Literal["read", "finance", "ingest", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

SECRET_FILE = "token-secret"  # noqa: S105 - a file name
#: Bytes of randomness in a token.
TOKEN_BYTES = 32
#: A token's last use is written down at most this often, so that reading does not write.
USE_STEP = timedelta(minutes=1)
_TOKEN = re.compile(r"(cwt_[0-9a-f]{8})_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token; the token itself is not kept. Instants are RFC 3339 in UTC, None where there is none.

    `scope` is read, finance, ingest or admin. `customer` binds it to one customer, empty for all.
    """

    id: str
    prefix: str
    scope: Scope
    customer: str
    name: str
    created_at: str
    created_by: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None

    def to_json(self) -> dict[str, str | None]:
        """All fields; `customer` is null for a token that sees every customer."""
        return {
            "id": self.id, "prefix": self.prefix, "scope": self.scope, "customer": self.customer or None,
            "name": self.name, "created_at": self.created_at, "created_by": self.created_by,
            "expires_at": self.expires_at, "revoked_at": self.revoked_at, "last_used_at": self.last_used_at,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wish:
    """The token that somebody asks for. `expires` is how long it lives, None for ever."""

    scope: Scope = "read"
    customer: str = ""
    name: str = ""
    expires: timedelta | None = None


class Tokens:
    """The tokens of one control database. The key of the hashes lies in `secret_file`, outside the database."""

    def __init__(self, database: Database, secret_file: Path | None) -> None:
        self._database = database
        self._secret_file = secret_file
        self._key = b""

    def create(self, wish: Wish, *, by: str, now: datetime | None = None) -> tuple[Token, str]:
        """Makes a token and gives it with its text, which nobody can read again.

        `by` names who asked. Raises UsageError for a scope that does not exist or cannot be bound to a customer.
        """
        if wish.scope not in SCOPES:
            raise UsageError(f"There is no scope {wish.scope!r}.", hint=f"Scopes are {', '.join(SCOPES)}.")
        if wish.customer and wish.scope == "admin":
            raise UsageError(
                "An admin token cannot be bound to a customer.", hint="Use scope read, finance or ingest."
            )
        moment = now or datetime.now(UTC)
        prefix = f"cwt_{secrets.token_hex(4)}"
        text = f"{prefix}_{secrets.token_urlsafe(TOKEN_BYTES)}"
        token = Token(
            id=f"tok_{secrets.token_hex(8)}", prefix=prefix, scope=wish.scope, customer=wish.customer,
            name=wish.name, created_at=instant(moment), created_by=by,
            expires_at=instant(moment + wish.expires) if wish.expires is not None else None,
            revoked_at=None, last_used_at=None,
        )  # fmt: skip
        with self._database.write() as run:
            run(
                "INSERT INTO tokens (id, prefix, digest, scope, customer, name, created_at, created_by, expires_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    token.id, prefix, self._digest(text), token.scope, token.customer or None, token.name,
                    token.created_at, by, token.expires_at,
                ),
            )  # fmt: skip
        return token, text

    def find(self, text: str, *, now: datetime | None = None) -> Token | None:
        """The token of this text when it may be used now, else None. Its use is remembered."""
        match = _TOKEN.fullmatch(text)
        if match is None:
            return None
        rows = self._database.read("SELECT * FROM tokens WHERE prefix = ?", (match[1],))
        # An unknown prefix takes as long as a known one, so that time does not tell which exist.
        held: str = rows[0]["digest"] if rows else "0" * 64
        right = hmac.compare_digest(self._digest(text), held)
        if not rows or not right:
            return None
        token = _token(rows[0])
        moment = now or datetime.now(UTC)
        if token.revoked_at is not None or (
            token.expires_at is not None and token.expires_at <= instant(moment)
        ):
            return None
        self._used(token, moment)
        return token

    def listed(self) -> list[Token]:
        """Every token that was ever made, newest first."""
        return [
            _token(row) for row in self._database.read("SELECT * FROM tokens ORDER BY created_at DESC, id")
        ]

    def revoke(self, name: str, *, now: datetime | None = None) -> Token:
        """Ends a token at once, by its id or prefix. Raises NotFound. A second call changes nothing."""
        with self._database.write() as run:
            run(
                "UPDATE tokens SET revoked_at = ? WHERE (id = ? OR prefix = ?) AND revoked_at IS NULL",
                (instant(now or datetime.now(UTC)), name, name),
            )
            rows = run("SELECT * FROM tokens WHERE id = ? OR prefix = ?", (name, name))
        if not rows:
            raise NotFound(f"There is no token {name!r}.", hint="`costweir token list` shows them.")
        return _token(rows[0])

    def _used(self, token: Token, moment: datetime) -> None:
        before = instant(moment - USE_STEP)
        if token.last_used_at is not None and token.last_used_at > before:
            return
        try:
            with self._database.write() as run:
                run("UPDATE tokens SET last_used_at = ? WHERE id = ?", (instant(moment), token.id))
        except Unreachable:
            # A busy or full disk delays the note; it is no reason to turn the caller away.
            return

    def _digest(self, text: str) -> str:
        if not self._key:
            self._key = read_secret(self._secret_file, of="tokens")
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()


def _token(row: Row) -> Token:
    return Token(
        id=row["id"], prefix=row["prefix"], scope=row["scope"], customer=row["customer"] or "", name=row["name"],
        created_at=row["created_at"], created_by=row["created_by"], expires_at=row["expires_at"],
        revoked_at=row["revoked_at"], last_used_at=row["last_used_at"],
    )  # fmt: skip
