"""Which addresses a provider may have: public ones, private ones when that is set, and never the machine's own
surroundings."""

from __future__ import annotations

import asyncio
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costweir.gateway.upstream.address import Resolver, forbidden
from costweir.gateway.upstream.faults import AddressRefused, UpstreamFault

PRIVATE = (
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "127.0.0.1",
    "100.64.0.1",
    "::1",
    "fd12::1",
    "::ffff:10.0.0.1",
)
NEVER = (
    "169.254.169.254", "169.254.0.1", "fe80::1", "fd00:ec2::254", "100.100.100.200", "0.0.0.0", "::", "224.0.0.1",
    "ff02::1", "255.255.255.255", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
)  # fmt: skip


@pytest.mark.parametrize("text", PRIVATE)
def test_a_private_address_needs_leave(text: str) -> None:
    assert forbidden(ipaddress.ip_address(text), allow_private=False)
    assert not forbidden(ipaddress.ip_address(text), allow_private=True)


@pytest.mark.parametrize("text", NEVER)
@pytest.mark.parametrize("allow_private", [False, True])
def test_metadata_and_addresses_of_no_host_are_never_dialled(text: str, allow_private: bool) -> None:
    assert forbidden(ipaddress.ip_address(text), allow_private=allow_private)


@pytest.mark.parametrize("text", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_a_public_address_may_be_dialled(text: str) -> None:
    assert not forbidden(ipaddress.ip_address(text), allow_private=False)


@given(st.ip_addresses())
def test_leave_for_private_addresses_only_ever_opens_more(address: ipaddress.IPv4Address) -> None:
    if not forbidden(address, allow_private=False):
        assert not forbidden(address, allow_private=True)


def resolve(
    *answers: list[str], allow_private: bool = False, times: int = 1, step: float = 0
) -> list[tuple[str, ...]]:
    asked = iter(answers)

    async def lookup(host: str, port: int) -> list[str]:
        return next(asked)

    resolver = Resolver("api.example", 443, allow_private=allow_private, lookup=lookup)

    async def run() -> list[tuple[str, ...]]:
        return [await resolver.addresses(turn * step) for turn in range(times)]

    return asyncio.run(run())


def test_a_name_that_also_points_inside_is_not_trusted_at_all() -> None:
    with pytest.raises(AddressRefused, match=r"10\.0\.0\.1"):
        resolve(["8.8.8.8", "10.0.0.1"])


def test_a_name_is_checked_again_when_its_answer_is_old() -> None:
    assert resolve(["8.8.8.8"], times=2, step=1) == [("8.8.8.8",)] * 2
    with pytest.raises(AddressRefused, match=r"169\.254") as caught:
        resolve(["8.8.8.8"], ["169.254.169.254"], times=2, step=60)
    assert "never dialled" in caught.value.hint
    with pytest.raises(AddressRefused) as caught:
        resolve(["10.0.0.1"])
    assert "allow_private = true" in caught.value.hint


def test_a_name_that_does_not_resolve_was_never_sent_anything() -> None:
    async def lookup(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    with pytest.raises(UpstreamFault) as caught:
        asyncio.run(Resolver("api.example", 443, lookup=lookup).addresses(0))
    assert not caught.value.sent
