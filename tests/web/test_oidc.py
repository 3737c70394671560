"""The login at a provider, against a real server of one, and what attackers try with it."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import jwt
import pytest
import uvicorn
from cryptography.hazmat.primitives import serialization
from fake_desk import FakeDesk
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from tests.web.oidc_provider import PEOPLE, Client, Provider, key, serving

from costweir.config.oidc import Oidc
from costweir.web import oidc as relying
from costweir.web.access import Access, Keys, caller_of
from costweir.web.app import create_app
from costweir.web.login import Login, Sessions

SECRET = "s3cret: with/odd+signs"
ADMIN = "admin-token-of-the-tests"
HTML = {"Accept": "text/html,application/xhtml+xml"}
ROLES = {"ops": "admin", "finance": "finance", "all": "viewer"}


@dataclass
class Got:
    status: int
    headers: Mapping[str, str]
    text: str
    cookies: list[str]

    @property
    def where(self) -> str:
        return self.headers.get("location", "")


@dataclass
class Browser:
    """Keeps cookies and follows nothing by itself."""

    url: str
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, **headers: str) -> Got:
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=20)
        sent = {**HTML, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        connection.request(method, path, headers=sent)
        reply = connection.getresponse()
        found = [value for name, value in reply.getheaders() if name.lower() == "set-cookie"]
        got = Got(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read().decode(), found)
        connection.close()
        for text in found:
            for name, morsel in SimpleCookie(text).items():
                self.cookies.pop(name, None)
                if morsel["max-age"] != "0":
                    self.cookies[name] = morsel.value
        return got

    def get(self, path: str, **headers: str) -> Got:
        return self.ask("GET", path, **headers)

    def begin(self, path: str = "/") -> Got:
        """From a page to the provider's answer: the address that leads back, not followed yet."""
        invited = self.get(path)
        assert invited.status == 303, invited.text
        sent = self.get(invited.where)
        assert sent.status == 303, sent.text
        return visit(sent.where)

    def login(self, path: str = "/") -> Got:
        back = self.begin(path)
        assert back.where.startswith(self.url), back.text
        return self.get(back.where.removeprefix(self.url))

    def me(self) -> dict[str, Any]:
        return json.loads(self.get("/v1/me").text)


def visit(url: str) -> Got:
    parts = urlsplit(url)
    return Browser(f"{parts.scheme}://{parts.netloc}").get(f"{parts.path}?{parts.query}")


def me(request: Request) -> JSONResponse:
    caller = caller_of(request)
    return JSONResponse({"actor": caller.actor, "role": caller.role, "known": caller.known})


@contextmanager
def site(provider: Provider, **settings: Any) -> Iterator[tuple[str, Login]]:
    """Pages behind a login at the provider, and the login itself."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        for client in provider.clients.values():
            client.redirect_uris = (f"{url}/oidc/callback",)
        given = {
            "issuer": provider.issuer,
            "client_id": "costweir",
            "public_url": url,
            "roles": ROLES,
            **settings,
        }
        chosen = Oidc.model_validate(given)
        login = Login(chosen, relying.Provider(chosen, SECRET))
        routes = [Route("/v1/me", me, methods=["GET", "POST"]), *login.routes()]
        desk = FakeDesk()
        app = Access(create_app(desk, routes=routes), keys=Keys(ADMIN), open_reading=False, door=login)
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield url, login
        finally:
            server.should_exit = True
            thread.join(5)
            if "office" in vars(desk):
                desk.office.close()


@pytest.fixture
def provider() -> Iterator[Provider]:
    clients = {"costweir": Client(SECRET, ()), "another": Client("x", ())}
    with serving(Provider(clients)) as running:
        yield running


@pytest.fixture
def browser(provider: Provider) -> Iterator[Browser]:
    with site(provider) as (url, _):
        yield Browser(url)


def test_a_visit_leads_to_the_provider_and_back_to_the_very_page(browser: Browser) -> None:
    page = "/explore?by=model&where=provider%3Daws"
    done = browser.login(page)

    assert (done.status, done.where) == (303, page)
    assert browser.get("/").status == 200
    assert browser.me() == {"actor": "login:ada@example.com", "role": "admin", "known": True}


@pytest.mark.parametrize(
    ("person", "actor", "role"),
    [
        ("ada", "login:ada@example.com", "admin"),
        ("finn", "login:finn@example.com", "finance"),
        # An address that is not verified could be anybody's, so the log does not name it.
        ("vera", "login:sub-vera", "read"),
    ],
)
def test_the_highest_role_of_the_claim_counts(
    browser: Browser, provider: Provider, person: str, actor: str, role: str
) -> None:
    provider.person = person
    assert browser.login().status == 303
    assert browser.me() == {"actor": actor, "role": role, "known": True}


def test_somebody_without_a_role_is_turned_away_in_one_sentence(browser: Browser, provider: Provider) -> None:
    provider.person = "otto"
    done = browser.login()

    assert done.status == 403
    assert "otto is known to the login provider and has no role" in done.text
    assert browser.me()["code"] == "unauthenticated"
    with site(provider, default_role="viewer") as (url, _):
        other = Browser(url)
        assert other.login().status == 303
        assert other.me()["role"] == "read"


@pytest.mark.parametrize(
    ("claim", "roles", "person", "role"),
    [
        ("email", {"ADA@example.com": "finance"}, "ada", "finance"),
        ("email", {"ada@example.com": "admin"}, "vera", None),
        ("realm.roles", {"ops": "admin"}, "ada", "admin"),
        ("https://claims.example.com/roles", {"ops": "admin"}, "ada", "admin"),
        ("groups.name", {"ops": "admin"}, "ada", None),
    ],
)
def test_the_claim_may_be_an_address_a_path_or_a_name_with_dots(
    provider: Provider, claim: str, roles: dict[str, str], person: str, role: str | None
) -> None:
    def twist(claims: dict[str, Any], _: dict[str, Any]) -> None:
        claims["realm"] = {"roles": ["ops"]}
        claims["https://claims.example.com/roles"] = ["ops", 3]

    provider.person, provider.twist = person, twist
    with site(provider, role_claim=claim, roles=roles) as (url, _):
        browser = Browser(url)
        assert browser.login().status == (303 if role else 403)
        assert browser.me().get("role") == role


def test_what_the_browser_gets_cannot_be_read_by_scripts_or_sent_by_other_sites(
    browser: Browser, provider: Provider
) -> None:
    first = browser.get("/oidc/login")
    asked = parse_qs(urlsplit(first.where).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert len(asked["nonce"][0]) >= 43
    done = browser.login()
    for text in [*first.cookies, *(one for one in done.cookies if "max-age=0" not in one.lower())]:
        assert "httponly" in text.lower()
        assert "samesite=lax" in text.lower()
        assert "; secure" not in text.lower()
    assert done.headers["cache-control"] == "no-store"
    assert done.headers["referrer-policy"] == "no-referrer"
    words = json.dumps(browser.cookies)
    assert asked["nonce"][0] not in words
    assert SECRET not in words


def test_cookies_are_for_https_and_this_host_alone_where_browsers_come_by_https(provider: Provider) -> None:
    chosen = Oidc(
        issuer=provider.issuer, client_id="costweir", public_url="https://costs.example.com", default_role="viewer"
    )  # fmt: skip
    login = Login(chosen, relying.Provider(chosen, SECRET))
    scope = {"type": "http", "method": "GET", "path": "/oidc/login", "query_string": b"", "headers": []}
    [route] = [one for one in login.routes() if one.path == "/oidc/login"]
    reply = route.endpoint(Request(scope))

    assert "redirect_uri=https%3A%2F%2Fcosts.example.com%2Foidc%2Fcallback" in reply.headers["location"]
    assert reply.headers["set-cookie"].startswith("__Host-costweir_attempt_")
    assert "; Secure" in reply.headers["set-cookie"]
    assert "Path=/" in reply.headers["set-cookie"]


def test_a_cookie_that_another_site_made_the_browser_send_changes_nothing(browser: Browser) -> None:
    browser.login()
    same = {"Sec_Fetch_Site": "same-origin", "Origin": browser.url}

    assert json.loads(browser.ask("POST", "/v1/me", Sec_Fetch_Site="cross-site").text)["role"] == "read"
    assert json.loads(browser.ask("POST", "/v1/me").text)["role"] == "read"
    assert json.loads(browser.ask("POST", "/v1/me", **same).text)["role"] == "admin"
    assert browser.ask("POST", "/oidc/logout", Sec_Fetch_Site="cross-site").status == 403
    assert browser.get("/").status == 200


def test_a_logout_ends_the_session_even_for_a_cookie_that_was_kept(
    browser: Browser, provider: Provider
) -> None:
    browser.login()
    kept = dict(browser.cookies)
    left = browser.ask("POST", "/oidc/logout", Sec_Fetch_Site="same-origin")

    assert (left.status, left.where) == (303, "/oidc/out")
    page = browser.get("/oidc/out")
    assert "You are logged out" in page.text
    assert f"{provider.issuer}/logout" in page.text
    browser.cookies = kept
    assert browser.me()["code"] == "unauthenticated"


def test_programs_and_the_admin_link_come_in_as_before(provider: Provider) -> None:
    with site(provider) as (url, _):
        stranger = Browser(url)
        assert stranger.get("/health").status in (200, 404)
        assert stranger.get("/metrics").status == 303
        assert stranger.get("/v1/me").status == 401
        assert stranger.get("/", Accept="*/*").status == 401
        assert stranger.get("/", Authorization="Bearer wrong").status == 401
        assert stranger.ask("POST", "/").status == 401
        admin = stranger.get("/v1/me", Authorization=f"Bearer {ADMIN}")
        assert json.loads(admin.text)["role"] == "admin"
        # No login: the frame of the pages, with the name and the state of the sources, is not for strangers.
        for path in ("/oidc/nothing", "/static/0123456789abcdef/x/y", "/v1", "/oidc/login/x"):
            assert stranger.get(path).status in (303, 401), path


Twist = Callable[[dict[str, Any], dict[str, Any]], str | None]


def changed(**claims: Any) -> Twist:
    """A token of the right key with other claims; None takes one away."""

    def twist(held: dict[str, Any], _: dict[str, Any]) -> None:
        for name, value in claims.items():
            held.pop(name, None)
            if value is not None:
                held[name] = value() if callable(value) else value

    return twist


def unsigned(claims: dict[str, Any], header: dict[str, Any]) -> str:
    return jwt.encode(claims, None, "none", header)


def by_the_public_key(claims: dict[str, Any], header: dict[str, Any]) -> str:
    """The confusion of a public key with a shared secret; made by hand because the library refuses to."""
    import base64
    import hashlib
    import hmac

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    pem = key("key-1").public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip
    text = f"{part({**header, 'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}"
    mac = hmac.new(pem, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def of_many_algorithms(claims: dict[str, Any], header: dict[str, Any]) -> str:
    """A header that names a list is no header."""
    import base64

    head = base64.urlsafe_b64encode(json.dumps({**header, "alg": ["RS256"]}).encode()).rstrip(b"=").decode()
    return f"{head}.{jwt.encode(claims, key('key-1'), 'RS256').partition('.')[2]}"


def by_another_key(claims: dict[str, Any], header: dict[str, Any]) -> str:
    return jwt.encode(claims, key("stranger"), "RS256", header)


def by_a_key_of_its_own(claims: dict[str, Any], header: dict[str, Any]) -> str:
    own = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key("stranger").public_key()))
    return jwt.encode(claims, key("stranger"), "RS256", {**header, "jwk": own, "kid": "stranger"})


def in_the_past() -> int:
    return int(time.time()) - 120


def in_the_future() -> int:
    return int(time.time()) + 3600


@pytest.mark.parametrize(
    ("twist", "said"),
    [
        (unsigned, "not signed with a key"),
        (by_the_public_key, "not signed with a key"),
        (of_many_algorithms, "not signed with a key"),
        (by_another_key, "signature is wrong"),
        (by_a_key_of_its_own, "is not published"),
        (lambda _claims, _header: "no.token", "not whole"),
        (lambda _claims, _header: "", "not whole"),
        (changed(nonce="another"), "belongs to another login"),
        (changed(nonce=None), "belongs to another login"),
        (changed(aud="another"), "made for another program"),
        (changed(aud=["costweir", "another"]), "made for another program"),
        (changed(aud=["costweir", "another"], azp="another"), "made for another program"),
        (changed(azp="another"), "made for another program"),
        (changed(iss="https://evil.example"), "names another issuer"),
        (changed(exp=in_the_past), "has expired"),
        (changed(iat=in_the_future), "from the future"),
        (changed(nbf=in_the_future), "from the future"),
        (changed(exp=None), "not whole"),
        (changed(sub=None), "not whole"),
        (changed(iss=None), "another issuer|not whole"),
        (changed(aud=None), "another program|not whole"),
    ],
)
def test_a_token_that_is_not_for_this_login_lets_nobody_in(
    browser: Browser, provider: Provider, twist: Twist, said: str
) -> None:
    import re

    provider.twist = twist
    done = browser.login()

    assert done.status == 403, done.text
    assert re.search(said, done.text), done.text
    assert not any("_login=" in text for text in done.cookies)
    assert browser.me()["code"] == "unauthenticated"


def test_clocks_may_differ_by_a_minute(browser: Browser, provider: Provider) -> None:
    provider.twist = changed(
        exp=lambda: int(time.time()) - 30, iat=lambda: int(time.time()) + 30, nbf=lambda: int(time.time()) + 30
    )  # fmt: skip
    assert browser.login().status == 303


def test_several_audiences_are_fine_when_the_token_was_made_for_this_one(
    browser: Browser, provider: Provider
) -> None:
    provider.twist = changed(aud=["another", "costweir"], azp="costweir")
    assert browser.login().status == 303


def test_a_reply_to_a_login_that_was_not_begun_here_is_refused(browser: Browser, provider: Provider) -> None:
    """Login CSRF: an attacker begins a login and makes the victim's browser finish it."""
    attacker, victim = browser, Browser(browser.url)
    back = attacker.begin().where.removeprefix(browser.url)

    refused = victim.get(back)
    assert (refused.status, "not begun in this browser" in refused.text) == (403, True)
    assert victim.me()["code"] == "unauthenticated"
    state = parse_qs(urlsplit(back).query)["state"][0]
    for other in (f"0{state}", f"{state[:8]}{'0' * 56}", state[:8], ""):
        assert attacker.get(back.replace(f"state={state}", f"state={other}")).status == 403
    # The right browser may still finish it, once.
    assert attacker.get(back).status == 303
    again = attacker.get(back)
    assert (again.status, "finished before" in again.text) == (403, True)


def test_a_code_that_was_used_is_refused_even_when_the_cookie_was_kept(
    browser: Browser, provider: Provider
) -> None:
    back = browser.begin().where.removeprefix(browser.url)
    kept = dict(browser.cookies)
    assert browser.get(back).status == 303
    thief = Browser(browser.url, kept)

    done = thief.get(back)
    assert (done.status, "does not accept the code" in done.text) == (403, True)
    assert thief.me()["code"] == "unauthenticated"


def test_a_code_of_another_login_is_refused(browser: Browser) -> None:
    """Code injection: the verifier and the nonce belong to one browser."""
    stolen = parse_qs(urlsplit(browser.begin().where).query)["code"][0]
    attacker = Browser(browser.url)
    back = urlsplit(attacker.begin().where)
    mine = {name: values[0] for name, values in parse_qs(back.query).items()}

    done = attacker.get(f"{back.path}?{urlencode({**mine, 'code': stolen})}")
    assert (done.status, "does not accept the code" in done.text) == (403, True)


def test_a_reply_of_another_provider_is_refused(browser: Browser) -> None:
    back = browser.begin().where.removeprefix(browser.url)
    base, _, _ = back.partition("&iss=")
    for mixed in (f"{base}&iss={quote('https://evil.example', safe='')}", base):
        done = browser.get(mixed)
        assert (done.status, "another provider" in done.text) == (403, True)


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)",
        "/%0d%0aSet-Cookie:x=1\r\n", "/\tevil", "http:evil.example", "/" + "a" * 3000, "/oidc/login", "", "explore",
        "/x y", "///evil.example", "/é",
    ],
)  # fmt: skip
def test_a_login_leads_to_no_other_site(browser: Browser, to: str) -> None:
    sent = browser.get(f"/oidc/login?to={quote(to, safe='')}")
    back = visit(sent.where).where.removeprefix(browser.url)

    assert browser.get(back).where == "/"


def test_a_cookie_that_was_changed_or_is_too_old_is_none(browser: Browser, provider: Provider) -> None:
    back = browser.begin().where.removeprefix(browser.url)
    [name] = browser.cookies
    good = browser.cookies[name]
    claims = jwt.decode(good, options={"verify_signature": False})
    for forged in (
        jwt.encode({**claims, "to": "/evil"}, None, "none"),
        jwt.encode({**claims, "to": "/evil"}, "x" * 32, "HS256"),
        good[:-3],
        "",
    ):
        browser.cookies = {name: forged}
        assert browser.get(back).status == 403
    assert 590 <= claims["exp"] - time.time() <= 601


def test_the_session_ends_by_itself_and_a_new_login_ends_the_old_one(provider: Provider) -> None:
    with site(provider) as (url, login):
        clock = time.monotonic()
        sessions = Sessions(8, clock=lambda: clock)
        login._sessions = sessions
        browser = Browser(url)
        browser.login()
        first = dict(browser.cookies)
        browser.cookies.pop("costweir_login")
        browser.login("/explore")
        assert browser.cookies != first
        browser.cookies |= first
        # Logged in again from a browser that has a session: the old word is worth nothing.
        invited = browser.get("/oidc/login")
        browser.get(visit(invited.where).where.removeprefix(url))
        assert Browser(url, first).me().get("code") == "unauthenticated"
        assert browser.me()["known"] is True
        clock += 8 * 3600
        assert browser.me().get("code") == "unauthenticated"


def test_two_windows_may_log_in_at_once(browser: Browser) -> None:
    one, other = browser.begin("/explore"), browser.begin("/customers")

    assert browser.get(other.where.removeprefix(browser.url)).where == "/customers"
    assert browser.get(one.where.removeprefix(browser.url)).where == "/explore"


def test_what_the_provider_refuses_is_said_without_its_own_words(
    browser: Browser, provider: Provider
) -> None:
    provider.person = "nobody"
    done = browser.login()
    assert (done.status, "access_denied" in done.text) == (403, True)
    provider.person = "ada"
    back = browser.begin().where.removeprefix(browser.url)
    state = parse_qs(urlsplit(back).query)["state"][0]
    evil = urlencode({"state": state, "iss": provider.issuer, "error": "<script>alert(1)</script>"})
    said = browser.get(f"/oidc/callback?{evil}")
    assert "an unknown reason" in said.text
    assert "<script>" not in said.text


def test_a_name_cannot_bring_markup_into_the_pages(browser: Browser, provider: Provider) -> None:
    provider.person = "finn"
    browser.login()
    page = browser.get("/").text

    assert PEOPLE["finn"]["name"] not in page
    assert "Finn &lt;b&gt;" in page
    assert 'action="/oidc/logout"' in page


def test_the_client_proves_itself_as_the_provider_wants(provider: Provider) -> None:
    provider.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    with site(provider) as (url, _):
        assert Browser(url).login().status == 303
    provider.clients["costweir"].secret = "changed"
    with site(provider) as (url, _):
        done = Browser(url).login()
    assert (done.status, "does not accept this client" in done.text) == (400, True)
    assert SECRET not in done.text


def test_a_key_that_was_renewed_is_read_again_and_an_unknown_one_not_for_ever(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    with site(provider) as (url, _):
        assert Browser(url).login().status == 303
        provider.kid = "key-2"
        assert Browser(url).login().status == 403
        monkeypatch.setattr(relying, "_KEY_PAUSE_SECONDS", 0)
        assert Browser(url).login().status == 303
        monkeypatch.undo()
        asked = provider.asked.count("/keys")
        provider.twist = by_a_key_of_its_own
        for _ in range(5):
            assert Browser(url).login().status == 403
        assert provider.asked.count("/keys") == asked


def test_a_short_key_is_no_proof(
    browser: Browser, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    weak = key("weak", 1024)
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(weak.public_key()))
    monkeypatch.setattr(provider, "keys", lambda: {"keys": [{**public, "kid": "weak"}]})

    def twist(claims: dict[str, Any], header: dict[str, Any]) -> str:
        with pytest.warns(jwt.warnings.InsecureKeyLengthWarning):
            return jwt.encode(claims, weak, "RS256", {**header, "kid": "weak"})

    provider.twist = twist
    done = browser.login()
    assert (done.status, "too short" in done.text) == (403, True)


@pytest.mark.parametrize(
    ("path", "reply", "status", "said"),
    [
        ("/.well-known/openid-configuration", (503, "{}"), 503, "too busy or down"),
        ("/.well-known/openid-configuration", (200, "<html>login</html>"), 503, "no JSON object"),
        ("/.well-known/openid-configuration", (200, "[]"), 503, "no JSON object"),
        (
            "/.well-known/openid-configuration",
            (200, '{"issuer": "https://evil.example"}'),
            400,
            "calls itself",
        ),
        ("/.well-known/openid-configuration", (302, "{}"), 400, "refuses"),
    ],
)
def test_a_provider_that_is_broken_is_one_sentence(
    provider: Provider, path: str, reply: tuple[int, str], status: int, said: str
) -> None:
    provider.broken[path] = reply
    with site(provider) as (url, _):
        done = Browser(url).get("/oidc/login")
        assert (done.status, said in done.text) == (status, True), done.text
        provider.broken.clear()
        assert Browser(url).login().status == 303


@pytest.mark.parametrize(
    ("path", "reply", "status", "said"),
    [
        ("/token", (500, "oops"), 503, "too busy or down"),
        ("/token", (200, "<html>"), 503, "no JSON object"),
        ("/token", (200, "{}"), 400, "sent no ID token"),
        ("/token", (307, "{}"), 400, "refuses"),
        ("/token", (400, '{"error": "server_error"}'), 400, "refuses"),
        ("/keys", (200, '{"keys": "none"}'), 403, "is not published"),
        (
            "/keys",
            (200, '{"keys": [null, {"kty": "oct", "k": "AAAA", "kid": "key-1"}]}'),
            403,
            "is not published",
        ),
        ("/keys", (200, "[" * 100_000), 503, "no JSON object"),
    ],
)
def test_a_provider_that_breaks_on_the_way_lets_nobody_in(
    browser: Browser, provider: Provider, path: str, reply: tuple[int, str], status: int, said: str
) -> None:
    provider.broken[path] = reply
    done = browser.login()

    assert (done.status, said in done.text) == (status, True), done.text
    assert browser.me()["code"] == "unauthenticated"


def test_metadata_that_leads_out_into_the_open_is_refused(provider: Provider) -> None:
    for address in ("http://id.example.com/authorize", "javascript:alert(1)", "http://[::1", 3, None):
        provider.metadata = {"authorization_endpoint": address}
        with site(provider) as (url, _):
            done = Browser(url).get("/oidc/login")
            assert (done.status, "starts with https://" in done.text) == (400, True)


def test_many_logins_of_one_address_have_to_wait(browser: Browser) -> None:
    found = [browser.get("/oidc/login") for _ in range(40)]

    assert found[0].status == 303
    assert found[-1].status == 429
    assert int(found[-1].headers["retry-after"]) >= 1


def test_sessions_do_not_grow_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    from costweir.web import login
    from costweir.web.access import Caller

    monkeypatch.setattr(login, "MOST_SESSIONS", 2)
    sessions = Sessions(1)
    words = [sessions.begin(replace(Caller("a", "read"), actor=name)) for name in "abc"]
    found = [sessions.find(word) for word in words]
    assert [one.actor if one else None for one in found] == [None, "b", "c"]
