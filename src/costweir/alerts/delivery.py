"""Sends what is due. A channel that fails is tried again later and logged, and never stops anything else."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

from costweir.alerts.message import Message, Place, message_of, trial_message
from costweir.alerts.routing import is_quiet, wanted
from costweir.control.incidents_outbox import Delivery
from costweir.errors import ConfigError, Error, Unreachable

if TYPE_CHECKING:
    from costweir.config import Settings
    from costweir.config.channels import Channel
    from costweir.control import Control

_LOG = logging.getLogger("costweir.alerts")
#: What is known by its thread, so that each of its threads is answered for itself.
_THREADED = frozenset({"pagerduty"})


class Sender(Protocol):
    """One way out."""

    def send(self, message: Message, thread: str = "") -> str:
        """Sends one message, in the thread of an earlier one if there is one, and gives what to answer it by. Raises an
        Error of the house for any failure."""
        ...


def sender_of(row: Channel, settings: Settings) -> Sender:
    """The sender of a configured channel. Raises ConfigError when a variable that it names is not set, or a library is
    missing."""

    def secret(variable: str | None) -> str:
        value = settings.secret(variable or "")
        if not value:
            hint = "Set the variable for the process that sends alerts."
            raise ConfigError(f"{variable} is not set.", hint=hint)
        return value

    # The kinds that are not used are not loaded.
    if row.kind == "email":
        from costweir.alerts.mail import Mail

        password = secret(row.password_env) if row.password_env else ""
        return Mail(
            row.id, row.host or "", row.port, row.tls, row.sender or "", row.to or (), row.user or "", password,
            row.ca_file,
        )  # fmt: skip
    if row.kind == "pagerduty":
        from costweir.alerts.pagerduty import PagerDuty

        return PagerDuty(row.id, secret(row.key_env), row.base_url or PagerDuty.API)
    if row.kind == "apprise":
        from costweir.alerts.apprise_bridge import AppriseBridge

        return AppriseBridge(row.id, secret(row.url_env))
    return _posting(
        row, secret(row.url_env or row.token_env), secret(row.secret_env) if row.secret_env else ""
    )


def _posting(row: Channel, first: str, second: str) -> Sender:
    from costweir.alerts.posting import check_address

    if row.token_env:
        from costweir.alerts.slack import SlackApp

        return SlackApp(row.id, first, row.channel or "", row.base_url or SlackApp.API)
    url = check_address(first, row.url_env or "")
    if row.kind == "slack":
        from costweir.alerts.slack import SlackHook

        return SlackHook(row.id, url)
    from costweir.alerts.webhook import Webhook

    return Webhook(row.id, url, second)


def place_of(settings: Settings) -> Place:
    """Where the links of messages lead."""
    given = settings.routing.public_url or settings.oidc.public_url
    port = settings.web.port
    return Place(settings.name, (given or (f"http://127.0.0.1:{port}" if port else "")).rstrip("/"))


def deliver_due(control: Control, settings: Settings, now: datetime) -> int:
    """Sends every message that is due, and says how many a channel took."""
    due = sorted(control.incidents.outbox.due(now), key=lambda delivery: (delivery.channel, delivery.seq))
    channels = {row.id: row for row in settings.channels}
    taken = 0
    for name, found in groupby(due, key=lambda delivery: delivery.channel):
        row, deliveries = channels.get(name), list(found)
        left = [delivery for delivery in deliveries if row is None or not wanted(row, delivery)]
        if left:
            control.incidents.outbox.drop(left, "The channel does not want it.")
        if row is not None:
            kept = [delivery for delivery in deliveries if delivery not in left]
            taken += _Round(control, settings, row, now).send(kept)
    return taken


class _Round:
    """What is due for one channel."""

    def __init__(self, control: Control, settings: Settings, row: Channel, now: datetime) -> None:
        self._control = control
        self._outbox = control.incidents.outbox
        self._settings = settings
        self._row = row
        self._now = now

    def send(self, deliveries: Sequence[Delivery]) -> int:
        """Says how many messages the channel took. After one that may pass, the others wait for the next turn."""
        if is_quiet(self._row, self._now):
            deliveries = [item for item in deliveries if item.incident.severity == "critical"]
        taken = 0
        for bundle in bundles(deliveries, storm=self._settings.routing.storm, threaded=self._threaded):
            claimed = self._outbox.claim(bundle, self._now, together=len(bundle) > 1)
            if not claimed:
                continue
            error = self._send(claimed)
            name = claimed[0].incident.id
            told = {
                "incident_id": name,
                "channel": self._row.id,
                "kind": self._row.kind,
                "messages": len(claimed),
            }
            if error is None:
                taken += 1
                extra = {"event_type": "alert_delivery", "fields": {**told, "outcome": "ok"}}
                _LOG.info("alert %s was sent to %s", name, self._row.id, extra=extra)
                continue
            # A setting that is wrong may be put right; a refusal would be the same again.
            final = not (error.transient or isinstance(error, ConfigError))
            self._outbox.not_sent(claimed, error.message, self._now, final=final)
            end = "given up" if final else "tried again later"
            extra = {"event_type": "alert_delivery", "fields": {**told, "outcome": "failed"}}
            _LOG.warning(
                "alert %s was not sent to %s, %s: %s", name, self._row.id, end, error.message, extra=extra
            )
            if not final:
                break
        return taken

    @property
    def _threaded(self) -> bool:
        return self._row.kind in _THREADED or self._row.token_env is not None

    def _send(self, claimed: Sequence[Delivery]) -> Error | None:
        first = claimed[0]
        if self._is_partial_end(first):
            self._outbox.sent(claimed)
            return None
        try:
            thread = sender_of(self._row, self._settings).send(
                message_of(claimed, place_of(self._settings)), first.thread
            )
        except Error as error:
            return error
        except Exception as error:  # noqa: BLE001 - a fault in a sender or its library must not silence the others
            _LOG.exception("alerts: channel %s: this is a fault in Costweir", self._row.id)
            return Unreachable(f"Channel {self._row.id} failed: {type(error).__name__}.")
        self._outbox.sent(claimed, thread=thread)
        return None

    def _is_partial_end(self, delivery: Delivery) -> bool:
        """Whether others that were told together are still wrong, so that the page has to stay open."""
        return (
            self._row.kind == "pagerduty"
            and delivery.message in ("resolved", "acknowledged")
            and delivery.root != delivery.incident.id
            and (
                delivery.message == "acknowledged" or self._outbox.unresolved(delivery.root, self._row.id) > 0
            )
        )


def bundles(deliveries: Sequence[Delivery], *, storm: int, threaded: bool) -> list[list[Delivery]]:
    """Messages that are sent together: what was sent together before, and more than `storm` of one kind at once."""
    found: dict[tuple[str, ...], list[Delivery]] = {}
    for item in deliveries:
        own = (item.root,) if threaded and item.message != "open" else ()
        # One that was tried by itself keeps its key, so that the receiver knows it again.
        alone = (str(item.seq),) if item.attempts and not item.batch else ()
        found.setdefault((item.batch, item.message, *own, *alone), []).append(item)
    made: list[list[Delivery]] = []
    for (batch, *_), group in found.items():
        if batch or len(group) > storm:
            made.append(group)
        else:
            made += [[item] for item in group]
    return sorted(made, key=lambda group: group[0].seq)


def send_test(row: Channel, settings: Settings, now: datetime) -> Message:
    """Sends a test message to one channel at once, and gives what was sent. Raises what the channel raises."""
    message = trial_message(settings.name, now)
    sender_of(row, settings).send(message)
    return message
