"""`alertmanager/alertmanager.yml`: who is told, when, and what is kept quiet meanwhile. Secrets are files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from costweir.telemetry.stack.places import SECRETS
from costweir.telemetry.stack.text import yaml_text

if TYPE_CHECKING:
    from costweir.config import Settings

CHANNEL = "#llm-cost-alerts"
CRITICAL_CHANNEL = "#alerts-critical"
_TITLE = (
    '[{{ .Status | toUpper }}{{ if eq .Status "firing" }}: {{ .Alerts.Firing | len }}{{ end }}] '
    "{{ .CommonLabels.alertname }}"
)
_TEXT = (
    "{{ range .Alerts }}*{{ .Annotations.summary }}*\n{{ .Annotations.description }}\n"
    "{{ .Annotations.link }} · {{ .Annotations.dashboard }} · {{ .Annotations.runbook_url }}\n{{ end }}"
)
_COLOR = (
    '{{ if eq .Status "resolved" }}good{{ else if eq .CommonLabels.severity "critical" }}danger'
    "{{ else }}warning{{ end }}"
)
#: Kinds of channels that Alertmanager knows too. Where the settings name some, only these are rendered.
_KINDS = ("slack", "pagerduty", "email", "webhook")


def files(settings: Settings) -> Mapping[str, str]:
    """The configuration."""
    about = (
        "For Alertmanager 0.34. Addresses and keys that are secrets are in files of compose/secrets/.",
        "Try a route: `amtool config routes test --config.file=alertmanager.yml severity=critical team=platform`.",
    )
    return {"alertmanager/alertmanager.yml": yaml_text(configuration(settings), *about)}


def configuration(settings: Settings) -> Mapping[str, Any]:
    """The configuration as a value."""
    return {
        "global": {"resolve_timeout": "5m", **_mail_server(settings)},
        "route": _routes(settings),
        "inhibit_rules": _inhibitions(),
        "time_intervals": _quiet_hours(),
        "receivers": _receivers(_kinds(settings), settings),
    }


def _kinds(settings: Settings) -> frozenset[str]:
    named = {str(row.kind) for row in settings.channels} & {*_KINDS}
    return frozenset(named or _KINDS)


def _mail_server(settings: Settings) -> Mapping[str, Any]:
    """Of the first e-mail channel of the settings; without one, names that stand for yours."""
    mail = next((row for row in settings.channels if row.kind == "email"), None)
    if mail is None:
        return {
            "smtp_smarthost": "smtp.example.com:587",
            "smtp_from": "costweir@example.com",
            "smtp_auth_username": "costweir@example.com",
            "smtp_auth_password_file": f"{SECRETS}/smtp_password",
            "smtp_require_tls": True,
        }
    made: dict[str, Any] = {"smtp_smarthost": f"{mail.host}:{mail.port}", "smtp_from": mail.sender}
    if mail.user:
        made |= {"smtp_auth_username": mail.user, "smtp_auth_password_file": f"{SECRETS}/smtp_password"}
    return {**made, "smtp_require_tls": mail.tls == "starttls"}


def _routes(settings: Settings) -> Mapping[str, Any]:
    """A route that goes on reaches only its later siblings, so critical has two: the pager and the chat."""
    # Costweir tells these by itself as soon as it has a channel; nobody is told twice.
    own = [{"matchers": ['plane=~"budget|billing"'], "receiver": "nobody"}] if settings.channels else []
    return {
        "receiver": "chat",
        "group_by": ["alertname", "budget_scope", "provider"],
        "group_wait": "30s",
        "group_interval": "5m",
        "repeat_interval": "4h",
        "routes": [
            {
                "matchers": ['alertname="Heartbeat"'],
                "receiver": "heartbeat",
                "group_wait": "0s",
                "group_interval": "1m",
                "repeat_interval": "5m",
            },
            *own,
            {"matchers": ['severity="critical"'], "receiver": "pager", "continue": True},
            {"matchers": ['severity="critical"'], "receiver": "chat-critical"},
            {
                "matchers": ['severity="warning"', 'team="finops"'],
                "receiver": "chat",
                "group_wait": "5m",
                "group_interval": "30m",
                "repeat_interval": "24h",
            },
            {"matchers": ['severity="warning"'], "receiver": "chat"},
            {
                "matchers": ['severity="info"'],
                "receiver": "mail",
                "group_wait": "5m",
                "group_interval": "30m",
                "repeat_interval": "24h",
                "mute_time_intervals": ["nights", "weekends"],
            },
        ],
    }


def _inhibitions() -> Sequence[Mapping[str, Any]]:
    """What is worse mutes what is milder about the same budget; a server that is gone mutes what follows from it."""
    budget = 'budget_scope!="none"'
    return [
        {
            "source_matchers": ['severity="critical"', budget],
            "target_matchers": ['severity=~"warning|info"', budget],
            "equal": ["budget_scope"],
        },
        {
            "source_matchers": ['alertname="BudgetBlocked"'],
            "target_matchers": ['alertname="BudgetNearLimit"'],
            "equal": ["budget_scope"],
        },
        {
            "source_matchers": ['alertname="BudgetBurnMedium"'],
            "target_matchers": ['alertname="BudgetBurnSlow"'],
            "equal": ["budget_scope"],
        },
        {
            "source_matchers": ['alertname="TargetDown"', 'job="costweir"'],
            "target_matchers": ['alertname=~"GatewayDown|ProbeFailed|FiguresStale"'],
        },
        {
            "source_matchers": ['alertname="DiskSpaceLow"'],
            "target_matchers": ['alertname="DiskFullSoon"'],
            "equal": ["instance", "mountpoint"],
        },
    ]


def _quiet_hours() -> Sequence[Mapping[str, Any]]:
    night = [{"start_time": "00:00", "end_time": "07:00"}, {"start_time": "20:00", "end_time": "24:00"}]
    return [
        {"name": "nights", "time_intervals": [{"times": night, "location": "UTC"}]},
        {"name": "weekends", "time_intervals": [{"weekdays": ["saturday", "sunday"], "location": "UTC"}]},
    ]


def _receivers(kinds: frozenset[str], settings: Settings) -> Sequence[Mapping[str, Any]]:
    mail = next((row for row in settings.channels if row.kind == "email"), None)
    to = ", ".join(mail.to or ()) if mail else "ai-spend@example.com"
    webhook = {"send_resolved": True, "url_file": f"{SECRETS}/webhook_url", "max_alerts": 50}
    pager = {
        "send_resolved": True,
        "routing_key_file": f"{SECRETS}/pagerduty_key",
        "severity": "{{ .CommonLabels.severity }}",
        "description": "{{ .CommonAnnotations.summary }}",
        "details": {
            "description": "{{ .CommonAnnotations.description }}",
            "budget": "{{ .CommonLabels.budget_scope }}",
        },
    }
    message = {
        "send_resolved": True,
        "to": to,
        "headers": {"Subject": _TITLE},
        "text": _TEXT,
    }
    whole = {
        "pager": {"pagerduty_configs": [pager]},
        "chat-critical": {
            "slack_configs": [_slack("slack_critical_url", CRITICAL_CHANNEL)],
            "webhook_configs": [webhook],
        },
        "chat": {"slack_configs": [_slack("slack_url", CHANNEL)], "webhook_configs": [webhook]},
        "mail": {"email_configs": [message]},
        "heartbeat": {
            "webhook_configs": [
                {"send_resolved": False, "url_file": f"{SECRETS}/heartbeat_url", "max_alerts": 1}
            ]
        },
    }
    kept = [
        {
            "name": name,
            **{key: value for key, value in row.items() if name == "heartbeat" or key[:-8] in kinds},
        }
        for name, row in whole.items()
    ]
    return [*kept, {"name": "nobody"}]


def _slack(secret: str, channel: str) -> Mapping[str, Any]:
    return {
        "send_resolved": True,
        "api_url_file": f"{SECRETS}/{secret}",
        "channel": channel,
        "title": _TITLE,
        "title_link": "{{ (index .Alerts 0).Annotations.link }}",
        "text": _TEXT,
        "color": _COLOR,
    }
