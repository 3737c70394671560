"""Forms are read whole, come from our own pages, and need the role of what they change."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from weir_site import finished

from costweir.errors import NotAllowed, UsageError
from costweir.web.access import Caller
from costweir.web.pages.forms import Forms, read_form
from costweir.web.problems import TooLarge

HERE = {"host": "127.0.0.1:8080", "origin": "http://127.0.0.1:8080"}


def request(
    headers: dict[str, str],
    body: Iterable[bytes] = (),
    *,
    caller: Caller | None = None,
    client: str = "127.0.0.1",
) -> Request:
    parts = [{"type": "http.request", "body": part, "more_body": True} for part in body]
    messages = iter([*parts, {"type": "http.request", "body": b"", "more_body": False}])

    async def receive():
        return next(messages)

    scope = {
        "type": "http", "method": "POST", "path": "/x", "query_string": b"", "client": (client, 1),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
    }  # fmt: skip
    if caller:
        scope["costweir_caller"] = caller
    return Request(scope, receive)


def read(kind: str, *body: bytes, most: int = 10_000):
    return finished(read_form(request({"content-type": kind}, body), most=most))


def multipart(**parts: bytes) -> bytes:
    lines = [
        f'--XX\r\nContent-Disposition: form-data; name="{name}"; filename="a.csv"\r\n'.encode()
        + b"Content-Type: text/csv\r\n\r\n" + content + b"\r\n"
        for name, content in parts.items()
    ]  # fmt: skip
    return b"".join(lines) + b"--XX--\r\n"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=60))
def test_a_file_arrives_as_the_text_that_it_is(text: str) -> None:
    found = read("multipart/form-data; boundary=XX", multipart(file=text.encode(), token=b"t"))
    assert found == {"file": text.removeprefix("\ufeff"), "token": "t"}


def test_a_file_of_an_old_spreadsheet_is_read_and_its_mark_dropped() -> None:
    assert (
        read("multipart/form-data; boundary=XX", multipart(file="id;Müller €".encode("cp1252")))["file"]
        == "id;Müller €"
    )
    assert read("multipart/form-data; boundary=XX", multipart(file=b"\xef\xbb\xbfid"))["file"] == "id"


@pytest.mark.parametrize("kind", ["text/plain", "", "application/json"])
def test_anything_but_a_form_is_refused(kind: str) -> None:
    with pytest.raises(UsageError):
        read(kind, b"name=x")


def test_a_form_ends_where_it_gets_too_large() -> None:
    with pytest.raises(TooLarge):
        read("application/x-www-form-urlencoded", b"a=" + b"x" * 90, b"y" * 20, most=100)
    assert read("multipart/form-data", b"no boundary") == {}


@pytest.mark.parametrize(
    ("caller", "client", "actor"),
    [
        (None, "127.0.0.1", "browser"),
        (None, "203.0.113.9", ""),
        (Caller("browser", "admin"), "203.0.113.9", "browser"),
        (Caller("ada@example.com", "finance"), "203.0.113.9", "ada@example.com"),
        (Caller("vic@example.com", "read"), "203.0.113.9", ""),
        # Behind a proxy on this machine everybody seems to be here; who is known has to have the role all the same.
        (Caller("vic@example.com", "read"), "127.0.0.1", ""),
    ],
)
def test_who_may_change_something(caller: Caller | None, client: str, actor: str) -> None:
    forms = Forms()
    asked = request(HERE, caller=caller, client=client)
    if not actor:
        with pytest.raises(NotAllowed, match="needs the role finance"):
            forms.check(asked, {"token": forms.token}, role="finance")
        return
    assert forms.check(asked, {"token": forms.token}, role="finance").actor == actor
    with pytest.raises(NotAllowed, match="before the last restart"):
        forms.check(asked, {"token": Forms().token}, role="finance")
    with pytest.raises(NotAllowed, match="Another site"):
        forms.check(
            request({"host": "x"}, caller=caller, client=client), {"token": forms.token}, role="finance"
        )
