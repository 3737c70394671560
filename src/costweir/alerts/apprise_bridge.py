"""Every other kind of channel, by the library `apprise`: Teams, Discord, Telegram, ntfy, Opsgenie and a hundred more.
The address of such a channel is a secret, and no error shows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from costweir.alerts.message import Message
from costweir.errors import ConfigError, Unreachable

_LONGEST = 2_000


@dataclass(frozen=True, slots=True)
class AppriseBridge:
    """Sends to the address `url` in the library's own notation, such as `ntfy://topic`."""

    id: str
    url: str = field(repr=False)

    def send(self, message: Message, thread: str = "") -> str:
        """Sends one message. Raises ConfigError without the library or for an address that it does not know, and
        Unreachable when it could not send."""
        try:
            import apprise
        except ImportError:
            raise ConfigError(
                f"Channel {self.id} needs a library that is not installed.",
                hint="Install it with: pip install 'costweir[channels]'",
            ) from None
        # Untyped: the library does not say the types of all it takes.
        made: Any = apprise.Apprise()
        if not made.add(self.url):
            raise ConfigError(
                f"Channel {self.id} has an address that the library does not know.",
                hint="The notation of every service is in the documentation of apprise.",
            )
        kind = {"critical": apprise.NotifyType.FAILURE, "warning": apprise.NotifyType.WARNING}.get(
            message.severity, apprise.NotifyType.INFO
        )
        if message.state == "resolved":
            kind = apprise.NotifyType.SUCCESS
        text = message.body[:_LONGEST]
        if not made.notify(body=text, title=message.title[:200], notify_type=kind, body_format="text"):
            raise Unreachable(f"Channel {self.id} did not take the message.", hint="It is tried again later.")
        return ""
