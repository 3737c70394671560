"""How long a matter has to last before it is told, and to be gone before it is over. What was seen is kept as plain
records, so that a restart forgets nothing; a clock that steps back or forth only makes a matter wait anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

from costweir.alerts.rules_data import Rule
from costweir.config.alerting import span_of
from costweir.control.incidents import Condition
from costweir.control.runs import instant

#: Nobody knows what was between two looks that are further apart.
_GAP = timedelta(minutes=5)
_RANK = {"critical": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, slots=True)
class Seen:
    """A matter: since when it is seen without a gap, when it was seen last, whether it was told, and what is told."""

    since: datetime
    last: datetime
    told: bool
    condition: Condition

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return {
            "since": instant(self.since), "last": instant(self.last), "told": self.told,
            "condition": asdict(self.condition),
        }  # fmt: skip

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Reads what `to_json` wrote. Raises TypeError, KeyError or ValueError for anything else."""
        return cls(
            datetime.fromisoformat(record["since"]), datetime.fromisoformat(record["last"]), bool(record["told"]),
            Condition(**record["condition"]),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Looked:
    """What one rule saw, and when it looked."""

    at: datetime
    seen: tuple[Seen, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return {"at": instant(self.at), "seen": [seen.to_json() for seen in self.seen]}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Reads what `to_json` wrote. Raises as `Seen.from_json`."""
        return cls(datetime.fromisoformat(record["at"]), tuple(Seen.from_json(one) for one in record["seen"]))

    def told(self) -> list[Condition]:
        """What is told now."""
        return [seen.condition for seen in self.seen if seen.told]


def due(rule: Rule, looked: Looked | None, now: datetime) -> bool:
    """Whether a rule is to be looked at again. A look in the future was noted by a clock that was wrong."""
    if looked is None or looked.at > now:
        return True
    # The turns of a schedule are never exactly an interval apart.
    return now - looked.at >= rule.interval - timedelta(seconds=5)


def lasting(rule: Rule, found: Sequence[Condition], before: Looked | None, now: datetime) -> Looked:
    """What is seen after a look: new matters wait until they have lasted, and told ones stay until they are gone long
    enough."""
    patience, keep = span_of(rule.lasting), span_of(rule.keep)
    known = {_place(seen.condition): seen for seen in (before.seen if before else ())}
    gap = max(_GAP, rule.interval * 3)
    seen: dict[tuple[str, str], Seen] = {}
    for condition in found:
        place = _place(condition)
        was = known.get(place)
        since = was.since if was is not None and was.since <= was.last <= now <= was.last + gap else now
        told = (was is not None and was.told) or now - since >= patience
        seen[place] = Seen(since, now, told, condition)
    for place, was in known.items():
        if place not in seen and was.told:
            # From a future clock it is as if it had been seen now.
            last = min(was.last, now)
            if now - last < keep:
                seen[place] = replace(was, last=last)
    return Looked(now, tuple(seen.values()))


def worst(conditions: Sequence[Condition]) -> list[Condition]:
    """One condition for each matter: of several rules about it, what the most severe one says."""
    found: dict[tuple[str, str], Condition] = {}
    for condition in conditions:
        other = found.get(_place(condition))
        if other is None or _RANK[condition.severity] < _RANK[other.severity]:
            found[_place(condition)] = condition
    return list(found.values())


def _place(condition: Condition) -> tuple[str, str]:
    return condition.key, condition.period
