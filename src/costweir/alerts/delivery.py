"""Sends what is queued. A channel that fails is tried again later and logged, and never stops anything else."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from costweir.alerts.mail import Mail
from costweir.alerts.message import Message, closing_event, message_of, trial_message
from costweir.alerts.posting import check_address
from costweir.alerts.slack import Slack
from costweir.alerts.webhook import Webhook
from costweir.errors import ConfigError, Error

if TYPE_CHECKING:
    from costweir.config import Settings
    from costweir.config.connections import Channel
    from costweir.control import Control

_LOG = logging.getLogger("costweir.alerts")


class Sender(Protocol):
    """One way out."""

    def send(self, message: Message) -> None:
        """Sends one message. Raises an Error of the house for any failure."""
        ...


def sender_of(row: Channel, settings: Settings) -> Sender:
    """The sender of a configured channel. Raises ConfigError when a variable that it names is not set."""
    if row.kind == "email":
        password = _secret(settings, row.password_env) if row.password_env else ""
        return Mail(
            row.id, row.host or "", row.port, row.tls, row.sender or "", row.to or (), row.user or "", password,
            row.ca_file,
        )  # fmt: skip
    variable = row.url_env or ""
    url = check_address(_secret(settings, variable), variable)
    if row.kind == "slack":
        return Slack(row.id, url)
    return Webhook(row.id, url, _secret(settings, row.secret_env or ""))


def deliver_due(control: Control, settings: Settings, now: datetime) -> int:
    """Sends every message that is due, and says how many a channel took."""
    channels = {row.id: row for row in settings.channels}
    taken = 0
    for delivery in control.incidents.due(now):
        row = channels.get(delivery.channel)
        wanted = (
            closing_event(delivery.incident) if delivery.message == "resolved" else delivery.incident.event
        )
        if row is None or wanted not in row.events:
            control.incidents.drop(delivery, "The channel does not want it any more.")
            continue
        try:
            sender_of(row, settings).send(message_of(delivery, settings.name))
        except Error as error:
            control.incidents.not_sent(delivery, error.message, now)
            _LOG.warning("alert %s was not sent to %s: %s", delivery.incident.id, row.id, error.message)
            continue
        control.incidents.sent(delivery)
        taken += 1
    return taken


def send_test(row: Channel, settings: Settings, now: datetime) -> None:
    """Sends a test message to one channel at once. Raises what the channel raises."""
    sender_of(row, settings).send(trial_message(settings.name, now))


def _secret(settings: Settings, variable: str) -> str:
    value = settings.secret(variable)
    if not value:
        raise ConfigError(
            f"{variable} is not set.", hint="Set the variable for the process that sends alerts."
        )
    return value
