"""Doubles of Slack and PagerDuty on loopback that hold what their documentation says of a request, and refuse what does
not fit, as the real ones do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.sources.live.doubles_http import Asked, Reply, serving

KEY = "0123456789abcdef0123456789abcdef"
TOKEN = "xoxb-of-the-tests"
ROOM = "C0123456789"


def reply(body: Mapping[str, object], status: int = 200) -> Reply:
    return Reply(json.dumps(body).encode(), status, {"content-type": "application/json"})


@dataclass
class Slack:
    """A workspace. `messages` are (thread, content), by timestamp; `faults` are answered first."""

    url: str = ""
    messages: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    updates: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    faults: list[Reply] = field(default_factory=list)

    def answer(self, asked: Asked) -> Reply:
        if self.faults:
            return self.faults.pop(0)
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return reply({"ok": False, "error": "invalid_auth"})
        if not asked.headers["content-type"].startswith("application/json"):
            return reply({"ok": False, "error": "invalid_post_type"})
        body: dict[str, Any] = json.loads(asked.body)
        fault = faulty_blocks(body)
        if fault:
            return reply({"ok": False, "error": fault})
        if asked.path == "/api/chat.postMessage":
            return self._post(body)
        if asked.path == "/api/chat.update":
            return self._update(body)
        return reply({"ok": False, "error": "unknown_method"})

    def _post(self, body: dict[str, Any]) -> Reply:
        if body.get("channel") not in ("#llm-cost-alerts", ROOM):
            return reply({"ok": False, "error": "channel_not_found"})
        thread = body.get("thread_ts", "")
        if thread and thread not in self.messages:
            return reply({"ok": False, "error": "thread_not_found"})
        if body.get("reply_broadcast") and not thread:
            return reply({"ok": False, "error": "invalid_arguments"})
        stamp = f"1790000000.{len(self.messages):06}"
        self.messages[stamp] = (thread, body)
        return reply({"ok": True, "channel": ROOM, "ts": stamp, "message": {}})

    def _update(self, body: dict[str, Any]) -> Reply:
        # Unlike a new message, a change needs the channel's own id.
        if body.get("channel") != ROOM:
            return reply({"ok": False, "error": "channel_not_found"})
        if body.get("ts") not in self.messages:
            return reply({"ok": False, "error": "message_not_found"})
        self.updates.append((body["ts"], body))
        return reply({"ok": True, "channel": ROOM, "ts": body["ts"]})


def faulty_blocks(body: Mapping[str, Any]) -> str:
    """What Slack would say of the text and blocks of a message; empty for nothing."""
    if not body.get("text") or len(body["text"]) > 40_000:
        return "no_text" if not body.get("text") else "msg_too_long"
    blocks = body.get("blocks", [])
    if len(blocks) > 50 or len(json.dumps(blocks)) > 13_000:
        return "msg_blocks_too_long"
    for block in blocks:
        texts = [block["text"]] if block["type"] == "section" else block["elements"]
        if block["type"] not in ("section", "context") or len(texts) > 10:
            return "invalid_blocks"
        if any(not 1 <= len(text["text"]) <= 3_000 or text["type"] != "mrkdwn" for text in texts):
            return "invalid_blocks"
    return ""


@contextmanager
def slack() -> Iterator[Slack]:
    double = Slack()
    with serving(double.answer) as double.url:
        yield double


@dataclass
class PagerDuty:
    """A service. `alerts` are the state of each key, `pages` what began anew."""

    url: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    alerts: dict[str, str] = field(default_factory=dict)
    pages: list[str] = field(default_factory=list)
    faults: list[Reply] = field(default_factory=list)

    def answer(self, asked: Asked) -> Reply:
        if self.faults:
            return self.faults.pop(0)
        body: dict[str, Any] = json.loads(asked.body)
        errors = [asked.path] if asked.path != "/v2/enqueue" else faulty_event(body)
        if errors:
            return reply(
                {"status": "invalid event", "message": "Event object is invalid", "errors": errors}, 400
            )
        self.events.append(body)
        key, action = body["dedup_key"], body["event_action"]
        if action == "trigger":
            if self.alerts.get(key, "resolved") == "resolved":
                self.pages.append(key)
            self.alerts[key] = "triggered"
        elif key in self.alerts:
            self.alerts[key] = {"acknowledge": "acknowledged", "resolve": "resolved"}[action]
        return reply({"status": "success", "message": "Event processed", "dedup_key": key}, 202)


def faulty_event(body: Mapping[str, Any]) -> list[str]:
    """What Events API v2 would say of an event."""
    errors = [name for name in ("routing_key", "event_action", "dedup_key") if not body.get(name)]
    if errors:
        return errors
    if len(body["routing_key"]) != 32:
        errors.append("Length of 'routing_key' is incorrect (should be 32 characters)")
    if len(body["dedup_key"]) > 255:
        errors.append("'dedup_key' is too long (maximum is 255 characters)")
    if body["event_action"] not in ("trigger", "acknowledge", "resolve"):
        errors.append("'event_action' is invalid")
    if body["event_action"] == "trigger":
        payload = body.get("payload", {})
        errors += [f"'payload.{name}' is missing or blank" for name in ("summary", "source", "severity")
                   if not payload.get(name)]  # fmt: skip
        if len(payload.get("summary", "")) > 1024:
            errors.append("'payload.summary' is too long (maximum is 1024 characters)")
        if payload.get("severity") not in ("critical", "error", "warning", "info"):
            errors.append("'payload.severity' is invalid")
        if payload.get("timestamp"):
            datetime.fromisoformat(payload["timestamp"])
        errors += [f"link {link}" for link in body.get("links", []) if not link["href"].startswith("http")]
        if len(json.dumps(body)) > 512 * 1024:
            errors.append("too large")
    return errors


@contextmanager
def pagerduty() -> Iterator[PagerDuty]:
    double = PagerDuty()
    with serving(double.answer) as double.url:
        yield double
