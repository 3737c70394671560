"""How the pulls of each live source went: when it was last tried, when it last succeeded, and what was said. It
is written by whoever pulls and read by the schedule and the alerts, so a restart forgets nothing."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from costweir.control.control import Control

_KEY = "pull:"


@dataclass(frozen=True, slots=True)
class PullState:
    """The last pull of one connection. Instants are RFC 3339 in UTC, empty while there was none.

    `status` is empty, `running`, `ok`, `failed` or `interrupted`. `failures` counts the failures since the last
    success. `covered_on` is the day whose open months were read in full; a pull after downtime starts there.
    """

    id: str
    first_seen: str = ""
    last_attempt: str = ""
    last_success: str = ""
    covered_on: str = ""
    status: str = ""
    note: str = ""
    hint: str = ""
    transient: bool = False
    failures: int = 0

    def to_json(self) -> dict[str, object]:
        """All fields."""
        return asdict(self)


def pull_state(control: Control, connection: str) -> PullState:
    """What is remembered of a connection; an empty state for one that was never tried."""
    held = control.get(_KEY + connection)
    return PullState(**json.loads(held)) if held else PullState(connection)


def remember_pull(control: Control, state: PullState) -> None:
    """Keeps the state of a connection."""
    control.put(_KEY + state.id, json.dumps(state.to_json(), ensure_ascii=False))
