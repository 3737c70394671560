"""A look sees what is wrong in real stores, tells it once, and forgets nothing when it is interrupted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import bills
import pytest

from costweir import config
from costweir.alerts import Watched, watch
from costweir.alerts.rules_data import Watch
from costweir.alerts.rules_facts import _TABLES, Facts  # pyright: ignore[reportPrivateUsage]
from costweir.alerts.rules_tables import silence
from costweir.alerts.watch import Memory
from costweir.control import Budget, Control
from costweir.control.pulls import PullState
from costweir.errors import ConfigError, Unreachable
from costweir.store.engines.duckdb import DuckDBWarehouse

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SIX = timedelta(hours=6)
FAILED = Watched(PullState("aws", status="failed", note="The key is expired."), SIX)
WELL = Watched(PullState("aws", status="ok", last_success="2026-11-20T11:00:00.000Z"), SIX)


class World:
    """A store, a control database, and what a look says about them."""

    def __init__(self, folder: Path, *, rows: str = "") -> None:
        self.folder = folder
        self.store = DuckDBWarehouse.open(Path(":memory:"))
        self.store.migrate()
        self.control = Control.open(folder / "control.db")
        self.number = 0
        self.set(rows)

    def set(self, rows: str) -> None:
        """Other settings."""
        file = self.folder / "costweir.toml"
        file.write_text(
            rows or '[[models]]\nid = "big"\nprovider = "up"\nupstream = "o9"\n'
            '[[providers]]\nid = "up"\nkind = "openai"\nbase_url = "https://up.example/v1"\n',
            encoding="utf-8",
        )  # fmt: skip
        self.settings = config.load(path=file, environ={"COSTWEIR_DATA_DIR": str(self.folder)})

    def budget(self, name: str, limit: str, **scope: str) -> None:
        """A budget of a month."""
        self.control.add(Budget(name, {"scope": scope, "limit_usd": limit, "window": "month"}))

    def calls(self, cost: str, ago: timedelta, count: int = 1, **given: Any) -> None:
        """Calls that began so long ago."""
        self.store.append([
            bills.call(
                self.number + index, started_at=(NOW - ago).replace(tzinfo=None), settled_usd=Decimal(cost),
                **{"session_id": "untagged", **given}
            )
            for index in range(count)
        ])  # fmt: skip
        self.number += count

    def bill(self, *rows: Mapping[str, Any], **load: Any) -> None:
        """Bill lines."""
        load = {"loaded_at": NOW - timedelta(hours=6), **load}
        bills.store(self.store, self.folder, rows, **load)

    def look(
        self,
        *,
        minute: float = 0,
        watched: Sequence[Watched] = (),
        told: Any = None,
        at: datetime | None = None,
    ) -> list[str]:
        """The keys of what is wrong after a look."""
        now = (at or NOW) + timedelta(minutes=minute)
        watch(self.control, self.store, watched, settings=self.settings, now=now, told=told)
        return self.wrong()

    def wrong(self) -> list[str]:
        """The keys of what is wrong."""
        return sorted(row.key for row in self.control.incidents.listed(states=("open",)))

    def texts(self) -> dict[str, str]:
        """What is told of each."""
        return {row.key: row.text for row in self.control.incidents.listed(states=("open",))}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.control.close()
    made.store.close()


def lines(cost: str, *, days: int, last: date = date(2026, 11, 19), **given: Any) -> list[dict[str, Any]]:
    return [
        bills.line(cost=cost, usage_date=last - timedelta(days=number), **given) for number in range(days)
    ]


def test_nothing_is_wrong_in_an_empty_house(world: World) -> None:
    assert world.look() == []
    assert world.look(minute=1) == []


def test_a_healthy_house_is_silent(world: World) -> None:
    world.budget("all", "1000")
    world.bill(*lines("20", days=60))
    for day in range(40):
        for hour in range(24):
            world.calls("0.10", timedelta(days=day, hours=hour, minutes=2), 2)
    for minute in (0, 1, 2, 70):
        assert world.look(minute=minute) == []


# Sources ------------------------------------------------------------------------------------------------------------


def test_a_failed_pull_is_wrong_until_one_succeeds(world: World) -> None:
    assert world.look(watched=[FAILED]) == ["run_failed:aws"]
    assert "The key is expired." in world.texts()["run_failed:aws"]
    assert world.look(watched=[FAILED], minute=1) == ["run_failed:aws"]
    assert world.look(watched=[WELL], minute=2) == []


@pytest.mark.parametrize(
    ("state", "late"),
    [
        (PullState("a", status="ok", last_success="2026-11-19T13:00:00.000Z"), False),
        (PullState("a", status="ok", last_success="2026-11-19T11:00:00.000Z"), True),
        (PullState("a", status="running", first_seen="2026-11-19T11:00:00.000Z"), True),
        (PullState("a", first_seen="2026-11-19T11:00:00.000Z"), True),
        (PullState("a"), False),
    ],
)
def test_a_connection_that_nobody_pulls_is_late(world: World, state: PullState, late: bool) -> None:
    assert world.look(watched=[Watched(state, SIX)]) == (["source_late:a"] if late else [])


def test_a_source_that_ends_too_early_is_late_and_a_sample_never_is(world: World) -> None:
    rows = lines("1", days=40, last=date(2026, 11, 14))
    world.bill(*rows, sample=True)
    assert world.look() == []
    world.bill(*rows, loaded_at=datetime(2026, 11, 15, tzinfo=UTC))
    assert world.look(minute=1) == ["source_late:aws-cur2"]
    assert "complete to 2026-11-15 only" in world.texts()["source_late:aws-cur2"]
    world.bill(*lines("1", days=40))
    assert world.look(minute=2) == []


def test_more_lines_in_quarantine_are_wrong_until_they_are_gone(world: World) -> None:
    for minute, (count, wrong) in enumerate([(0, False), (2, True), (5, True), (0, False)]):
        set_quarantine(world.store, count)
        if minute == 0:
            world.bill(*lines("1", days=5))
        assert world.look(minute=minute) == (["quarantine_grew:aws-cur2"] if wrong else [])


def set_quarantine(store: DuckDBWarehouse, count: int) -> None:
    """What a later load would say, without its rows."""
    store._connection.execute("UPDATE loads SET rows_quarantined = ?", [count])  # type: ignore[attr-defined]


# Money --------------------------------------------------------------------------------------------------------------


def test_a_burst_burns_a_budget_and_is_over_when_it_is(world: World) -> None:
    world.budget("all", "720")
    world.calls("20", timedelta(minutes=2))
    assert world.look() == ["spend_burn:all"]
    [row] = world.control.incidents.listed()
    assert (row.severity, row.value, row.limit) == ("critical", "20", "14.4")
    assert "20.00 USD in the last hour" in row.text
    assert row.link == "/live/budgets/edit?id=all"
    assert world.look(minute=4) == ["spend_burn:all"]
    assert world.look(minute=9) == []


def test_a_large_burst_is_one_matter_that_gets_milder(world: World) -> None:
    world.budget("all", "720")
    world.calls("200", timedelta(minutes=2))
    assert world.look() == ["spend_burn:all"]
    texts = [
        world.texts()["spend_burn:all"]
        for minute in (0, 9, 45, 300)
        if world.look(minute=minute) == ["spend_burn:all"]
    ]
    assert [text.partition(" USD in ")[2].partition(" of ")[0] for text in texts] == [
        "the last hour", "6 hours", "3 days", "3 days",
    ]  # fmt: skip
    assert len(world.control.incidents.listed()) == 1
    assert world.look(minute=24 * 60) == []


def test_a_small_budget_has_a_floor(world: World) -> None:
    world.budget("one", "8", customer="acme")
    world.calls("0.16", timedelta(minutes=2))
    assert world.look() == []
    world.calls("5", timedelta(minutes=2))
    assert world.look(minute=1) == ["spend_burn:one"]
    [row] = world.control.incidents.listed()
    assert row.severity == "warning"


def test_a_budget_of_a_model_knows_it_by_the_name_of_its_provider(world: World) -> None:
    world.budget("big", "720", model="big")
    world.budget("other", "720", model="other")
    world.calls("20", timedelta(minutes=2), model="o9")
    assert world.look() == ["spend_burn:big"]


def test_a_month_that_will_not_last_is_told_before_it_is_over(world: World) -> None:
    world.budget("all", "100")
    world.budget("globex", "100", customer="globex")
    world.bill(*lines("4", days=30))
    assert world.look() == ["spend_overrun:all"]
    text = world.texts()["spend_overrun:all"]
    assert "at 120.00 USD, 120 % of its 100.00 USD" in text
    [row] = world.control.incidents.listed()
    assert row.period == "2026-11"


def test_a_month_that_is_over_its_limit_already_needs_no_projection(world: World) -> None:
    world.budget("all", "50")
    world.bill(*lines("4", days=30))
    assert world.look() == []


def test_a_projection_needs_a_week(world: World) -> None:
    world.budget("all", "10")
    world.bill(*lines("4", days=6))
    assert "spend_overrun:all" not in world.look()


def test_bills_reach_a_budget_that_no_gateway_holds(world: World) -> None:
    world.store.mirror(
        "budgets", ("id", "scope_kind", "scope_id", "scope_parts", "limit_usd", "budget_window", "timezone", "mode"),
        [("acme", "customer", "acme", '{"customer": "acme"}', Decimal(100), "month", "UTC", "strict"),
         ("all", "global", "", "{}", Decimal(50), "month", "UTC", "strict")],
    )  # fmt: skip
    world.bill(*lines("80", days=1))
    assert world.look() == ["billed_exceeded:all:month", "billed_threshold:acme:month"]
    told = {"events": [{"kind": "threshold", "budget": "acme", "threshold": 50}]}
    assert world.look(minute=20, told=told) == ["billed_exceeded:all:month"]


def test_an_hour_that_costs_three_times_the_usual(world: World) -> None:
    for hour in range(36 * 24):
        world.calls("1", timedelta(hours=hour, minutes=90))
    assert world.look() == []
    world.calls("3", timedelta(minutes=1))
    assert "spend_spike" not in world.look(minute=20)
    world.calls("5", timedelta(minutes=1))
    assert "spend_spike" in world.look(minute=40)
    assert "the same hour of 5 weeks" in world.texts()["spend_spike"]


def test_calls_that_cost_much_in_an_hour_and_last(world: World) -> None:
    world.calls("101", timedelta(minutes=1))
    assert world.look() == []
    assert [world.look(minute=minute) for minute in range(1, 12)][-1] == ["spend_rate"]


def test_a_model_that_nobody_used_before(world: World) -> None:
    for day in range(12):
        world.calls("1", timedelta(days=day, minutes=1))
    world.calls("0.99", timedelta(minutes=1), model="o9")
    assert world.look() == []
    world.calls("0.02", timedelta(minutes=1), model="o9")
    assert world.look(minute=6) == ["new_model:o9"]
    assert "where=model=o9" in world.control.incidents.listed()[0].link


def test_in_a_new_house_every_model_is_new_and_none_is_told(world: World) -> None:
    for day in range(5):
        world.calls("2", timedelta(days=day, minutes=1), model=f"m{day}")
    assert world.look() == []


def test_a_model_outside_the_approved_list(world: World) -> None:
    bills.refer(world.store)
    world.calls("10.50", timedelta(hours=3), customer="acme", model="o9")
    world.calls("10.50", timedelta(hours=3), customer="initech", model="o9")
    assert world.look() == ["unapproved_model:acme:o9"]
    world.bill(
        bills.line(cost="10.50", usage_date=date(2026, 11, 19), x_model="o8", x_customer="acme"),
        bills.line(cost="9.50", usage_date=date(2026, 11, 19), x_model="o7", x_customer="acme"),
    )
    assert "unapproved_model_billed:acme:o8:2026-11-19" in world.look(minute=1)


def test_lines_without_a_model_and_without_a_customer(world: World) -> None:
    world.bill(
        *lines("10", days=20),
        *lines("1", days=20, x_model="unknown"),
        *lines("4", days=20, x_customer="untagged"),
    )
    assert world.look() == ["unknown_skus:aws", "untagged_spend:aws"]


# Calls --------------------------------------------------------------------------------------------------------------


def test_a_session_that_runs_away(world: World) -> None:
    world.calls("0.02", timedelta(minutes=9), 16, session_id="s9")
    world.calls("0.02", timedelta(minutes=9), 40)
    assert world.look() == ["runaway_session:acme:s9"]
    assert world.control.incidents.listed()[0].link == "/live/sessions/s9?customer=acme"
    assert world.look(minute=50) == ["runaway_session:acme:s9"]
    # It made no call for an hour now, and ten minutes later it is believed.
    assert world.look(minute=55) == ["runaway_session:acme:s9"]
    assert world.look(minute=61) == []


def failing(world: World, kind: str, minutes: Sequence[int], provider: str) -> list[list[str]]:
    """What is wrong after each minute in which ten calls fail."""
    found: list[list[str]] = []
    for minute in minutes:
        world.calls("0", -timedelta(minutes=minute), 10, outcome="error", error_type=kind, provider=provider)
        found.append(world.look(minute=minute + 0.5))
    return found


def test_what_was_asked_wrongly_is_no_failure_of_a_provider(world: World) -> None:
    assert failing(world, "upstream_400", range(8), "gcp") == [[]] * 8


def test_a_provider_that_fails_is_told_after_two_minutes_and_its_share_after_three(world: World) -> None:
    found = failing(world, "upstream_503", range(6), "gcp")
    assert found[:2] == [[], []]
    assert found[2] == ["provider_down:gcp"]
    assert found[5] == ["error_spike:gcp", "provider_down:gcp"]
    assert world.look(minute=30) == []


def test_few_calls_say_nothing(world: World) -> None:
    world.calls("0", timedelta(0), 4, outcome="error", error_type="connect", duration_ms=60_000)
    assert [world.look(minute=minute) for minute in range(7)][-1] == []


def test_calls_that_take_too_long(world: World) -> None:
    found: list[str] = []
    for minute in range(7):
        world.calls("0", -timedelta(minutes=minute), 94, duration_ms=900)
        world.calls("0", -timedelta(minutes=minute), 6, duration_ms=10_001)
        found = world.look(minute=minute + 0.5)
    assert found == ["high_latency:aws:claude-sonnet-4-6"]


def test_calls_without_a_price(world: World) -> None:
    world.store.append([bills.call(1, started_at=NOW.replace(tzinfo=None), settled_usd=None)])
    assert world.look() == ["unpriced_calls:aws:claude-sonnet-4-6"]


def test_what_the_guard_told_is_told_once_for_each_window(world: World) -> None:
    row = {
        "kind": "threshold", "who": "acme-day", "budget": "acme-day", "scope": "", "window": "day:2026-11-20",
        "threshold": 80, "spent_usd": "0.81", "limit_usd": "1.00", "one": False,
    }  # fmt: skip
    told = {"events": [row, {**row, "threshold": 50}], "balances": []}
    for minute in range(3):
        assert world.look(minute=minute, told=told) == ["budget_threshold:acme-day::day:2026-11-20:80"]
    assert len(world.control.incidents.listed()) == 1
    [told_row] = world.control.incidents.listed()
    assert (told_row.value, told_row.limit, told_row.period) == ("0.81 USD", "1.00 USD", "day:2026-11-20")


# The look itself ----------------------------------------------------------------------------------------------------


class Blind:
    """A store that does not answer."""

    def snapshot(self) -> Any:
        raise Unreachable("The store does not answer.", hint="Wait.")

    def query(self, sql: str, params: object = None) -> Any:
        raise Unreachable("The store does not answer.", hint="Wait.")


def test_a_store_that_does_not_answer_hides_nothing_and_ends_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.calls("0.40", timedelta(minutes=1), session_id="s9")
    assert world.look() == ["runaway_session:acme:s9"]
    row = {
        "kind": "threshold", "who": "b", "budget": "b", "scope": "", "window": "day:2026-11-20", "threshold": 80,
        "spent_usd": "1", "limit_usd": "1", "one": False,
    }  # fmt: skip
    watch(
        world.control, Blind(), [FAILED], settings=world.settings, now=NOW + timedelta(minutes=2),  # type: ignore[arg-type]
        told={"events": [row]},
    )  # fmt: skip
    assert world.wrong() == [
        "budget_threshold:b::day:2026-11-20:80",
        "run_failed:aws",
        "runaway_session:acme:s9",
    ]
    [warning] = [record for record in caplog.records if "could not be looked at" in record.message]
    assert "The store does not answer." in warning.message


def test_rules_of_bills_are_looked_at_anew_after_a_load(world: World) -> None:
    assert world.look() == []
    world.bill(*lines("50", days=5, x_model="unknown"))
    assert world.look(minute=1) == ["unknown_skus:aws"]


def test_a_rule_that_is_switched_off_ends_what_it_told(world: World) -> None:
    world.calls("0.40", timedelta(minutes=1), session_id="s9")
    assert world.look() == ["runaway_session:acme:s9"]
    world.set('[[alerts]]\nid = "runaway_session"\nenabled = false\n')
    assert world.look(minute=1) == []


def test_a_rule_that_was_added_is_watched(world: World) -> None:
    world.set('[[alerts]]\nid = "dear_key"\nquestion = "recent"\nby = "key"\nfield = "cost_1h"\nabove = "1"\n'
              'severity = "critical"\nteam = "night"\n')  # fmt: skip
    world.calls("1.01", timedelta(minutes=1))
    assert world.look() == ["dear_key:k1"]
    [row] = world.control.incidents.listed()
    assert (row.severity, row.team, row.event) == ("critical", "night", "dear_key")


def test_a_row_that_fits_no_rule_is_refused(world: World) -> None:
    world.set('[[alerts]]\nid = "nothing_such"\n')
    with pytest.raises(ConfigError, match="nothing_such"):
        world.look()


def test_a_long_silence_is_told_by_who_looks_again(world: World) -> None:
    def told(before: int, now: int) -> dict[str, Any]:
        return {"silence": silence(NOW + timedelta(minutes=before), NOW + timedelta(minutes=now))}

    assert world.look(told=told(-1, 0)) == []
    assert world.look(minute=14, told=told(0, 14)) == []
    assert world.look(minute=40, told=told(14, 40)) == ["nobody_watched"]
    assert "for 26 minutes after 2026-11-20 12:14 UTC" in world.texts()["nobody_watched"]
    assert world.look(minute=41, told=told(40, 41)) == ["nobody_watched"]
    assert [world.look(minute=minute, told=told(minute - 1, minute)) for minute in range(42, 58)][-1] == []


def test_a_fault_in_one_rule_silences_no_other_and_is_told_in_the_end(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_self: Facts, _watch: Watch) -> Any:
        raise ZeroDivisionError("a fault")

    monkeypatch.setitem(_TABLES, "machine", broken)
    for minute in range(16):
        assert world.look(minute=minute, watched=[FAILED]) == ["run_failed:aws"]
    assert world.look(minute=17, watched=[FAILED]) == ["rules_blind", "run_failed:aws"]
    assert "for 16 minutes: disk_low" in world.texts()["rules_blind"]
    assert "disk_low could not be looked at; this is a fault" in caplog.text
    monkeypatch.undo()
    assert world.look(minute=18, watched=[FAILED]) == ["run_failed:aws"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"at": 3, "loads": "", "rules": {}}', "no JSON"])
def test_a_memory_that_cannot_be_read_is_a_fresh_one(text: str) -> None:
    assert Memory.read(text) == Memory()
