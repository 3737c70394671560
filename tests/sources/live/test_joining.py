"""Tokens go to a line only where no other line could claim them, and no token is lost or counted twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from costweir.sources.live.joining import Claim, join

keys = st.sampled_from(["a", "b", "c", "d"])
claims = st.lists(st.builds(Claim, key=st.none() | keys, stated=st.booleans()), max_size=8)
usages = st.dictionaries(keys, st.integers(0, 1000), max_size=4)


@given(claims, usages)
def test_every_token_is_on_one_line_or_left_over_or_stated(
    given_claims: list[Claim[str]], usage: dict[str, int]
) -> None:
    found, left = join(given_claims, usage)

    stated = {claim.key for claim in given_claims if claim.stated}
    counted = sum(count or 0 for count in found) + sum(usage[key] for key in left)
    assert counted == sum(count for key, count in usage.items() if key not in stated)


@given(claims, usages)
def test_a_line_takes_only_its_own_usage_and_only_alone(
    given_claims: list[Claim[str]], usage: dict[str, int]
) -> None:
    found, _ = join(given_claims, usage)

    for claim, count in zip(given_claims, found, strict=True):
        alone = sum(other.key == claim.key for other in given_claims) == 1
        wanted = usage.get(claim.key) if claim.key and alone and not claim.stated else None
        assert count == wanted
