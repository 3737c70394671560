"""What really arrives at a webhook, at Slack and in a mailbox, and what a refusal says."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from pathlib import Path

import pytest
from receivers import certificate, free_port, http_receiver, smtp_receiver, tls_listener

from costweir.alerts.mail import Mail
from costweir.alerts.message import Message
from costweir.alerts.slack import SlackHook
from costweir.alerts.webhook import Webhook
from costweir.errors import NotAllowed, Unreachable

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
                  Mail("c", "h", 1, "tls", "a", ("b",), "u", "pw1")))  # fmt: skip
    assert not {"xyz", "s3cret", "pw1"} & {part for part in ("xyz", "s3cret", "pw1") if part in shown}
