"""The API as another program meets it: over a real socket, with tokens, pages, tags, writes and every way to fail."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from api_server import ADMIN, Site, escaped, site
from bills import line, store, world

from costweir.control.tokens import Wish
from costweir.queries.request import Request
from costweir.web.access import MOST_BODY
from costweir.web.throttle import Limits

SIZE = 300


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("api"), size=SIZE) as running:
        yield running


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Site]:
    """One whose data a test may change."""
    with site(tmp_path, size=20) as running:
        yield running


def test_an_answer_is_exactly_what_the_catalogue_gives(served: Site) -> None:
    got = served.get(
        "/v1/answers/spend", by=["provider", "model"], where="customer=acme", since="2026-10-01", limit=2
    )

    from datetime import date

    wanted = served.desk.ask(
        Request(
            "spend", by=("provider", "model"), where={"customer": ("acme",)}, since=date(2026, 10, 1), limit=2
        )
    )
    assert got.status == 200
    assert got.json == json.loads(json.dumps(wanted.to_json()))
    assert (
        got.json
        == served.get(
            "/v1/answers/spend?by=provider,model&where=customer%3Dacme&since=2026-10-01&limit=2"
        ).json
    )


def test_an_empty_parameter_counts_as_not_given(served: Site) -> None:
    bare = served.get("/v1/answers/spend")
    assert served.get("/v1/answers/spend?by=&where=&since=&until=&limit=").json == bare.json


def test_the_days_may_be_given_by_the_last_of_them(served: Site) -> None:
    until = served.get("/v1/answers/spend?since=2026-10-01&until=2026-11-01").json
    assert served.get("/v1/answers/spend?since=2026-10-01&through=2026-10-31").json == until
    assert served.get("/v1/answers/spend?since=2026-10-01&through=2026-12-31&until=2026-11-01").json == until
    assert served.get("/v1/answers/spend?through=9999-12-31").json == served.get("/v1/answers/spend").json


# -- lines, page by page


def pages(served: Site, token: str = "", **query: object) -> list[list[dict[str, object]]]:
    found: list[list[dict[str, object]]] = []
    cursor = ""
    while True:
        got = served.get("/v1/charges", token, **query, **({"cursor": cursor} if cursor else {}))
        assert got.status == 200, got.text
        found.append(got.json["rows"])
        cursor = got.json["next_cursor"]
        if not cursor:
            return found


@pytest.mark.parametrize("limit", [1, 7, 100, 1000])
def test_every_line_is_on_exactly_one_page_in_a_fixed_order(served: Site, limit: int) -> None:
    found = pages(served, limit=limit)
    rows = [row for page in found for row in page]

    assert [len(page) for page in found[:-1]] == [limit] * (len(found) - 1)
    assert 1 <= len(found[-1]) <= limit
    assert len(rows) == SIZE
    assert [row["usage_date"] for row in rows] == sorted(row["usage_date"] for row in rows)
    assert sum(Decimal(str(row["billed_cost"])) for row in rows) == sum(
        row["billed_cost"] for row in world(size=SIZE)
    )
    assert rows == [row for page in pages(served, limit=1000) for row in page]


def test_lines_that_are_equal_in_everything_all_come(tmp_path: Path) -> None:
    with site(tmp_path, size=1) as running:
        store(running.desk.warehouse, tmp_path, [line(x_account="twins")] * 25)
        rows = [row for page in pages(running, limit=4, where="account=twins") for row in page]
    assert len(rows) == 25


def test_filters_and_days_narrow_the_lines(served: Site) -> None:
    query = {
        "where": ["customer=acme", "customer=globex", "provider=aws"],
        "since": "2026-10-01",
        "until": "2026-11-01",
    }
    rows = [row for page in pages(served, limit=10, **query) for row in page]
    kept = [
        row for row in world(size=SIZE)
        if row["x_customer"] in ("acme", "globex") and row["x_provider"] == "aws" and row["usage_month"] == "2026-10"
    ]  # fmt: skip
    assert len(rows) == len(kept) > 0
    by_plan = [row for page in pages(served, limit=50, where="plan=tier_2") for row in page]
    assert {row["x_customer"] for row in by_plan} == {"globex"}


def test_a_cursor_of_other_filters_or_of_nobody_is_refused(served: Site) -> None:
    cursor = served.get("/v1/charges", limit=5).json["next_cursor"]
    for query in (
        {"cursor": cursor, "where": "customer=acme"},
        {"cursor": cursor, "since": "2026-10-01"},
        {"cursor": cursor[:-2]},
        {"cursor": cursor + "A"},
        {"cursor": "W10"},
        {"cursor": "!!!"},
    ):
        got = served.get("/v1/charges", **query)
        assert (got.status, got.json["code"]) == (400, "usage"), query


def test_a_cursor_from_before_a_bill_was_replaced_is_refused(fresh: Site, tmp_path: Path) -> None:
    cursor = fresh.get("/v1/charges", limit=5).json["next_cursor"]
    store(fresh.desk.warehouse, tmp_path, [line(x_account="new")], run_id="run-2")

    got = fresh.get("/v1/charges", limit=5, cursor=cursor)
    assert (got.status, got.json["code"]) == (409, "conflict")


# -- tags


@pytest.mark.parametrize(
    "path", ["answers/spend?by=day", "customers", "questions", "charges?limit=3", "plans/tier_1"]
)
def test_what_did_not_change_is_not_sent_again(served: Site, path: str) -> None:
    first = served.get(f"/v1/{path}")
    tag = first.headers["etag"]
    assert tag.startswith('W/"')
    for given in (tag, tag.removeprefix("W/"), f'"x", {tag}', "*"):
        again = served.call("GET", f"/v1/{path}", headers={"If-None-Match": given})
        assert (again.status, again.text, again.headers["etag"]) == (304, "", tag), given
    assert served.call("GET", f"/v1/{path}", headers={"If-None-Match": 'W/"other"'}).text == first.text


def test_a_change_changes_the_tag(fresh: Site) -> None:
    tag = fresh.get("/v1/customers").headers["etag"]
    assert fresh.call("PUT", "/v1/customers/new", token=ADMIN, body={}).status == 201
    assert fresh.call("GET", "/v1/customers", headers={"If-None-Match": tag}).status == 200


def test_head_gives_the_headers_of_get_and_no_body(served: Site) -> None:
    got = served.call("HEAD", "/v1/customers")
    assert (got.status, got.text) == (200, "")
    assert got.headers["etag"] == served.get("/v1/customers").headers["etag"]


# -- every failure is a problem document


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1", 404, "not_found"),
        ("GET", "/v1/", 404, "not_found"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("POST", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1/customers/nobody", 404, "not_found"),
        ("PATCH", "/v1/customers/acme", 405, "method_not_allowed"),
        ("POST", "/v1/answers/spend", 405, "method_not_allowed"),
        ("OPTIONS", "/v1/customers", 405, "method_not_allowed"),
        ("TRACE", "/v1/customers", 405, "method_not_allowed"),
        ("GET", "/v1/answers/spent", 400, "usage"),
        ("GET", "/v1/answers/spend?by=colour", 400, "usage"),
        ("GET", "/v1/answers/spend?since=2026-02-31", 400, "usage"),
        ("GET", "/v1/answers/spend?since=20260201", 400, "usage"),
        ("GET", "/v1/answers/spend?since=2026-10-02&until=2026-10-01", 400, "usage"),
        ("GET", "/v1/answers/spend?since=2026-10-02&since=2026-10-03", 400, "usage"),
        ("GET", "/v1/answers/spend?limit=0", 400, "usage"),
        ("GET", "/v1/answers/spend?limit=99999999999999999999", 400, "usage"),
        ("GET", "/v1/answers/spend?limit=%D9%A3", 400, "usage"),
        ("GET", "/v1/answers/spend?where=customer", 400, "usage"),
        ("GET", "/v1/answers/spend?basis=bare", 400, "usage"),
        ("GET", "/v1/answers/spend?colour=red", 400, "usage"),
        ("GET", "/v1/charges?limit=1001", 400, "usage"),
        ("GET", "/v1/charges?where=session=s1", 400, "usage"),
        ("GET", "/v1/audit", 401, "unauthenticated"),
        ("PUT", "/v1/customers/acme", 401, "unauthenticated"),
        ("POST", "/v1/loads", 401, "unauthenticated"),
        ("GET", "/v1/customers/" + "x" * 20_000, 414, "address_too_long"),
    ],
)  # fmt: skip
def test_every_failure_is_one_shape(served: Site, method: str, path: str, status: int, code: str) -> None:
    got = served.call(method, path, body={} if method in ("PUT", "POST") else None)

    assert got.status == status
    assert got.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "hint", "code", "transient"} <= got.json.keys()
    assert (got.json["code"], got.json["status"]) == (code, status)
    assert got.json["hint"]
    if status == 405:
        assert got.headers["allow"]
    if status == 401:
        assert got.headers["www-authenticate"].startswith("Bearer")


def test_no_header_lets_another_site_read(served: Site) -> None:
    for method in ("GET", "OPTIONS"):
        got = served.call(method, "/v1/customers", headers={
            "Origin": "https://evil.example", "Access-Control-Request-Method": "PUT"})  # fmt: skip
        assert not [name for name in got.headers if name.startswith("access-control")]


def test_a_defect_of_ours_is_a_problem_without_its_cause(
    served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> object:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(served.desk, "customers", broken)
    got = served.get("/v1/customers")
    assert (got.status, got.json["code"]) == (500, "internal")
    assert got.headers["content-type"] == "application/problem+json"
    assert "secret" not in got.text


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"", 400), (b"{", 400), (b"[" * 100_000, 400), (b'{"name": NaN}', 400), (b"\xff\xfe", 400),
        (b'{"session_calls": ' + b"9" * 5_000 + b"}", 400), (b"[]", 422), (b'"x"', 422), (b"null", 422),
        (b'{"price_usd": 3.5}', 422), (b'{"price_usd": 3}', 422), (b'{"price_usd": "-3"}', 422), (b"{}", 422),
        (b'{"price_usd": "3", "colour": "red"}', 422), (b'{"price_usd": "3", "id": "other"}', 422),
        (b'{"price_usd": "3", "name": "\\ud800"}', 422), (b'{"price_usd": "3", "name": "\\u0000"}', 422),
        (b'{"price_usd": "3", "session_calls": 9007199254740993}', 422),
        (b'{"price_usd": "3", "session_calls": "5"}', 422), (b'{"price_usd": "3", "session_calls": 0}', 422),
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_kept_is_refused_and_nothing_is_written(
    served: Site, raw: bytes, status: int
) -> None:
    before = served.office.control.audit.verify().rows
    got = served.call("PUT", "/v1/plans/p", token=ADMIN, raw=raw)
    assert got.status == status, got.text
    if status == 422:
        assert {"pointer", "detail"} == got.json["errors"][0].keys()
    assert served.office.control.audit.verify().rows == before


def test_a_body_has_to_be_json_and_may_not_be_endless(served: Site) -> None:
    got = served.call("PUT", "/v1/plans/p", token=ADMIN, raw=b"{}", headers={"Content-Type": "text/plain"})
    assert (got.status, got.json["code"]) == (415, "unsupported_media_type")
    with socket.create_connection(
        (urlsplit(served.url).hostname, urlsplit(served.url).port), timeout=20
    ) as plain:
        plain.sendall(
            f"PUT /v1/plans/p HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {ADMIN}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {MOST_BODY + 1}\r\n\r\n".encode()
        )
        assert plain.recv(1000).startswith(b"HTTP/1.1 413")


def test_a_body_without_a_length_is_capped_too(served: Site) -> None:
    with socket.create_connection(
        (urlsplit(served.url).hostname, urlsplit(served.url).port), timeout=20
    ) as plain:
        plain.sendall(
            f"PUT /v1/plans/p HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {ADMIN}\r\n"
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        try:
            for _ in range(MOST_BODY // 0x10000 + 2):
                plain.sendall(chunk)
        except OSError:
            pass
        assert plain.recv(1000).startswith(b"HTTP/1.1 413")


def test_headers_are_capped(served: Site) -> None:
    got = served.call("GET", "/v1/customers", headers={"X-Long": "x" * 40_000})
    assert (got.status, got.json["code"]) == (431, "headers_too_large")


def test_a_whole_number_may_be_written_with_a_point(fresh: Site) -> None:
    got = fresh.call("PUT", "/v1/plans/p", token=ADMIN, raw=b'{"price_usd": "3", "session_calls": 5.0}')
    assert (got.status, got.json["session_calls"]) == (201, 5)
    for text in ("5.5", "1e400", "-1e400", "1e-400"):
        raw = b'{"price_usd": "3", "session_calls": ' + text.encode() + b"}"
        assert fresh.call("PUT", "/v1/plans/p", token=ADMIN, raw=raw).status == 422, text


# -- who may do what


def test_a_wrong_token_is_refused_even_where_reading_is_open(served: Site) -> None:
    assert served.get("/v1/customers").status == 200
    for value in ("Bearer wrong", "Bearer ", "Basic YTpi", "Bearer cwt_00000000_" + "A" * 43, "Bearer \xe9"):
        got = served.call("GET", "/v1/customers", headers={"Authorization": value})
        assert (got.status, got.json["code"]) == (401, "unauthenticated"), value


READS = (
    "status",
    "questions",
    "answers/spend",
    "charges",
    "customers",
    "plans",
    "budgets",
    "runs",
    "quarantine",
    "prices",
)


@pytest.mark.parametrize(
    ("scope", "read", "plan", "budget", "tokens"),
    [("ingest", 403, 403, 403, 403), ("read", 200, 403, 403, 403), ("finance", 200, 200, 200, 403),
     ("admin", 200, 200, 200, 200)],
)  # fmt: skip
def test_each_scope_may_do_what_it_says(
    served: Site, scope: str, read: int, plan: int, budget: int, tokens: int
) -> None:
    token = served.token(scope)  # type: ignore[arg-type]
    assert {path: served.get(f"/v1/{path}", token).status for path in READS} == dict.fromkeys(READS, read)
    assert served.call("PUT", "/v1/plans/of-scope", token=token, body={"price_usd": "1"}).status in (
        plan,
        plan + 1,
    )
    assert served.call("PUT", "/v1/customers/of-scope", token=token, body={}).status in (plan, plan + 1)
    body = {"limit_usd": "5"}
    assert served.call("PUT", "/v1/budgets/of-scope", token=token, body=body).status in (budget, budget + 1)
    for path in ("tokens", "audit", "audit/verification"):
        assert served.get(f"/v1/{path}", token).status == tokens
    assert served.call("POST", "/v1/sample", token=token, body=None if tokens == 200 else {}).status != 200


def test_a_revoked_and_an_ended_token_open_nothing(served: Site) -> None:
    tokens = served.office.control.tokens
    token, text = tokens.create(Wish(), by="test")
    assert served.get("/v1/customers", text).status == 200
    assert served.call("DELETE", f"/v1/tokens/{token.id}", token=ADMIN).json["revoked_at"]
    assert served.get("/v1/customers", text).status == 401
    _, ended = tokens.create(Wish(expires=timedelta(0)), by="test")
    assert served.get("/v1/customers", ended).status == 401


def test_a_token_of_the_api_does_not_open_the_pages(served: Site) -> None:
    assert served.get("/metrics", served.token()).status == 200
    assert served.get("/metrics", served.token(customer="acme")).status == 403
    for token in (served.token(), served.token("ingest"), served.token(customer="acme")):
        assert served.get("/", token).status == 403
    assert served.get("/", ADMIN).status == 200


def test_another_address_than_loopback_needs_a_token_for_everything(tmp_path: Path) -> None:
    with site(tmp_path, open_reading=False, size=5) as closed:
        for path in (*READS, "openapi.json", "nothing"):
            assert closed.get(f"/v1/{path}").status == 401, path
            assert closed.get(f"/v1/{path}", closed.token()).status in (200, 404), path
        assert closed.get("/").status == 401
        assert closed.get("/health").status == 200


def test_a_cookie_alone_changes_nothing_but_a_page_of_ours_may(fresh: Site) -> None:
    from costweir.web.access import COOKIE, Keys

    cookie = f"{COOKIE}={Keys(ADMIN).session}"
    for headers, status in (
        ({}, 403), ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403), ({"Sec-Fetch-Site": "same-site", "Origin": fresh.url}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 201), ({"Origin": fresh.url}, 200),
    ):  # fmt: skip
        got = fresh.call("PUT", "/v1/customers/c", headers={"Cookie": cookie, **headers}, body={})
        assert got.status == status, headers
    assert fresh.get("/v1/audit", ADMIN).json["rows"][0]["actor"] == "browser"


# -- too much


def test_a_caller_who_asks_too_much_is_told_when_to_come_back(tmp_path: Path) -> None:
    with site(tmp_path, limits=Limits(rate=1, burst=5), size=5) as small:
        token, other = small.token(), small.token()
        found = [small.get("/v1/questions", token) for _ in range(8)]
        assert [got.status for got in found][:5] == [200] * 5
        assert found[-1].status == 429
        assert found[-1].json["code"] == "rate_limited"
        assert int(found[-1].headers["retry-after"]) >= 1
        assert small.get("/v1/questions", other).status == 200
        assert small.get("/health").status == 200


def test_wrong_tokens_are_throttled_and_right_ones_still_pass(tmp_path: Path) -> None:
    with site(tmp_path, limits=Limits(failures=3, failure_seconds=60), size=5) as small:
        assert [small.get("/v1/questions", "wrong").status for _ in range(5)] == [401, 401, 401, 429, 429]
        assert small.get("/enter?once=wrong").status == 429
        assert small.get("/v1/questions", small.token()).status == 200


# -- writes


def made_by_hand(running: Site) -> list[dict[str, Any]]:
    """The rows of the audit chain, newest first, without those of the configuration file."""
    rows = running.get("/v1/audit", ADMIN).json["rows"]
    return [row for row in rows if row["actor"] != "config"]


def test_customers_plans_and_budgets_are_set_read_changed_and_removed(fresh: Site) -> None:
    for noun, name, body, more in (
        ("plan", "gold", {"price_usd": "199.00", "session_calls": 7}, {"price_usd": "249.00"}),
        ("customer", "new/é 1", {"plan": "tier_1", "since": "2026-11-01"}, {"name": "New"}),
        ("budget", "b", {"limit_usd": "3", "scope": {"customer": "acme"}, "window": "day"}, {"calls": 5}),
    ):
        path = f"/v1/{noun}s/{escaped(name)}"
        made = fresh.call("PUT", path, token=ADMIN, body=body)
        assert made.status == 201, made.text
        assert {**made.json, **body} == made.json
        assert fresh.get(path).json == made.json
        changed = fresh.call("PUT", path, token=ADMIN, body={**body, **more})
        assert changed.status == 200
        assert {**changed.json, **more} == changed.json
        assert fresh.call("DELETE", path, token=ADMIN).json["deleted"] is True
        assert fresh.get(path).status == 404
        assert fresh.call("DELETE", path, token=ADMIN).status == 404


def test_a_change_is_followed_by_the_answers(fresh: Site, tmp_path: Path) -> None:
    store(fresh.desk.warehouse, tmp_path, [line(x_account="walk", x_customer="walk-in")])

    def plans() -> set[str]:
        return {row["plan"] for row in fresh.get("/v1/answers/spend?by=plan").json["rows"]}

    assert "gold" not in plans()
    fresh.call("PUT", "/v1/plans/gold", token=ADMIN, body={"price_usd": "199"})
    fresh.call("PUT", "/v1/customers/walk-in", token=ADMIN, body={"plan": "gold"})
    assert "gold" in plans()
    budgets = {row["budget"] for row in fresh.get("/v1/answers/budgets").json["rows"]}
    fresh.call("PUT", "/v1/budgets/late", token=ADMIN, body={"limit_usd": "3"})
    assert {row["budget"] for row in fresh.get("/v1/answers/budgets").json["rows"]} == budgets | {"late"}


def test_what_the_configuration_file_sets_is_changed_there(fresh: Site) -> None:
    for path, body in (
        ("customers/acme", {}),
        ("plans/tier_1", {"price_usd": "1"}),
        ("budgets/everything", {"calls": 1}),
    ):
        assert fresh.call("PUT", f"/v1/{path}", token=ADMIN, body=body).status == 409
        assert fresh.call("DELETE", f"/v1/{path}", token=ADMIN).status == 409
    assert made_by_hand(fresh) == []


def test_a_plan_has_to_exist_for_its_customers_and_stays_while_it_has_some(fresh: Site) -> None:
    got = fresh.call("PUT", "/v1/customers/c", token=ADMIN, body={"plan": "platinum"})
    assert (got.status, got.json["errors"][0]["pointer"]) == (422, "/plan")
    fresh.call("PUT", "/v1/plans/gold", token=ADMIN, body={"price_usd": "1"})
    fresh.call("PUT", "/v1/customers/c", token=ADMIN, body={"plan": "gold"})
    assert fresh.call("DELETE", "/v1/plans/gold", token=ADMIN).status == 409


def test_every_change_is_in_the_chain_with_who_and_from_what_to_what(fresh: Site) -> None:
    token = fresh.office.control.tokens.create(Wish("finance"), by="test")
    fresh.call("PUT", "/v1/plans/gold", token=token[1], body={"price_usd": "1"})
    fresh.call("PUT", "/v1/plans/gold", token=token[1], body={"price_usd": "1"})
    fresh.call("PUT", "/v1/plans/gold", token=ADMIN, body={"price_usd": "2"})
    fresh.call("DELETE", "/v1/plans/gold", token=ADMIN)

    rows = made_by_hand(fresh)
    assert [(row["actor"], row["action"], row["subject"]) for row in rows] == [
        ("admin", "plan.delete", "plan:gold"), ("admin", "plan.put", "plan:gold"),
        (token[0].id, "plan.put", "plan:gold"),
    ]  # fmt: skip
    assert [(row["before"] or {}).get("price_usd") for row in rows] == ["2", "1", None]
    assert [(row["after"] or {}).get("price_usd") for row in rows] == [None, "2", "1"]
    assert fresh.get("/v1/audit/verification", ADMIN).json["ok"] is True
    newest = rows[0]["seq"]
    assert [row["seq"] for row in fresh.get(f"/v1/audit?before={newest}&limit=1", ADMIN).json["rows"]] == [
        newest - 1
    ]


def test_a_repeat_with_the_same_key_gets_the_same_reply_and_changes_nothing(fresh: Site) -> None:
    def put(key: str, price: str, token: str = ADMIN):
        headers = {"Idempotency-Key": key}
        return fresh.call("PUT", "/v1/plans/gold", token=token, body={"price_usd": price}, headers=headers)

    first = put("k1", "1")
    assert put("k2", "2").status == 200
    again = put("k1", "1")
    assert (again.status, again.text) == (first.status, first.text) == (201, first.text)
    assert again.headers["idempotency-replayed"] == "true"
    assert fresh.get("/v1/plans/gold").json["price_usd"] == "2"
    other = put("k1", "3")
    assert (other.status, other.json["code"]) == (409, "conflict")
    assert put("k1", "3", fresh.token("finance")).status == 200
    assert len(made_by_hand(fresh)) == 3
    for key in ("x" * 256, "a b", ""):
        assert put(key, "1").status == 400


def test_the_same_key_at_the_same_moment_is_one_change(fresh: Site) -> None:
    found: list[str] = []

    def put() -> None:
        headers = {"Idempotency-Key": "race"}
        found.append(
            fresh.call("PUT", "/v1/plans/race", token=ADMIN, body={"price_usd": "1"}, headers=headers).text
        )

    threads = [threading.Thread(target=put) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert len(made_by_hand(fresh)) == 1


def test_a_token_made_over_the_api_is_shown_once(fresh: Site) -> None:
    made = fresh.call(
        "POST", "/v1/tokens", token=ADMIN, body={"scope": "read", "customer": "acme", "expires": "1h"}
    )
    assert made.status == 201
    assert made.headers["cache-control"] == "no-store"
    text = made.json["token"]
    assert fresh.get("/v1/customers", text).json["rows"][0]["id"] == "acme"
    for path in ("tokens", "audit"):
        assert text not in fresh.get(f"/v1/{path}", ADMIN).text
