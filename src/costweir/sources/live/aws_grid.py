"""What Cost Explorer answers, taken apart exactly, and the models that a second grid puts to the lines of the first.

The lines of service x usage type (or tag x usage type, service by service) are the money, because only they hold every
service. A grid of product attributes knows the model but holds supported services only; so it names lines and divides
them where its parts add up to the line, and never adds an amount (law L7).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

from costweir.domain.money import exact
from costweir.errors import SourceRejected
from costweir.sources.live.http import unknown_shape

METRICS = ("UnblendedCost", "NetAmortizedCost", "UsageQuantity")
#: Parts that AWS rounds one by one may differ from their line by this much.
_ROUNDING = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class GridLine:
    """One group of one day: the two keys, and the three metrics with their units."""

    day: date
    first: str
    second: str
    unblended: Decimal
    net_amortized: Decimal
    quantity: Decimal
    currency: str
    unit: str
    estimated: bool
    service: str = ""
    tag: str = ""
    model: str = ""

    @property
    def usage_type(self) -> str:
        """The second key, which is the usage type of every grid of lines."""
        return self.second


def read_page(page: Mapping[str, Any]) -> Iterator[GridLine]:
    """The groups of one answer of GetCostAndUsage. Raises SourceRejected for another shape."""
    try:
        for result in page["ResultsByTime"]:
            day = date.fromisoformat(result["TimePeriod"]["Start"])
            for group in result["Groups"]:
                first, second = group["Keys"]
                costs, net, used = (group["Metrics"][name] for name in METRICS)
                yield GridLine(
                    day, first, second,
                    unblended=_exact(costs["Amount"]), net_amortized=_exact(net["Amount"]),
                    quantity=_exact(used["Amount"]), currency=costs["Unit"], unit=used.get("Unit") or "",
                    estimated=bool(result.get("Estimated", False)),
                )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise unknown_shape("Cost Explorer", "GetCostAndUsage", f"{type(error).__name__} {error}") from error


def _exact(text: object) -> Decimal:
    if not isinstance(text, str):
        raise TypeError("an amount is not a text")
    amount = exact(text)
    if not amount.is_finite():
        raise ValueError(f"{text!r} is not an amount")
    return amount


def tag_value(key: str) -> str:
    """The value in `key$value`, split at the first dollar sign because values may have more; empty for no tag."""
    return key.partition("$")[2]


def once(lines: Sequence[GridLine]) -> Sequence[GridLine]:
    """The lines, after a check that no group of a day came twice. Raises SourceRejected."""
    seen: set[tuple[date, str, str, str]] = set()
    for line in lines:
        key = (line.day, line.service, line.first, line.second)
        if key in seen:
            raise SourceRejected(
                f"Cost Explorer gave {line.first} {line.second} of {line.day} twice.",
                hint="Nothing was loaded, because one of the two may be wrong; run it again.",
            )
        seen.add(key)
    return lines


def with_models(lines: Sequence[GridLine], models: Sequence[GridLine]) -> list[GridLine]:
    """`lines` with the model where `models` (model x usage type) tells it beyond doubt; their sums stay the same."""
    known: defaultdict[tuple[date, str], list[GridLine]] = defaultdict(list)
    for part in models:
        known[part.day, part.usage_type].append(replace(part, model=tag_value(part.first)))
    together: defaultdict[tuple[date, str], list[GridLine]] = defaultdict(list)
    for line in lines:
        together[line.day, line.usage_type].append(line)
    return [
        named
        for place, group in together.items()
        for named in (_named(group, known[place]) if place in known else group)
    ]


def _named(lines: Sequence[GridLine], parts: Sequence[GridLine]) -> Sequence[GridLine]:
    if len(parts) == 1 and _equal(lines, parts):
        return [replace(line, model=parts[0].model) for line in lines]
    if len(lines) == 1 and _equal(lines, parts):
        return _divided(lines[0], parts)
    pairs = [[part for part in parts if _same(line, part)] for line in lines]
    used = [found[0] for found in pairs if len(found) == 1]
    return [
        replace(line, model=found[0].model)
        if len(found) == 1 and sum(part is found[0] for part in used) == 1
        else line
        for line, found in zip(lines, pairs, strict=True)
    ]


def _divided(line: GridLine, parts: Sequence[GridLine]) -> Sequence[GridLine]:
    """The parts instead of the line. What rounding left over goes to the largest, so that nothing is gained or lost."""
    whole = sorted(parts, key=lambda part: abs(part.unblended))
    rest, largest = whole[:-1], whole[-1]
    pieces = [*rest, replace(
        largest,
        unblended=line.unblended - sum((part.unblended for part in rest), Decimal(0)),
        net_amortized=line.net_amortized - sum((part.net_amortized for part in rest), Decimal(0)),
        quantity=line.quantity - sum((part.quantity for part in rest), Decimal(0)),
    )]  # fmt: skip
    return [
        replace(
            piece,
            first=line.first,
            service=line.service,
            tag=line.tag,
            unit=line.unit,
            estimated=line.estimated,
        )
        for piece in pieces
    ]


def _same(line: GridLine, part: GridLine) -> bool:
    return (line.unblended, line.quantity) == (
        part.unblended,
        part.quantity,
    ) and line.currency == part.currency


def _equal(lines: Sequence[GridLine], parts: Sequence[GridLine]) -> bool:
    return {line.currency for line in lines} == {part.currency for part in parts} and all(
        abs(sum((getattr(line, name) for line in lines), -sum(getattr(part, name) for part in parts)))
        <= _ROUNDING
        for name in ("unblended", "net_amortized", "quantity")
    )


def differing_models(models: Sequence[GridLine], kinds: Sequence[GridLine]) -> tuple[str, ...]:
    """The models whose cost by usage type and by inference type differ by a cent or more: a check of the attributes."""
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for part in models:
        sums[tag_value(part.first)] += part.unblended
    for part in kinds:
        sums[tag_value(part.first)] -= part.unblended
    return tuple(sorted(name for name, left in sums.items() if abs(left) >= Decimal("0.01")))
