"""What users of other gateways reported about their budget alerts, as tests: spam, then silence, then a miss."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from receivers import Posts, http_receiver

from costweir import config
from costweir.alerts import deliver_due
from costweir.alerts.routing import told_by
from costweir.control import Control
from costweir.control.incidents import Condition

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
QUIET = timedelta(minutes=5)


def crossed(subject: str, threshold: int, period: str = "2026-11-20", **more: str) -> Condition:
    return Condition(
        f"budget_threshold:{subject}:{threshold}", "budget_threshold", subject,
        f"{subject} has spent {threshold} % of its limit.", period=period, **more,
    )  # fmt: skip


@pytest.fixture
def hook() -> Iterator[Posts]:
    with http_receiver() as posts:
        yield posts


@pytest.fixture
def settings(tmp_path: Path, hook: Posts) -> config.Settings:
    channel = [{"id": "ops", "kind": "webhook", "url_env": "HOOK", "secret_env": "SIGN"}]
    environ = {"COSTWEIR_DATA_DIR": str(tmp_path), "HOOK": hook.url, "SIGN": "s",
               "COSTWEIR_CHANNELS": json.dumps(channel)}  # fmt: skip
    return config.load(environ=environ)


def look(settings: config.Settings, seen: Sequence[Condition], at: timedelta = timedelta()) -> None:
    with Control.open(settings.control_path) as control:
        control.incidents.observe(seen, told=told_by(settings), now=NOW + at, quiet=QUIET)
        deliver_due(control, settings, NOW + at)


def told(hook: Posts) -> list[tuple[str, str]]:
    rows: list[dict[str, Any]] = [json.loads(body) for _, _, body in hook.got]
    return [(row["state"], row["text"]) for row in rows]


def states(hook: Posts) -> list[str]:
    return [state for state, _ in told(hook)]


def test_a_crossed_budget_is_not_told_on_each_request(settings: config.Settings, hook: Posts) -> None:
    """BerriAI/litellm#3738: a crossed budget alerted on every request that followed."""
    for request in range(100):
        look(settings, [crossed("team", 80)], timedelta(seconds=request))
    assert states(hook) == ["open"]


def test_a_crossed_budget_is_not_told_again_after_a_restart_or_a_day(
    settings: config.Settings, hook: Posts
) -> None:
    """BerriAI/litellm#3113: the same "budget crossed" came again and again, as its cache ended."""
    for hour in range(0, 24, 2):
        look(settings, [crossed("user", 100)], timedelta(hours=hour))
    assert states(hook) == ["open"]


def test_the_next_period_and_other_subjects_are_told_after_the_first(
    settings: config.Settings, hook: Posts
) -> None:
    """BerriAI/litellm#16185: the webhook was called once after a start and never again, whoever crossed a budget."""
    look(settings, [crossed("key-1", 100)])
    look(settings, [crossed("key-1", 100), crossed("key-2", 100)], timedelta(hours=1))
    look(settings, [crossed("key-1", 100, "2026-11-21")], timedelta(hours=13))
    look(settings, [crossed("key-1", 100, "2026-11-21")], timedelta(hours=14))
    rows = [json.loads(body) for _, _, body in hook.got]
    assert [(row["subject"], row["period"]) for row in rows if row["state"] == "open"] == [
        ("key-1", "2026-11-20"), ("key-2", "2026-11-20"), ("key-1", "2026-11-21"),
    ]  # fmt: skip
    assert [row["subject"] for row in rows if row["state"] == "resolved"] == ["key-1", "key-2"]


def test_a_key_without_a_team_is_told_once_by_several_replicas(
    settings: config.Settings, hook: Posts
) -> None:
    """BerriAI/litellm#35800: with several replicas, the soft budget of a key without a team was never told."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: look(settings, [crossed("key-1", 80, team="")]), range(12)))
    look(settings, [crossed("key-1", 80)], timedelta(minutes=1))
    assert states(hook) == ["open"]


def test_each_threshold_is_told_once_in_a_period_however_the_spend_moves(
    settings: config.Settings, hook: Posts
) -> None:
    """BerriAI/litellm#32597: several thresholds, each at most once in a budget period, and a webhook for each."""
    spent = (70, 81, 79, 81, 86, 96, 94, 96, 97, 96)
    for minute, percent in enumerate(spent):
        over = [crossed("team", step) for step in (80, 85, 95) if percent >= step]
        look(settings, over, timedelta(minutes=minute))
    assert sorted(told(hook)) == [("open", f"team has spent {step} % of its limit.") for step in (80, 85, 95)]


def test_a_threshold_that_a_raised_limit_undoes_stays_in_its_thread(
    settings: config.Settings, hook: Posts
) -> None:
    """BerriAI/litellm#32597: in one period the same threshold never begins a second thread."""
    for hour, over in enumerate((True, False, False, True)):
        look(settings, [crossed("team", 80)] if over else [], timedelta(hours=hour))
        look(settings, [crossed("team", 80)] if over else [], timedelta(hours=hour, minutes=10))
    rows = [json.loads(body) for _, _, body in hook.got]
    assert [row["state"] for row in rows] == ["open", "resolved", "reopened"]
    assert len({row["id"] for row in rows}) == 1


def test_each_user_who_spends_too_much_is_told_with_the_money_and_the_view(
    settings: config.Settings, hook: Posts
) -> None:
    """langfuse/langfuse#714: an alert for each user who spends more than an amount, by webhook, mail and Slack."""
    users = [
        replace(
            crossed(f"user-{number}", 100, "2026-11"), event="user_spend", value=f"${number}1.20", limit="$10.00",
            link=f"/explore?by=model&user=user-{number}",
        )
        for number in range(1, 4)
    ]  # fmt: skip
    look(settings, users)
    look(settings, users, timedelta(days=3))
    rows = [json.loads(body) for _, _, body in hook.got]
    assert [(row["subject"], row["value"], row["limit"]) for row in rows] == [
        (f"user-{number}", f"${number}1.20", "$10.00") for number in range(1, 4)
    ]
    assert all(row["link"].endswith(f"user={row['subject']}") for row in rows)


def test_an_alert_is_about_what_models_cost_and_shows_it(settings: config.Settings, hook: Posts) -> None:
    """langfuse/langfuse-docs#3163: "spend alerts" were about the subscription of the tool, not about model spend."""
    condition = replace(crossed("acme", 80), value="$4.01", limit="$5.00", link="/explore?customer=acme")
    look(settings, [condition])
    [row] = [json.loads(body) for _, _, body in hook.got]
    assert (row["value"], row["limit"], row["period"]) == ("$4.01", "$5.00", "2026-11-20")


def test_an_alert_whose_first_delivery_fails_is_not_lost(settings: config.Settings, hook: Posts) -> None:
    """BerriAI/litellm#35800: nothing tried again what was not delivered the first time."""
    hook.answers = [503, 503]
    for minute in range(10):
        look(settings, [crossed("key-1", 80)], timedelta(minutes=minute))
    assert states(hook) == ["open"] * 3
    assert len({json.loads(body)["delivery"] for _, _, body in hook.got}) == 1
