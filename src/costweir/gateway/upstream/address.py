"""Which address of a provider may be dialled. Names are resolved here, every address is checked, and the checked one
is the one that is dialled, so that a name cannot change its mind in between (SSRF)."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from costweir.gateway.upstream.faults import AddressRefused, UpstreamFault

#: Seconds that a resolved name is kept.
KEPT_SECONDS = 30
#: Where clouds tell a machine its secrets. Never dialled, whatever is allowed.
METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in ("169.254.169.254", "169.254.170.2", "100.100.100.200", "fd00:ec2::254", "192.0.0.192")
)
_ALLOW = "Set allow_private = true on the provider when it is meant to be in your own network."
_NEVER = "Such an address is never dialled; give the provider's own in base_url."

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
#: Host and port in, addresses as text out.
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]


def forbidden(address: Address, *, allow_private: bool) -> str:
    """Why an address must not be dialled, or nothing.

    `allow_private` opens private networks and this machine; link-local and metadata addresses stay closed.
    """
    if isinstance(address, ipaddress.IPv6Address):
        # An IPv4 address can be written inside an IPv6 one.
        inner = address.ipv4_mapped or address.sixtofour or _nat64(address)
        if inner is not None:
            return forbidden(inner, allow_private=allow_private)
    if address in METADATA or address.is_link_local:
        return "an address of the machine's own surroundings"
    if address.is_multicast or address.is_unspecified or (address.is_reserved and not address.is_loopback):
        return "no address of a host"
    if not allow_private and not address.is_global:
        return "an address in a private network"
    return ""


def _nat64(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in ipaddress.ip_network("64:ff9b::/96"):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


async def system_lookup(host: str, port: int) -> Sequence[str]:
    """The addresses of a host as this machine resolves it."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


@dataclass(slots=True)
class Resolver:
    """Resolves one host and keeps the answer for half a minute."""

    host: str
    port: int
    allow_private: bool = False
    lookup: Lookup = system_lookup
    _kept: tuple[str, ...] = ()
    _until: float = 0

    async def addresses(self, now: float) -> tuple[str, ...]:
        """Addresses that may be dialled, in order of preference; `now` is the event loop's time in seconds.

        Raises UpstreamFault for a name that does not resolve, and AddressRefused when any of its addresses is
        forbidden: a name that also points inside is not trusted at all.
        """
        if now < self._until:
            return self._kept
        try:
            texts = await self.lookup(self.host, self.port)
        except OSError as error:
            raise UpstreamFault("resolve", f"{self.host} could not be resolved.", sent=False) from error
        unique = tuple(dict.fromkeys(text.partition("%")[0] for text in texts))
        for text in unique:
            address = ipaddress.ip_address(text)
            why = forbidden(address, allow_private=self.allow_private)
            if why:
                hint = _NEVER if forbidden(address, allow_private=True) else _ALLOW
                raise AddressRefused(f"{self.host} resolves to {text}, which is {why}.", hint=hint)
        self._kept, self._until = unique, now + KEPT_SECONDS
        return unique
