"""Switches of the gateway: what is stopped, which models may be used again, and that a clock is right. Each is an
audited change, and `policy_revision` grows with it, as with every change of a customer, plan or budget."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from costweir.control.audit import Audit, Change
from costweir.control.database import Database
from costweir.control.runs import instant
from costweir.errors import NotFound

_CLOCK = "clock_confirmed"


@dataclass(frozen=True, slots=True)
class Stop:
    """Calls of `scope` are refused; an empty scope stops every call."""

    scope: Mapping[str, str]
    reason: str = ""
    created_at: str = ""
    created_by: str = ""

    @property
    def subject(self) -> str:
        """The scope as a text: `session=s1`, or `everything`."""
        return ",".join(f"{kind}={value}" for kind, value in self.scope.items()) or "everything"

    def to_json(self) -> dict[str, object]:
        """All fields."""
        return {
            "scope": dict(self.scope), "reason": self.reason, "created_at": self.created_at,
            "created_by": self.created_by,
        }  # fmt: skip


class Stops:
    """The switches of one control database."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit

    @property
    def revision(self) -> int:
        """Grows whenever something changes that the gateway has to know."""
        return self._database.read("SELECT number FROM policy_revision")[0][0]

    def listed(self) -> list[Stop]:
        """Every stop, the oldest first."""
        rows = self._database.read("SELECT * FROM stops ORDER BY created_at, scope")
        return [
            Stop(json.loads(row["scope"]), row["reason"], row["created_at"], row["created_by"])
            for row in rows
        ]

    def put(self, scope: Mapping[str, str], *, by: str, reason: str = "") -> Stop:
        """Refuses every call of `scope` from now on."""
        stop = Stop(dict(scope), reason, instant(datetime.now(UTC)), by)
        with self._database.write() as run:
            run("DELETE FROM stops WHERE scope = ?", (_key(scope),))
            run(
                "INSERT INTO stops VALUES (?, ?, ?, ?)",
                (_key(scope), stop.reason, stop.created_at, stop.created_by),
            )
            self._audit.add(Change(by, "stop.put", f"stop:{stop.subject}", None, stop.to_json()))
        return stop

    def drop(self, scope: Mapping[str, str], *, by: str) -> Stop:
        """Lets calls of `scope` through again. Raises NotFound."""
        found = next((stop for stop in self.listed() if dict(stop.scope) == dict(scope)), None)
        if found is None:
            raise NotFound("That is not stopped.", hint="`costweir budget freeze --list` shows what is.")
        with self._database.write() as run:
            run("DELETE FROM stops WHERE scope = ?", (_key(scope),))
            self._audit.add(Change(by, "stop.delete", f"stop:{found.subject}", found.to_json(), None))
        return found

    def lifted(self) -> dict[str, int]:
        """Models, and the nanosecond up to which their suspensions are lifted."""
        return {row["model"]: row["until"] for row in self._database.read("SELECT model, until FROM lifted")}

    def lift(self, model: str, until: int, *, by: str) -> None:
        """Lets strict budgets use a model again that broke its bound before the nanosecond `until`."""
        with self._database.write() as run:
            run(
                "INSERT INTO lifted VALUES (?, ?) ON CONFLICT DO UPDATE SET until = excluded.until",
                (model, until),
            )
            self._audit.add(Change(by, "model.lift", f"model:{model}", None, {"until": until}))

    @property
    def clock_confirmed(self) -> int:
        """How often somebody confirmed the machine's clock."""
        rows = self._database.read("SELECT value FROM meta WHERE key = ?", (_CLOCK,))
        return int(rows[0][0]) if rows else 0

    def confirm_clock(self, *, by: str) -> None:
        """Says that the machine's clock is right after a step forward."""
        with self._database.write() as run:
            count = self.clock_confirmed + 1
            run("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_CLOCK, str(count)))
            run("UPDATE policy_revision SET number = number + 1")
            self._audit.add(Change(by, "clock.confirm", "clock", None, {"count": count}))


def _key(scope: Mapping[str, str]) -> str:
    return json.dumps(dict(scope), sort_keys=True, separators=(",", ":"))
