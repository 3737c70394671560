"""A Slack incoming webhook. Names come from bills, so nothing in them may become a link or a mention."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from costweir.alerts.message import Message
from costweir.alerts.posting import post

#: Slack's documentation of text formatting names exactly these three.
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_MARKS = {"open": ":red_circle:", "resolved": ":large_green_circle:", "test": ":white_circle:"}
_LONGEST = 3_000


def escaped(text: str) -> str:
    """Text in which Slack finds no link, mention or command."""
    return text.translate(_ESCAPES)


@dataclass(frozen=True, slots=True)
class Slack:
    """Posts to the webhook `url`."""

    id: str
    url: str = field(repr=False)

    def send(self, message: Message) -> None:
        """Sends one message. Raises NotAllowed and Unreachable."""
        text = f"{_MARKS[message.state]} {escaped(message.title)}\n{escaped(message.body[:_LONGEST])}"
        body = json.dumps({"text": text, "unfurl_links": False}, ensure_ascii=False).encode()
        post(self.url, body, {}, who=f"Slack channel {self.id}")
