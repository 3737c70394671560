"""A configured provider, ready to be called: its connections, its breaker, and the head of every request to it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field

from costweir import __version__
from costweir.config.tables import Provider
from costweir.gateway.providers.breaker import Breaker
from costweir.gateway.providers.kinds import KINDS, place_of
from costweir.gateway.upstream.address import Resolver
from costweir.gateway.upstream.pool import Bounds, Pool
from costweir.gateway.upstream.reply import Patience


@dataclass(slots=True)
class Link:
    """One provider. `heads` keeps the part of a request's head that never changes, by path; it holds the key.
    `usual` is sent where the caller does not say otherwise."""

    id: str
    kind: str
    pool: Pool
    breaker: Breaker
    retries: int
    prefix: str
    lines: bytes = field(repr=False)
    usual: tuple[tuple[bytes, bytes], ...] = ()
    secret: bytes = field(default=b"", repr=False)
    heads: dict[str, bytes] = field(default_factory=dict[str, bytes], repr=False)

    def request(
        self, path: str, body: bytes, *, request_id: str, extra: Sequence[tuple[bytes, bytes]] = ()
    ) -> bytes:
        """The bytes of one request; `path` stands below the provider's root."""
        head = self.heads.get(path)
        if head is None:
            head = f"POST {self.prefix}{path} HTTP/1.1\r\n".encode() + self.lines
            self.heads[path] = head
        own = b""
        if extra or self.usual:
            given = {name for name, _ in extra}
            usual = [pair for pair in self.usual if pair[0] not in given]
            own = b"".join([b"%b: %b\r\n" % pair for pair in (*extra, *usual)])
        return b"%bx-request-id: %b\r\n%bcontent-length: %d\r\n\r\n%b" % (
            head, request_id.encode(), own, len(body), body,
        )  # fmt: skip

    def masked(self, data: bytes) -> bytes:
        """The data without this provider's key, which a server may echo; as long as before."""
        secret = self.secret
        return data.replace(secret, b"*" * len(secret)) if secret and secret in data else data


def link_of(
    provider: Provider, key: str, *, loop: asyncio.AbstractEventLoop, base_url: str = "", tls: ssl.SSLContext
) -> Link:
    """Prepares a provider. `base_url` stands in for one that the settings leave open. Raises ConfigError."""
    kind = KINDS[provider.kind]
    place = place_of(provider.kind, provider.base_url or base_url)
    headers = [
        ("host", place.authority), ("content-type", "application/json"), ("accept-encoding", "identity"),
        ("user-agent", f"costweir/{__version__}"),
    ]  # fmt: skip
    if key:
        headers.append((kind.auth, kind.scheme + key))
    pool = Pool(
        loop,
        Resolver(place.host, place.port, allow_private=provider.allow_private or bool(base_url)),
        tls=tls if place.scheme == "https" else None,
        patience=Patience(
            provider.connect_seconds,
            provider.first_byte_seconds,
            provider.idle_seconds,
            provider.total_seconds,
        ),
        bounds=Bounds(connections=provider.max_connections),
    )
    return Link(
        provider.id, provider.kind, pool, Breaker(provider.breaker_failures, provider.breaker_seconds),
        provider.retries, place.prefix, "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1"),
        kind.usual, key.encode(),
    )  # fmt: skip
