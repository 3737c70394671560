from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from costweir.control import Budget, Control, Customer, Plan
from costweir.errors import NotFound


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    with Control.open(tmp_path / "control.db") as opened:
        yield opened


def test_what_is_stopped_is_listed_until_it_is_let_through(control: Control) -> None:
    control.stops.put({"session": "s1"}, by="ops", reason="it loops")
    control.stops.put({}, by="ops")

    assert [(stop.subject, stop.reason) for stop in control.stops.listed()] == [
        ("session=s1", "it loops"),
        ("everything", ""),
    ]

    control.stops.drop({}, by="ops")
    assert [stop.subject for stop in control.stops.listed()] == ["session=s1"]
    with pytest.raises(NotFound):
        control.stops.drop({}, by="ops")


def test_every_change_that_the_gateway_has_to_know_makes_the_revision_grow(control: Control) -> None:
    changes = (
        lambda: control.add(Plan("t1")),
        lambda: control.add(Plan("t1", budget_usd="8")),
        lambda: control.add(Customer("acme", plan="t1")),
        lambda: control.add(Budget("b", {"limit_usd": "1"})),
        lambda: control.drop(Budget, "b"),
        lambda: control.drop(Customer, "acme"),
        lambda: control.stops.put({}, by="ops"),
        lambda: control.stops.drop({}, by="ops"),
        lambda: control.stops.lift("big", 7, by="ops"),
        lambda: control.stops.confirm_clock(by="ops"),
    )
    seen = [control.stops.revision]
    for change in changes:
        change()
        seen.append(control.stops.revision)

    assert all(later > earlier for earlier, later in pairwise(seen)), seen


def test_a_change_that_the_gateway_need_not_know_leaves_the_revision(control: Control) -> None:
    before = control.stops.revision
    control.put("note", "x")
    control.save_view("mine", "/explore")

    assert control.stops.revision == before


def test_switches_are_audited(control: Control) -> None:
    control.stops.put({"customer": "acme"}, by="ops")
    control.stops.lift("big", 7, by="ops")
    control.stops.confirm_clock(by="ops")

    assert [row.action for row in control.audit.listed()] == ["clock.confirm", "model.lift", "stop.put"]
    assert control.audit.verify().ok
    assert control.stops.lifted() == {"big": 7}
    assert control.stops.clock_confirmed == 1
