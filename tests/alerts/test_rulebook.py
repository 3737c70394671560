"""The rules are whole, answer every row of the design, and can be changed with one sentence when that goes wrong."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from costweir import config
from costweir.alerts import rulebook
from costweir.alerts.rules_data import FIELDS, Rule, fields_of
from costweir.config.alerting import Alert
from costweir.errors import ConfigError


def with_rows(*rows: dict[str, Any]) -> rulebook.Rulebook:
    return rulebook.overlaid(tuple(Alert.model_validate(row) for row in rows))


def changed(row: dict[str, Any]) -> Rule:
    found = with_rows(row).find(row["id"])
    assert found is not None
    return found


def test_every_alert_of_the_design_has_a_rule() -> None:
    answered = {name for rule in rulebook.shipped() for name in rule.answers}
    assert answered >= {f"ALR-{number:02d}" for number in range(1, 20)}
    assert answered >= {"DSH-23", "SEC-02", "GAP-13", "GAP-14", "CF-13", "CF-14", "CF-15", "CF-16", "CF-26"}


def test_the_schema_beside_the_rules_is_what_is_checked() -> None:
    file = resources.files("costweir.alerts") / "rules.schema.json"
    assert json.loads(file.read_text(encoding="utf-8")) == rulebook.schema(), (
        "write rulebook.schema() into rules.schema.json"
    )


def test_no_rule_holds_a_budget() -> None:
    """CF-13, CF-26: what may be spent is a row that people set; a rule compares with it."""
    for rule in rulebook.shipped():
        if rule.watch is not None and rule.watch.table in (
            "pace",
            "outlook",
            "events",
            "balances",
            "budgets",
        ):
            assert not rule.when[0].field.endswith(("_usd", "_cost")) or rule.when[0].threshold == 0, rule.id


def test_names_and_events_are_apart() -> None:
    rules = rulebook.shipped()
    assert len({rule.id for rule in rules}) == len(rules)
    assert {rule.severity for rule in rules} == {"critical", "warning", "info"}
    assert all(rule.hint for rule in rules)
    # Those of Prometheus are carried by the files that are rendered.
    assert all((rule.watch is None) == (rule.plane == "prometheus") for rule in rules)


def test_what_prometheus_carries_is_in_its_rules() -> None:
    file = Path(rulebook.__file__).parents[1] / "telemetry/stack/data/rules.yaml"
    carried = {
        alert["alert"]: alert for group in yaml.safe_load(file.read_text("utf-8")) for alert in group.get("alerts", ())
    }  # fmt: skip
    for rule in rulebook.shipped():
        assert set(rule.carried) <= set(carried), rule.id
        assert rule.carried or rule.plane == "native", rule.id
        if len(rule.carried) == 1 and rule.carried != ("Heartbeat",):
            told = carried[rule.carried[0]]
            assert (told["severity"], told["team"]) == (rule.severity, rule.team), rule.id


def test_every_table_has_its_fields() -> None:
    for rule in rulebook.shipped():
        if rule.watch is not None and rule.watch.table not in ("question", "heartbeat"):
            assert rule.watch.table in FIELDS
            assert {test.field for test in rule.when} <= fields_of(rule)


def test_a_rule_is_switched_off_and_changed() -> None:
    assert not changed({"id": "error_spike", "enabled": False}).enabled
    assert "error_spike" not in {
        rule.id for rule in with_rows({"id": "error_spike", "enabled": False}).watched()
    }
    spike = changed(
        {"id": "error_spike", "above": "0.10", "least": 50, "for": "10m", "keep": "0", "severity": "warning",
         "team": "night", "where": {"environment": "production"}, "hint": "Call Ann."}
    )  # fmt: skip
    assert spike.when[0].words() == "failed_share > 0.10"
    assert (spike.least.count if spike.least else 0, spike.lasting, spike.keep) == (50, "10m", "0")
    assert (spike.severity, spike.team, spike.hint, spike.origin) == (
        "warning",
        "night",
        "Call Ann.",
        "changed",
    )
    assert spike.watch is not None
    assert dict(spike.watch.where) == {"environment": ("production",)}
    assert spike.watch.by == ("provider",)


def test_a_new_threshold_keeps_its_side_and_the_other_tests() -> None:
    rule = changed({"id": "budget_threshold", "above": "90"})
    assert rule.when[0].at_least == 90
    runaway = changed({"id": "runaway_session", "above": "2.00"})
    assert [test.words() for test in runaway.when] == [
        "cost_1d > 2.00", "calls_1h > 0", "session is not untagged",
    ]  # fmt: skip
    burn = changed({"id": "spend_burn_fast", "floor_usd": "50", "severity": "info"})
    assert (burn.floor.usd if burn.floor else 0, burn.milder, burn.name) == (50, None, "spend_burn")


def test_a_rule_is_added_over_any_question() -> None:
    rule = changed(
        {"id": "dear_feature", "question": "spend", "by": ["feature"], "days": 7, "basis": "metered", "above": "250",
         "where": {"feature": ["chat", "search"]}, "text": "{feature} cost {cost:usd} in a week.",
         "link": "/explore?by=customer&where=feature={feature}", "for": "1h"}
    )  # fmt: skip
    assert (rule.origin, rule.severity, rule.key, rule.lasting) == ("added", "warning", ("feature",), "1h")
    assert rule.to_json()["when"] == "cost > 250"
    plain = changed({"id": "busy", "question": "sessions", "field": "calls", "above": "100"})
    assert plain.key == ("session",)
    assert plain.text == "{session}: calls is {calls}, above 100."


@pytest.mark.parametrize(
    ("row", "sentence", "hint"),
    [
        ({"id": "eror_spike"}, "'eror_spike' is no rule", "Did you mean error_spike?"),
        ({"id": "mine", "question": "spent", "above": "1"}, "no question 'spent'", "Did you mean spend?"),
        ({"id": "mine", "question": "spend"}, "has no threshold", "above or below"),
        ({"id": "mine", "question": "spend", "by": "modle", "above": "1"}, "'modle'", "Did you mean model?"),
        ({"id": "mine", "question": "spend", "where": {"day": "today"}, "above": "1"}, "'today' is not a day", "day="),
        ({"id": "mine", "question": "spend", "basis": "paid", "above": "1"}, "no basis 'paid'", "billed"),
        ({"id": "mine", "question": "spend", "field": "costs", "above": "1"}, "the field 'costs'", "mean cost?"),
        ({"id": "mine", "question": "spend", "above": "1", "text": "{x}"}, "the field 'x'", "There are:"),
        ({"id": "mine", "question": "spend", "above": "1", "least": 3}, "has no least", "floor_usd"),
        ({"id": "error_spike", "question": "spend"}, "question cannot be changed", "another id"),
        ({"id": "late_data", "above": "3"}, "no threshold to change", "enabled = false"),
        ({"id": "late_data", "floor_usd": "3"}, "no floor to change", "alerts rules"),
        ({"id": "late_data", "days": 3}, "days is no option", "docs/alerts.md"),
        ({"id": "host_disk", "severity": "info"}, "evaluated by Prometheus", "rule files"),
        ({"id": "error_spike", "text": "{nothing}"}, "the field 'nothing'", "There are:"),
    ],
)  # fmt: skip
def test_a_change_that_fits_nothing_is_refused_in_one_sentence(
    row: dict[str, Any], sentence: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        with_rows(row)
    assert sentence in caught.value.message
    assert caught.value.message.endswith(".")
    assert "\n" not in caught.value.message
    assert hint in caught.value.hint


def test_the_settings_carry_the_changes(tmp_path: Path) -> None:
    file = tmp_path / "costweir.toml"
    file.write_text(
        '[[alerts]]\nid = "spend_rate"\nabove = "20.00"\nfor = "0"\n'
        '[[alerts]]\nid = "dead_man"\nurl_env = "SWITCH"\n',
        encoding="utf-8",
    )  # fmt: skip
    settings = config.load(
        path=file, environ={"COSTWEIR_DATA_DIR": str(tmp_path), "SWITCH": "https://example.org/x"}
    )
    book = rulebook.load(settings)
    rate, switch = book.find("spend_rate"), book.find("dead_man")
    assert rate is not None
    assert rate.to_json()["when"] == "cost_1h > 20.00"
    assert switch is not None
    assert settings.secret(switch.url_env or "") == "https://example.org/x"
    assert "example.org" not in json.dumps(book.to_json())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('id = "spend_rate"\nabove = "1"\nbelow = "2"', "above and below"),
        ('id = "spend_rate"\nabove = 1.5', "in quotes"),
        ('id = "spend_rate"\nfor = "soon"', "should match"),
        ('id = "spend_rate"\nlink = "//elsewhere.org"', "should match"),
        ('id = "spend_rate"\nurl_env = "X"', "dead_man only"),
        ('id = "spend_rate"\nabov = "1"', "is not a setting"),
        ('id = "spend_rate"\n[[alerts]]\nid = "spend_rate"', "is there twice"),
    ],
)
def test_a_row_that_cannot_be_read_is_refused_with_its_place(
    tmp_path: Path, text: str, sentence: str
) -> None:
    file = tmp_path / "costweir.toml"
    file.write_text(f"[[alerts]]\n{text}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        config.load(path=file, environ={"COSTWEIR_DATA_DIR": str(tmp_path)})
    assert sentence in caught.value.message


def table() -> str:
    """The rules as the page shows them."""
    rows = ["| rule | severity | team | fires when | for | keep |", "|---|---|---|---|---|---|"]
    for rule in rulebook.shipped():
        if rule.plane == "prometheus":
            fires = "Prometheus: " + ", ".join(f"`{name}`" for name in rule.carried)
        else:
            tests = [f"`{test.words()}`" for test in rule.when]
            tests += [f"`{rule.floor.field}` USD >= {rule.floor.usd}"] if rule.floor else []
            tests += [f"`{rule.least.field}` >= {rule.least.count}"] if rule.least else []
            fires = f"{rule.title}: {', '.join(tests)}" if tests else rule.title
        spans = [span if span != "0" else "" for span in (rule.lasting, rule.keep)]
        rows.append(f"| `{rule.id}` | {rule.severity} | {rule.team} | {fires} | {spans[0]} | {spans[1]} |")
    return "\n".join(rows)


def test_the_page_shows_the_rules_as_they_are() -> None:
    """To write it again: put `table()` between the marks."""
    page = (Path(__file__).parents[2] / "docs/alerts.md").read_text(encoding="utf-8")
    assert page.partition("<!-- rules -->\n")[2].partition("\n<!-- /rules -->")[0] == table()
