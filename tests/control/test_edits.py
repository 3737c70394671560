"""Changes by hand: each leaves its row in the chain, and nobody overwrites what they have not seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costweir import config
from costweir.control import Budget, Control, Customer, Plan
from costweir.control.edits import ABSENT, version_of
from costweir.errors import Conflict, NotFound, UsageError


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    file = tmp_path / "costweir.toml"
    file.write_text(
        'plans = [{ id = "file", price_usd = "9" }]\ncustomers = [{ id = "held", plan = "file" }]\n',
        encoding="utf-8",
    )
    with Control.open(tmp_path / "control.db") as opened:
        opened.sync(config.load(path=file, environ={}))
        opened.edits.put(Plan("team", "Team", price_usd="99.00"), by="ada")
        yield opened


def actions(control: Control) -> list[tuple[str, str, str]]:
    return [(row.actor, row.action, row.subject) for row in control.audit.listed()]


def test_a_change_is_written_and_audited_and_none_leaves_no_row(control: Control) -> None:
    acme = Customer("acme", "Acme", "team", "2026-01-01")
    assert control.edits.put(acme, by="ada", expected=ABSENT).before is None
    assert actions(control)[0] == ("ada", "customer.put", "customer:acme")
    count = len(control.audit.listed())
    assert not control.edits.put(acme, by="bob").changed
    assert len(control.audit.listed()) == count
    done = control.edits.put(Customer("acme", "Acme Ltd", "team"), by="bob")
    assert done.before
    assert (done.before["name"], control.customers()[0].name) == ("Acme", "Acme Ltd")
    control.edits.remove(Customer, "acme", by="bob")
    assert [row.id for row in control.customers()] == ["held"]
    assert control.audit.verify().ok


def test_somebody_who_saw_an_older_version_changes_nothing(control: Control) -> None:
    control.edits.put(Customer("acme", "Acme"), by="ada")
    seen = version_of(control.edits.put(Customer("acme", "Acme A"), by="ada").after)
    control.edits.put(Customer("acme", "Acme B"), by="bob", expected=seen)
    with pytest.raises(Conflict, match="Somebody changed the customer 'acme' after you opened it"):
        control.edits.put(Customer("acme", "Acme C"), by="ada", expected=seen)
    with pytest.raises(Conflict, match="Somebody changed"):
        control.edits.remove(Customer, "acme", by="ada", expected=seen)
    with pytest.raises(Conflict, match="There is a customer 'acme' already"):
        control.edits.put(Customer("acme", "new"), by="ada", expected=ABSENT)
    control.edits.remove(Customer, "acme", by="bob")
    with pytest.raises(Conflict, match="Somebody removed"):
        control.edits.put(Customer("acme", "Acme C"), by="ada", expected=seen)
    assert [row.id for row in control.customers()] == ["held"]


def test_what_the_file_sets_is_not_changed_by_hand(control: Control) -> None:
    with pytest.raises(Conflict, match="set in the configuration file"):
        control.edits.put(Customer("held", "mine"), by="ada")
    with pytest.raises(Conflict, match="set in the configuration file"):
        control.edits.remove(Plan, "file", by="ada")


def test_plans_and_customers_stay_consistent(control: Control) -> None:
    with pytest.raises(UsageError, match="no plan 'nowhere'"):
        control.edits.put(Customer("acme", plan="nowhere"), by="ada")
    control.edits.put(Customer("acme", plan="team"), by="ada")
    with pytest.raises(Conflict, match="Customers are on the plan 'team'"):
        control.edits.remove(Plan, "team", by="ada")
    with pytest.raises(NotFound, match="no plan 'nowhere'"):
        control.edits.remove(Plan, "nowhere", by="ada")


def test_an_entry_of_the_sample_world_is_covered_and_uncovered(control: Control) -> None:
    control.replace(Customer, "demo", [Customer("kestrel", "Kestrel", origin="demo")])
    with pytest.raises(Conflict, match="sample world"):
        control.edits.remove(Customer, "kestrel", by="ada")
    control.edits.put(Customer("kestrel", "Mine"), by="ada")
    control.edits.remove(Customer, "kestrel", by="ada")
    assert {row.id: row.name for row in control.customers()}["kestrel"] == "Kestrel"


def test_budgets_go_the_same_way(control: Control) -> None:
    control.edits.put(Budget("firm", {"limit_usd": "10", "window": "month"}), by="ada")
    assert actions(control)[0] == ("ada", "budget.put", "budget:firm")
    control.edits.remove(Budget, "firm", by="ada")
    assert control.budgets() == []


def test_views_are_audited(control: Control) -> None:
    control.edits.save_view("mine", "/explore?by=model", by="ada")
    done = control.edits.save_view("mine", "/explore?by=plan", by="bob")
    assert done.before
    assert done.before["link"] == "/explore?by=model"
    assert control.edits.drop_view("mine", by="bob").before
    assert not control.edits.drop_view("mine", by="bob").changed
    assert actions(control)[:3] == [
        ("bob", "view.delete", "view:mine"), ("bob", "view.put", "view:mine"), ("ada", "view.put", "view:mine"),
    ]  # fmt: skip
    with pytest.raises(UsageError, match="not a page of this site"):
        control.edits.save_view("mine", "https://evil.example/", by="ada")


RECORDS = st.dictionaries(st.text(max_size=5), st.none() | st.text(max_size=5) | st.integers(), max_size=4)


@given(RECORDS, RECORDS)
def test_two_records_share_a_version_only_when_they_are_the_same(
    one: dict[str, object], other: dict[str, object]
) -> None:
    assert (version_of(one) == version_of(other)) == (one == other)
    assert version_of(one) != ABSENT
