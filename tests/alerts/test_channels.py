"""What really arrives at a webhook, at Slack and in a mailbox, and what a refusal says."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from providers import KEY, ROOM, TOKEN, faulty_blocks, faulty_event, pagerduty, reply
from providers import slack as slack_double
from receivers import certificate, free_port, http_receiver, smtp_receiver, tls_listener
from tests.sources.live.doubles_http import Reply

from costweir.alerts import slack
from costweir.alerts.apprise_bridge import AppriseBridge
from costweir.alerts.mail import Mail
from costweir.alerts.message import Message, trial_message
from costweir.alerts.pagerduty import PagerDuty
from costweir.alerts.slack import SlackApp, SlackHook
from costweir.alerts.webhook import Webhook
from costweir.errors import ConfigError, NotAllowed, Unreachable

MESSAGE = Message(
    id="i1", delivery="i1.open.1", root="i1", event="run_failed", state="open", severity="warning", subject="aws-main",
    text="The pull of aws-main failed: denied.", hint="Look at the key.", opened_at="2026-11-20T12:00:00.000Z",
    instance="Tiny <b> & Sons",
)  # fmt: skip


def test_a_webhook_is_json_that_the_receiver_can_verify() -> None:
    with http_receiver() as posts:
        Webhook("ops", posts.url + "/hook?k=1", "s3cret", clock=lambda: 1_790_000_000.9).send(MESSAGE)
    [(path, headers, body)] = posts.got

    given = dict(part.split("=", 1) for part in headers["x-costweir-signature"].split(","))
    expected = hmac.new(b"s3cret", b"1790000000." + body, hashlib.sha256).hexdigest()
    assert path == "/hook?k=1"
    assert headers["content-type"].startswith("application/json")
    assert given == {"t": "1790000000", "v1": expected}
    assert json.loads(body) == {
        "schema": "costweir.alert/1", "id": "i1", "delivery": "i1.open.1", "root": "i1", "event": "run_failed",
        "state": "open", "severity": "warning", "subject": "aws-main", "count": 1, "incidents": [],
        "text": "The pull of aws-main failed: denied.", "hint": "Look at the key.", "team": "", "owner": "",
        "period": "", "value": "", "limit": "", "page": "", "link": "",
        "opened_at": "2026-11-20T12:00:00.000Z", "resolved_at": "", "instance": "Tiny <b> & Sons",
    }  # fmt: skip


def test_slack_gets_text_in_which_nothing_is_a_link_or_a_mention() -> None:
    evil = replace(MESSAGE, subject="<!channel>", text="<https://x|y> & more", instance="Tiny")
    with http_receiver() as posts:
        SlackHook("team", posts.url).send(evil)
    [(_, _, body)] = posts.got
    text = json.loads(body)["text"]
    assert "<" not in text
    assert "&lt;!channel&gt;" in text
    assert "&lt;https://x|y&gt; &amp; more" in text


@pytest.mark.parametrize(
    ("status", "kind"), [(500, Unreachable), (429, Unreachable), (404, NotAllowed), (302, NotAllowed)]
)
def test_a_refusal_is_a_sentence_without_the_address_and_no_redirect_is_followed(
    status: int, kind: type[Exception]
) -> None:
    with http_receiver() as posts:
        posts.answers = [status]
        with pytest.raises(kind) as caught:
            SlackHook("team", posts.url + "/T000/secret-part").send(MESSAGE)
    assert str(status) in str(caught.value)
    assert "secret-part" not in str(caught.value) + getattr(caught.value, "hint", "")
    assert len(posts.got) == 1


@pytest.mark.parametrize("path", ["/häh/secret-part", "/a b/secret-part"])
def test_an_address_that_cannot_be_used_is_not_shown(path: str) -> None:
    with pytest.raises(NotAllowed, match="cannot be used") as caught:
        SlackHook("team", f"http://127.0.0.1:{free_port()}{path}").send(MESSAGE)
    assert "secret-part" not in str(caught.value)


def test_a_receiver_that_is_not_there_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="does not answer"):
        Webhook("ops", f"http://127.0.0.1:{free_port()}/", "s").send(MESSAGE)
    with pytest.raises(Unreachable, match="does not answer"):
        Mail("post", "127.0.0.1", free_port(), "none", "a@b.c", ("d@e.f",)).send(MESSAGE)


def test_a_mail_is_plain_text_over_tls_after_a_login(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with smtp_receiver(cert, key, password="pw") as mails:
        to = ("a@x.example", "b@x.example")
        sender = Mail(
            "post", "localhost", mails.port, "starttls", "costweir@tiny.example", to, "costweir", "pw", str(cert)
        )  # fmt: skip
        sender.send(MESSAGE)
        wrong = Mail(
            "post", "localhost", mails.port, "starttls", "c@t.example", ("a@x.example",), "c", "no", str(cert)
        )
        with pytest.raises(NotAllowed, match="refused the login"):
            wrong.send(MESSAGE)
    [(to, mail)] = mails.got

    assert mails.logins[0] == (b"costweir", b"pw")
    assert to == ["a@x.example", "b@x.example"]
    assert mail["Subject"] == "[Tiny <b> & Sons] run failed: aws-main"
    assert mail["From"] == "costweir@tiny.example"
    assert not mail.is_multipart()
    assert mail.get_content_type() == "text/plain"
    assert "The pull of aws-main failed: denied.\nLook at the key." in mail.get_content().replace(
        "\r\n", "\n"
    )


def test_a_mail_server_with_an_unknown_certificate_gets_no_mail(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with tls_listener(cert, key) as port, pytest.raises(NotAllowed, match="not trusted"):
        Mail("post", "localhost", port, "tls", "c@t.example", ("a@x.example",)).send(MESSAGE)


def test_a_name_with_line_breaks_begins_no_header_of_its_own() -> None:
    evil = replace(MESSAGE, subject="aws\r\nBcc: evil@x.example", instance="Tiny")
    with smtp_receiver() as mails:
        Mail("post", "127.0.0.1", mails.port, "none", "a@b.example", ("c@d.example",)).send(evil)
    [(to, mail)] = mails.got
    assert to == ["c@d.example"]
    assert mail["Bcc"] is None
    assert mail["Subject"] == "[Tiny] run failed: aws Bcc: evil@x.example"


def test_no_secret_shows_when_a_channel_is_printed() -> None:
    shown = repr((Webhook("a", "https://hook/xyz", "s3cret"), SlackHook("b", "https://hook/xyz"),
                  SlackApp("d", "xyz"), PagerDuty("e", "xyz"), AppriseBridge("f", "json://xyz"),
                  Mail("c", "h", 1, "tls", "a", ("b",), "u", "pw1")))  # fmt: skip
    assert not {"xyz", "s3cret", "pw1"} & {part for part in ("xyz", "s3cret", "pw1") if part in shown}


@given(
    subject=st.text(max_size=2_000), text=st.text(max_size=9_000), hint=st.text(max_size=3_000),
    team=st.text(max_size=300), state=st.sampled_from(["open", "escalated", "resolved"]),
    severity=st.sampled_from(["critical", "warning", "info"]),
)  # fmt: skip
def test_whatever_a_bill_names_the_message_stays_within_the_limits_of_slack_and_pagerduty(
    **words: Any,
) -> None:
    message = replace(
        MESSAGE, **words, root="r" * 300, page="https://pages.example/incidents/i1", link="https://pages.example/e?a|b"
    )  # fmt: skip
    content = slack._content(message)  # pyright: ignore[reportPrivateUsage]
    assert faulty_blocks(content) == ""
    shown = json.dumps(content, ensure_ascii=False)
    assert set(re.findall(r"<[^>]*>", shown)) <= {
        "<https://pages.example/e?a%7Cb|Why>", "<https://pages.example/incidents/i1|Incident>",
    }  # fmt: skip
    event = PagerDuty("p", KEY)._event(message)  # pyright: ignore[reportPrivateUsage]
    assert faulty_event(event) == []


def test_a_slack_app_answers_in_the_thread_and_keeps_the_first_message_up_to_date() -> None:
    with slack_double() as workspace:
        app = SlackApp("team", TOKEN, "#llm-cost-alerts", workspace.url)
        thread = app.send(replace(MESSAGE, page="https://pages.example/incidents/i1", team="platform"))
        assert app.send(replace(MESSAGE, state="escalated", severity="critical"), thread) == ""
        app.send(replace(MESSAGE, state="note", text="a loop"), thread)
        app.send(replace(MESSAGE, state="resolved"), thread)
    assert [place for place, _ in workspace.messages.values()] == ["", *(["1790000000.000000"] * 3)]
    contents = [content for _, content in workspace.messages.values()]
    assert [content.get("reply_broadcast", False) for content in contents] == [False, True, False, False]
    assert "team platform" in json.dumps(contents[0])
    assert "<https://pages.example/incidents/i1|Incident>" in json.dumps(contents[0])
    assert [stamp for stamp, _ in workspace.updates] == ["1790000000.000000"] * 2
    assert ":large_green_circle:" in workspace.updates[-1][1]["text"]


def test_a_thread_that_cannot_be_changed_is_answered_all_the_same() -> None:
    with slack_double() as workspace:
        app = SlackApp("team", TOKEN, "#llm-cost-alerts", workspace.url)
        thread = app.send(MESSAGE)
        gone = thread.replace(ROOM, "C9")
        with pytest.raises(NotAllowed, match="channel_not_found"):
            app.send(replace(MESSAGE, state="resolved"), gone)
        workspace.faults = []
        app.send(replace(MESSAGE, state="resolved"), thread)
    assert len(workspace.messages) == 2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (reply({"ok": False, "error": "invalid_auth"}), NotAllowed),
        (reply({"ok": False, "error": "ratelimited"}, 429), Unreachable),
        (reply({"ok": False, "error": "internal_error"}), Unreachable),
        (Reply(b"<html>proxy</html>"), Unreachable),
        (Reply(b"[]"), Unreachable),
        (Reply(b"{}", 503), Unreachable),
        (Reply(b"{}", 302, {"location": "http://127.0.0.1:1/"}), NotAllowed),
    ],
)
def test_what_slack_says_no_to_is_told_apart_from_what_may_pass(fault: Reply, kind: type[Exception]) -> None:
    with slack_double() as workspace:
        workspace.faults = [fault]
        with pytest.raises(kind) as caught:
            SlackApp("team", TOKEN, "#llm-cost-alerts", workspace.url).send(MESSAGE)
    assert TOKEN not in str(caught.value) + getattr(caught.value, "hint", "")
    assert workspace.messages == {}


def test_an_incident_is_one_alert_at_pagerduty_from_its_beginning_to_its_end() -> None:
    with pagerduty() as service:
        sender = PagerDuty("pager", KEY, service.url)
        told = replace(
            MESSAGE, severity="critical", team="platform", value="$4,812.10", limit="$5,000.00",
            link="https://pages.example/explore?customer=acme", page="https://pages.example/incidents/i1",
        )  # fmt: skip
        for state in ("open", "escalated", "acknowledged", "resolved"):
            sender.send(replace(told, state=state))
    first, worse, ack, end = service.events
    assert service.alerts == {"i1": "resolved"}
    assert service.pages == ["i1"]
    assert [event["event_action"] for event in (worse, ack, end)] == ["trigger", "acknowledge", "resolve"]
    payload = first["payload"]
    assert (payload["severity"], payload["source"], payload["group"]) == (
        "critical",
        MESSAGE.instance,
        "platform",
    )
    assert payload["custom_details"]["limit"] == "$5,000.00"
    assert [link["text"] for link in first["links"]] == ["Why", "Incident"]
    assert first["client_url"] == told.page
    assert "payload" not in end


def test_a_test_at_pagerduty_ends_itself() -> None:
    with pagerduty() as service:
        PagerDuty("pager", KEY, service.url).send(trial_message("Tiny", datetime.now(UTC)))
    assert list(service.alerts.values()) == ["resolved"]


@pytest.mark.parametrize(("key", "status", "kind"), [("short", 0, NotAllowed), (KEY, 429, Unreachable)])
def test_what_pagerduty_says_no_to(key: str, status: int, kind: type[Exception]) -> None:
    with pagerduty() as service:
        service.faults = [Reply(b"{}", status)] if status else []
        with pytest.raises(kind) as caught:
            PagerDuty("pager", key, service.url).send(MESSAGE)
    assert key not in str(caught.value)


def test_mails_about_one_incident_are_one_thread_and_a_repeat_is_the_same_mail(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with smtp_receiver(cert, key) as mails:
        sender = Mail("post", "localhost", mails.port, "starttls", "c@tiny.example", ("a@x.example",),
                      ca_file=str(cert))  # fmt: skip
        thread = sender.send(replace(MESSAGE, severity="critical"))
        sender.send(replace(MESSAGE, severity="critical"))
        assert sender.send(replace(MESSAGE, state="resolved", delivery="i1.resolved.1"), thread) == ""
    first, again, end = (mail for _, mail in mails.got)
    assert first["Message-ID"] == again["Message-ID"] == thread == "<i1.open.1@tiny.example>"
    assert (end["In-Reply-To"], end["References"]) == (thread, thread)
    assert end["Message-ID"] != thread
    assert (first["Importance"], end["Importance"]) == ("high", None)
    assert "CRITICAL run failed: aws-main" in first["Subject"]


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_every_other_service_is_told_by_the_library() -> None:
    with http_receiver() as posts:
        host = posts.url.removeprefix("http://")
        AppriseBridge("teams", f"json://{host}/hook").send(replace(MESSAGE, severity="critical"))
        AppriseBridge("teams", f"json://{host}/hook").send(replace(MESSAGE, state="resolved"))
        posts.answers = [500]
        with pytest.raises(Unreachable, match="did not take"):
            AppriseBridge("teams", f"json://{host}/hook").send(MESSAGE)
    first, last, _ = (json.loads(body) for _, _, body in posts.got)
    assert (first["type"], last["type"]) == ("failure", "success")
    assert "The pull of aws-main failed: denied." in first["message"]


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_an_address_that_the_library_does_not_know_is_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        AppriseBridge("teams", "nosuch://secret-part").send(MESSAGE)
    assert "secret-part" not in str(caught.value) + caught.value.hint


def test_without_the_library_the_channel_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ConfigError) as caught:
        AppriseBridge("teams", "json://127.0.0.1/").send(MESSAGE)
    assert "pip install 'costweir[channels]'" in caught.value.hint
