"""Who may see the pages. On loopback everybody on this machine may read; on any other address a visitor needs the
admin token, as a bearer header or as the cookie that the one-time link sets. Changes always need the token."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

COOKIE = "costweir_session"
_OPEN_PATHS = frozenset({"/health", "/ready", "/enter"})


def is_admin(request: Request) -> bool:
    """True when the request proved the admin token."""
    return bool(request.scope.get("costweir_admin", False))


@dataclass(slots=True)
class Keys:
    """The admin token, and the single-use word of the link that is printed at the start."""

    token: str
    once: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def session(self) -> str:
        """The cookie's value: derived, so that the token itself never reaches a browser."""
        return hmac.new(self.token.encode(), b"costweir session", hashlib.sha256).hexdigest()

    def use_link(self, word: str) -> bool:
        """True for the right word, once."""
        right = bool(self.once) and hmac.compare_digest(word.encode(), self.once.encode())
        if right:
            self.once = ""
        return right


class Access:
    """ASGI middleware: marks admin requests, and turns strangers away unless `open_reading`."""

    def __init__(self, app: ASGIApp, *, keys: Keys, open_reading: bool) -> None:
        self._app = app
        self._keys = keys
        self._open_reading = open_reading

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or answers 401."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        if request.url.path == "/enter":
            await self._enter(request)(scope, receive, send)
            return
        by_token = self._bearer(Headers(scope=scope))
        by_cookie = hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self._keys.session.encode())
        # A cookie alone never changes anything: another site could make the browser send it.
        scope["costweir_admin"] = by_token
        if by_token or by_cookie or self._open_reading or request.url.path in _OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        reply = PlainTextResponse(
            "This Costweir needs a login. Open the link that it printed when it started, or send the admin token.\n",
            401,
            {"WWW-Authenticate": "Bearer"},
        )
        await reply(scope, receive, send)

    def _bearer(self, headers: Headers) -> bool:
        kind, _, value = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and hmac.compare_digest(value.encode(), self._keys.token.encode())

    def _enter(self, request: Request) -> Response:
        if not self._keys.use_link(request.query_params.get("once", "")):
            return PlainTextResponse(
                "This link was used already or is wrong. Restart Costweir for a new one.\n", 403
            )
        reply = RedirectResponse("/", 303)
        reply.set_cookie(COOKIE, self._keys.session, httponly=True, samesite="strict", max_age=30 * 86_400)
        return reply
