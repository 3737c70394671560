"""Slack: an app that answers in the thread of the first message and keeps that message up to date, or an incoming
webhook, which has no threads. Names come from bills, so nothing in them may become a link or a mention."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from costweir.alerts.message import Message
from costweir.alerts.posting import post
from costweir.errors import Error, NotAllowed, Unreachable

#: Slack's documentation of text formatting names exactly these three.
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_MARKS = {
    "critical": ":red_circle:", "warning": ":large_orange_circle:", "info": ":large_blue_circle:",
}  # fmt: skip
#: What the first message begins with once its state is another.
_STATES = {
    "acknowledged": ":eyes:", "snoozed": ":zzz:", "resolved": ":large_green_circle:", "test": ":white_circle:",
}  # fmt: skip
#: The text of a section, and of a title above it.
_LONGEST, _LONGEST_TITLE = 3_000, 300
#: Errors of Slack that may pass; all others would come again.
_PASSING = frozenset({
    "ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout",
    "team_added_to_org", "accesslimited",
})  # fmt: skip


def escaped(text: str) -> str:
    """Text in which Slack finds no link, mention or command."""
    return text.translate(_ESCAPES)


def _cut(text: str, most: int) -> str:
    """At most so many characters, and no half of an escape at the end."""
    return text if len(text) <= most else re.sub(r"&[a-z]{0,3}$", "", text[: most - 1]) + "…"


def _mark(message: Message) -> str:
    return _STATES.get(message.state) or _MARKS.get(message.severity, _MARKS["warning"])


def _plain(message: Message) -> str:
    title = _cut(escaped(message.title), _LONGEST_TITLE)
    return _cut(f"{_mark(message)} {title}\n{escaped(message.body)}", _LONGEST)


@dataclass(frozen=True, slots=True)
class SlackHook:
    """Posts to the webhook `url`."""

    id: str
    url: str = field(repr=False)

    def send(self, message: Message, thread: str = "") -> str:
        """Sends one message. Raises NotAllowed and Unreachable."""
        body = json.dumps({"text": _plain(message), "unfurl_links": False}, ensure_ascii=False).encode()
        post(self.url, body, {}, who=f"Slack channel {self.id}")
        return ""


@dataclass(frozen=True, slots=True)
class SlackApp:
    """Posts to `channel` with the token of a bot that may write there. A thread is named `CHANNEL/TIMESTAMP`."""

    API: ClassVar[str] = "https://slack.com"

    id: str
    token: str = field(repr=False)
    channel: str = ""
    base_url: str = API

    def send(self, message: Message, thread: str = "") -> str:
        """Sends one message, in the thread when there is one. Raises NotAllowed and Unreachable."""
        room, _, first = thread.partition("/")
        body = {
            "channel": room or self.channel,
            **_content(message),
            "unfurl_links": False,
            "unfurl_media": False,
        }
        if first:
            body["thread_ts"] = first
            # What got worse or came back is for everybody, not only for those who follow the thread.
            body["reply_broadcast"] = message.state in ("escalated", "reopened")
        said = self._call("chat.postMessage", body)
        if not first:
            return f"{said.get('channel', '')}/{said.get('ts', '')}"
        if message.count == 1 and message.root == message.id and message.state != "note":
            # The thread has the news already; the first message is only nicer when it shows them too.
            with contextlib.suppress(Error):
                self._call("chat.update", {"channel": room, "ts": first, **_content(_now(message))})
        return ""

    def _call(self, method: str, body: Mapping[str, object]) -> Mapping[str, Any]:
        who = f"Slack channel {self.id}"
        content = json.dumps(body, ensure_ascii=False).encode()
        headers = {"Authorization": f"Bearer {self.token}"}
        reply = post(f"{self.base_url.rstrip('/')}/api/{method}", content, headers, who=who)
        try:
            said: Any = json.loads(reply)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise Unreachable(
                f"{who} answered something else than Slack does.", hint="It is tried again later."
            )
        found: dict[str, Any] = said  # pyright: ignore[reportUnknownVariableType]
        if found.get("ok") is True:
            return found
        error = re.sub(r"[^a-z_]", "", str(found.get("error")))[:40] or "unknown"
        if error in _PASSING:
            raise Unreachable(f"{who} answered {error}.", hint="It is tried again later.")
        raise NotAllowed(
            f"{who} refused the message: {error}.",
            hint="Check token_env and channel; the app has to be in the channel and needs chat:write.",
        )


def _now(message: Message) -> Message:
    """The first message of the thread, as it would be written now."""
    return replace(message, hint="" if message.state == "resolved" else message.hint)


def _content(message: Message) -> dict[str, object]:
    title = _cut(escaped(message.title), _LONGEST_TITLE)
    text = replace(message, link="", page="").body
    facts = " · ".join(_facts(message))
    blocks = [_section(f"{_mark(message)} *{title.replace('*', '')}*")]
    if text.strip():
        blocks.append(_section(_cut(escaped(text), _LONGEST)))
    if facts:
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": _cut(facts, _LONGEST)}]})
    return {"text": _plain(message), "blocks": blocks}


def _facts(message: Message) -> list[str]:
    found = [f"*{message.severity}*"] if message.state != "test" else []
    for name in ("team", "owner", "period"):
        value: str = getattr(message, name)
        if value:
            found.append(f"{name} {_cut(escaped(value), 100)}")
    return [*found, *(_link(url, word) for word, url in message.links)]


def _link(url: str, word: str) -> str:
    return f"<{escaped(url).replace('|', '%7C')}|{word}>"


def _section(text: str) -> dict[str, object]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}
