"""PagerDuty, Events API v2: an incident is one alert there under one key, from its beginning to its end."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import ClassVar

from costweir.alerts.message import Message
from costweir.alerts.posting import post

#: Limits of the documentation of Events API v2.
LONGEST_SUMMARY, LONGEST_KEY = 1024, 255
_ENDS = {"resolved": "resolve", "acknowledged": "acknowledge"}
#: What of a message stands beside the summary.
_DETAILS = ("text", "hint", "team", "owner", "period", "value", "limit")


@dataclass(frozen=True, slots=True)
class PagerDuty:
    """Sends to the service whose integration key is `key`."""

    API: ClassVar[str] = "https://events.pagerduty.com"

    id: str
    key: str = field(repr=False)
    base_url: str = API

    def send(self, message: Message, thread: str = "") -> str:
        """Sends one event; a test is ended at once, so that nobody is kept awake. Raises NotAllowed and Unreachable."""
        self._post(self._event(message))
        if message.state == "test":
            self._post(self._end(message, "resolve"))
        return ""

    def _event(self, message: Message) -> dict[str, object]:
        action = _ENDS.get(message.state)
        if action is not None:
            return self._end(message, action)
        details: dict[str, object] = {
            name: value for name in _DETAILS if (value := str(getattr(message, name)))
        }
        details |= (
            {"count": message.count, "incidents": [f"{line.id}: {line.text}" for line in message.incidents]}
            if (message.count > 1)
            else {}
        )
        return {
            **self._end(message, "trigger"),
            "client": "Costweir",
            **({"client_url": message.page} if message.page in dict(message.links).values() else {}),
            "links": [{"href": url, "text": word} for word, url in message.links],
            "payload": {
                "summary": _summary(message), "source": message.instance, "severity": message.severity,
                "timestamp": message.opened_at, "component": message.subject, "group": message.team,
                "class": message.event, "custom_details": details,
            },
        }  # fmt: skip

    def _end(self, message: Message, action: str) -> dict[str, object]:
        return {"routing_key": self.key, "event_action": action, "dedup_key": message.root[:LONGEST_KEY]}

    def _post(self, event: dict[str, object]) -> None:
        body = json.dumps(event, ensure_ascii=False).encode()
        post(f"{self.base_url.rstrip('/')}/v2/enqueue", body, {}, who=f"PagerDuty channel {self.id}")


def _summary(message: Message) -> str:
    """The line that somebody reads at night: what it is, and the sentence."""
    whole = f"{message.title}. {message.text}"
    return whole if len(whole) <= LONGEST_SUMMARY else whole[: LONGEST_SUMMARY - 1] + "…"
