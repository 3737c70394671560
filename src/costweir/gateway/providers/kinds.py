"""Kinds of provider as data: the public address, the header that carries the key, and what is sent besides.

Sources: the providers' API references (OpenAI: `Authorization: Bearer`; Anthropic: `x-api-key` and
`anthropic-version`), read in November 2026.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from costweir.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of provider is reached. `auth` is the header of the key, `scheme` stands before it.

    `rooted` says that paths start at the host's root with `/v1`, so that a base URL with or without it means the same.
    """

    base_url: str
    auth: str
    scheme: str = ""
    usual: tuple[tuple[bytes, bytes], ...] = ()
    rooted: bool = True


KINDS: dict[str, Kind] = {
    "openai": Kind("https://api.openai.com/v1", "authorization", "Bearer ", rooted=False),
    "anthropic": Kind(
        "https://api.anthropic.com", "x-api-key", usual=((b"anthropic-version", b"2023-06-01"),)
    ),
    "mock": Kind("", "authorization", "Bearer "),
}  # fmt: skip

#: Headers of the caller that reach the provider, because they choose how it reads the body. No other one does.
FORWARDED = frozenset({b"anthropic-version", b"anthropic-beta"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a provider's API is. `prefix` stands before every path."""

    scheme: str
    host: str
    port: int
    prefix: str

    @property
    def authority(self) -> str:
        """The `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = 443 if self.scheme == "https" else 80
        return host if self.port == usual else f"{host}:{self.port}"


def place_of(kind: str, base_url: str) -> Place:
    """Takes a base URL apart. Raises ConfigError for one that cannot be dialled."""
    parts = urlsplit(base_url or KINDS[kind].base_url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if not parts.hostname or port == -1 or parts.username or parts.query or parts.fragment:
        raise ConfigError(
            f"{base_url!r} is not the base URL of an API.", hint="Write it like https://api.example.com/v1."
        )
    prefix = parts.path.rstrip("/")
    if KINDS[kind].rooted:
        prefix = prefix.removesuffix("/v1") + "/v1"
    return Place(parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80), prefix)
