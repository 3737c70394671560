"""A refusal is said as the contract says, in the caller's wire format, and the official SDKs do not try it again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, get_args

import pytest

from costweir.gateway.apis import refusal_reply, stream_error, turned_body, with_usage
from costweir.gateway.turned import Turned
from costweir.guard.bounds import Format
from costweir.guard.codes import STATUSES, DoorCode
from costweir.guard.ledger import Holder, Refusal

FORMATS: tuple[Format, ...] = ("openai.chat", "openai.embeddings", "anthropic.messages")
FIELDS = (
    "code", "request_id", "budget_id", "scope", "limit_usd", "settled_usd", "held_usd", "needed_usd", "resets_at",
    "why_url",
)  # fmt: skip
MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC)
WHY = "http://127.0.0.1:8080/why/req_1"
EXCEEDED = Refusal(
    code="budget_exceeded", request_id="req_1", message="Budget acme-day has 0.10 USD left.", budget_id="acme-day",
    scope={"customer": "acme"}, limit=1_000_000_000, settled=850_000_000, held=50_000_000, needed=120_000_001,
    resets_at=MIDNIGHT, holders=(Holder("req_0", 50_000_000, MIDNIGHT),),
)  # fmt: skip


def headers(head: bytes) -> dict[str, str]:
    assert head.endswith(b"\r\n")
    return dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n")[:-1])


@pytest.mark.parametrize("form", FORMATS)
def test_a_budget_says_which_what_is_used_by_whom_and_until_when(form: Format) -> None:
    status, head, body = refusal_reply(form, EXCEEDED, WHY)

    assert status == 402
    assert headers(head) == {
        "content-type": "application/json", "x-costweir-request-id": "req_1", "x-should-retry": "false",
    }  # fmt: skip
    told = json.loads(body)["costweir"]
    assert {name: told[name] for name in FIELDS} == {
        "code": "budget_exceeded", "request_id": "req_1", "budget_id": "acme-day", "scope": {"customer": "acme"},
        "limit_usd": "1.00", "settled_usd": "0.85", "held_usd": "0.05", "needed_usd": "0.120000001",
        "resets_at": "2026-11-22T00:00:00.000Z", "why_url": WHY,
    }  # fmt: skip
    assert told["holders"] == [
        {"request_id": "req_0", "held_usd": "0.05", "expires_at": "2026-11-22T00:00:00.000Z"}
    ]


def test_openai_and_anthropic_have_their_own_form() -> None:
    openai = json.loads(refusal_reply("openai.chat", EXCEEDED, WHY)[2])
    anthropic = json.loads(refusal_reply("anthropic.messages", EXCEEDED, WHY)[2])

    assert openai["error"] == {
        "message": EXCEEDED.message, "type": "insufficient_quota", "param": None, "code": "budget_exceeded",
    }  # fmt: skip
    assert (anthropic["type"], anthropic["error"]) == (
        "error", {"type": "billing_error", "message": EXCEEDED.message},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("code", "status", "wait", "name", "value"),
    [
        ("rate_limited", 429, 2.1, "retry-after", "3"),
        ("rate_limited", 429, None, "retry-after", "1"),
        ("rate_limited", 429, 0.0, "retry-after", "1"),
        ("ledger_unavailable", 503, None, "retry-after", "1"),
        ("price_unknown", 403, None, "x-should-retry", "false"),
        ("unbounded_request", 403, None, "x-should-retry", "false"),
    ],
)
def test_every_code_has_its_status_and_says_whether_to_come_back(
    code: Any, status: int, wait: float | None, name: str, value: str
) -> None:
    for form in FORMATS:
        given, head, body = refusal_reply(form, Refusal(code, "req_1", "No.", retry_after=wait), "")
        assert (given, headers(head)[name]) == (status, value)
        assert json.loads(body)["costweir"]["code"] == code
        assert json.loads(body)["costweir"]["why_url"] is None


@pytest.mark.parametrize("code", get_args(DoorCode))
def test_what_the_gateway_itself_turns_away_has_the_same_form(code: Any) -> None:
    for form in FORMATS:
        turned = Turned(code, "No.", hint="Do this.", detail="10.0.0.7", retry_after=7)
        status, head, body = turned_body(form, turned, "req_2", "http://pages/why/req_2")
        told = json.loads(body)

        assert status == STATUSES[code]
        assert set(FIELDS) <= told["costweir"].keys()
        assert (told["costweir"]["code"], told["costweir"]["request_id"]) == (code, "req_2")
        assert told["error"]["message"] == "No. Do this."
        assert told["costweir"]["why_url"] == "http://pages/why/req_2"
        assert b"10.0.0.7" not in body, "what is for the operator reaches no caller"
        retry = {429: ("retry-after", "7"), 503: ("retry-after", "7")}.get(status)
        if retry:
            assert headers(head)[retry[0]] == retry[1]
        elif status < 500:
            assert headers(head)["x-should-retry"] == "false"


def test_a_name_with_line_ends_cannot_add_a_header() -> None:
    _, head, _ = refusal_reply("openai.chat", EXCEEDED, "http://x\r\nevil: 1")

    assert b"evil" not in head


def test_a_stream_that_cannot_be_completed_ends_with_an_error_event() -> None:
    chat = stream_error("openai.chat", "The provider hung up.", "req_1", "http://pages/why/req_1")
    message = stream_error("anthropic.messages", "The provider hung up.", "req_1", "http://pages/why/req_1")

    assert chat.startswith(b"data: {")
    assert chat.endswith(b"}\n\n")
    assert message.startswith(b'event: error\ndata: {"type":"error"')
    assert json.loads(chat[6:])["error"]["message"] == "The provider hung up."
    assert json.loads(chat[6:])["costweir"]["why_url"] == "http://pages/why/req_1"


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (None, {"include_usage": True}), (b"null", {"include_usage": True}), (b"7", {"include_usage": True}),
        (b'{"include_usage":false,"include_obfuscation":false}', {"include_usage": True, "include_obfuscation": False}),
    ],
)  # fmt: skip
def test_usage_is_asked_for_whatever_else_is(options: bytes | None, wanted: dict[str, bool]) -> None:
    import msgspec

    assert with_usage(None if options is None else msgspec.Raw(options)) == wanted


def test_a_refusal_without_a_limit_in_usd_claims_no_amounts() -> None:
    paced = Refusal("rate_limited", "req_1", "No.", "rpm", {"customer": "acme"}, retry_after=3)
    told = json.loads(refusal_reply("openai.chat", paced, "")[2])["costweir"]

    assert told["budget_id"] == "rpm"
    assert [told[name] for name in ("limit_usd", "settled_usd", "held_usd", "needed_usd")] == [None] * 4
