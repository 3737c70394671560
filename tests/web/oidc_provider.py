"""A small OpenID provider that is honest: it has RSA keys, registered clients and codes that work once, and refuses a
wrong redirect address, verifier or secret. `twist` is for the tests that need a dishonest one.

`python -m tests.web.oidc_provider REDIRECT_URI` runs it as a process of its own; it prints its issuer.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

#: Without one, browsers ask for it.
ICON = '<link rel="icon" href="data:,">'
PEOPLE: dict[str, dict[str, Any]] = {
    "ada": {"name": "Ada Admin", "email": "ada@example.com", "email_verified": True, "groups": ["ops", "all"]},
    "finn": {"name": "Finn <b>Finance</b>", "email": "finn@example.com", "email_verified": True,
             "groups": ["finance", "all"]},
    "vera": {"name": "Vera Viewer", "email": "ada@example.com", "email_verified": False, "groups": "all"},
    "otto": {"preferred_username": "otto", "groups": ["others"]},
}  # fmt: skip


@cache
def key(name: str, size: int = 2048) -> rsa.RSAPrivateKey:
    """The private key of this name, made once in a run."""
    return rsa.generate_private_key(65537, size)


@dataclass
class Granted:
    """What a code stands for."""

    client: str
    redirect_uri: str
    challenge: str
    nonce: str
    person: str
    ends: float = field(default_factory=lambda: time.monotonic() + 60)


@dataclass
class Client:
    secret: str
    redirect_uris: tuple[str, ...]


@dataclass
class Provider:
    """`person` is who sits at the browser; None shows a page to choose. `twist` gets the claims and the header before
    they are signed, and may give a whole token instead. `broken` answers a path with something else."""

    clients: dict[str, Client]
    person: str | None = "ada"
    issuer: str = ""
    kid: str = "key-1"
    twist: Callable[[dict[str, Any], dict[str, Any]], str | None] = lambda _claims, _header: None
    metadata: dict[str, Any] = field(default_factory=dict)
    broken: dict[str, tuple[int, str]] = field(default_factory=dict)
    codes: dict[str, Granted] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token", "jwks_uri": f"{self.issuer}/keys",
            "end_session_endpoint": f"{self.issuer}/logout", "response_types_supported": ["code"],
            "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True, **self.metadata,
        }  # fmt: skip

    def keys(self) -> dict[str, Any]:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key(self.kid).public_key()))
        return {"keys": [{**public, "kid": self.kid, "use": "sig", "alg": "RS256"}]}

    def page(self, path: str, query: Mapping[str, str]) -> tuple[int, str, str]:
        """Status, address to go to and page."""
        if path == "/authorize":
            return self.authorize(query)
        bye = path == "/logout"
        return (
            200 if bye else 404,
            "",
            f"<!doctype html>{ICON}<title>Provider</title>{'Bye.' if bye else 'Nothing.'}",
        )

    def authorize(self, query: Mapping[str, str]) -> tuple[int, str, str]:
        client = self.clients.get(query.get("client_id", ""))
        if client is None or query.get("redirect_uri") not in client.redirect_uris:
            return 400, "", "This client or its address is not registered."
        back = {"state": query.get("state", ""), "iss": self.issuer}
        problem = self.wrong(query)
        if problem:
            return 303, f"{query['redirect_uri']}?{urlencode({'error': problem, **back})}", ""
        person = query.get("person") or self.person
        if person is None:
            addresses = {name: html.escape(urlencode({**query, "person": name})) for name in PEOPLE}
            links = "".join(
                f'<p><a id="{name}" href="/authorize?{address}">{name}</a></p>'
                for name, address in addresses.items()
            )
            return 200, "", f"<!doctype html>{ICON}<title>Provider</title><h1>Who are you?</h1>{links}"
        code = secrets.token_urlsafe(16)
        self.codes[code] = Granted(
            query["client_id"], query["redirect_uri"], query["code_challenge"], query.get("nonce", ""), person
        )
        return 303, f"{query['redirect_uri']}?{urlencode({'code': code, **back})}", ""

    def wrong(self, query: Mapping[str, str]) -> str:
        if query.get("response_type") != "code":
            return "unsupported_response_type"
        if "openid" not in query.get("scope", "").split():
            return "invalid_scope"
        if query.get("code_challenge_method") != "S256" or len(query.get("code_challenge", "")) != 43:
            return "invalid_request"
        return "access_denied" if self.person == "nobody" else ""

    def token(self, form: Mapping[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        name, secret = form.get("client_id", ""), form.get("client_secret", "")
        if authorization.startswith("Basic "):
            pair = base64.b64decode(authorization[6:]).decode().partition(":")
            name, secret = unquote_plus(pair[0]), unquote_plus(pair[2])
        client = self.clients.get(name)
        if client is None or client.secret != secret:
            return 401, {"error": "invalid_client"}
        granted = self.codes.pop(form.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if (
            form.get("grant_type") != "authorization_code"
            or granted is None
            or time.monotonic() > granted.ends
            or (granted.client, granted.redirect_uri) != (name, form.get("redirect_uri"))
            or granted.challenge != challenge.rstrip(b"=").decode()
        ):
            return 400, {"error": "invalid_grant", "error_description": "No."}
        return 200, {"access_token": secrets.token_urlsafe(8), "token_type": "Bearer", "expires_in": 300,
                     "id_token": self.id_token(granted)}  # fmt: skip

    def id_token(self, granted: Granted) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer, "sub": f"sub-{granted.person}", "aud": granted.client, "iat": now, "exp": now + 300,
            "nonce": granted.nonce, **PEOPLE[granted.person],
        }  # fmt: skip
        header: dict[str, Any] = {"kid": self.kid}
        made = self.twist(claims, header)
        return made if made is not None else jwt.encode(claims, key(self.kid), "RS256", header)


def handler_of(provider: Provider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if self.disturbed(parts.path):
                return
            told = {"/.well-known/openid-configuration": provider.discovery, "/keys": provider.keys}
            if parts.path in told:
                self.send(200, json.dumps(told[parts.path]()))
            else:
                status, where, page = provider.page(parts.path, dict(parse_qsl(parts.query)))
                self.send(status, page, kind="text/html", where=where)

        def do_POST(self) -> None:
            form = dict(parse_qsl(self.rfile.read(int(self.headers["content-length"])).decode()))
            if self.disturbed(self.path):
                return
            status, answer = provider.token(form, self.headers.get("authorization", ""))
            self.send(status, json.dumps(answer))

        def disturbed(self, path: str) -> bool:
            provider.asked.append(path)
            if path in provider.broken:
                self.send(*provider.broken[path], where="https://elsewhere.example/")
            return path in provider.broken

        def send(self, status: int, text: str, *, kind: str = "application/json", where: str = "") -> None:
            body = text.encode()
            self.send_response(status)
            if where:
                self.send_header("location", where)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def serving(provider: Provider) -> Iterator[Provider]:
    """The provider at a port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(provider))
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    with serving(Provider({"costweir": Client("s3cret", (sys.argv[1],))}, person=None)) as running:
        print(running.issuer, flush=True)
        sys.stdin.read()
