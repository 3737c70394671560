"""Puts token counts of a usage report to the lines of a cost report, where exactly one line can be meant.

Money comes from the cost report alone. Usage that no line takes stays as a line that costs nothing, so that tokens are
complete; a line whose usage is not certain keeps no tokens, so that none is counted twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Claim(Generic[_Key]):
    """What one cost line could take: the key of its usage, or None; `stated` when the line itself says how much."""

    key: _Key | None
    stated: bool = False


def join(claims: Sequence[Claim[_Key]], usage: Mapping[_Key, int]) -> tuple[list[int | None], list[_Key]]:
    """The usage of each claim, or None; and the keys of the usage that no claim has to do with.

    A key that several claims share goes to none of them. Usage of a key that a line states is not left over.
    """
    shared = Counter(claim.key for claim in claims if claim.key is not None)
    taken: set[_Key] = {claim.key for claim in claims if claim.stated and claim.key is not None}
    found: list[int | None] = []
    for claim in claims:
        only = claim.key is not None and shared[claim.key] == 1 and not claim.stated
        if only and claim.key is not None and claim.key in usage:
            taken.add(claim.key)
            found.append(usage[claim.key])
        else:
            found.append(None)
    return found, [key for key, count in usage.items() if count and key not in taken]
