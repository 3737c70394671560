"""Who asks, and whether they may come in. On loopback everybody on this machine may read; on any other address a
visitor needs the admin token, a token of the API, the cookie that the one-time link sets, or a login at the provider.

A presented token that is wrong is refused everywhere, and a token that is bound to a customer opens nothing but `/v1`.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from costweir.control.tokens import Token
from costweir.errors import Error, NotAllowed
from costweir.web.problems import (
    AddressTooLong,
    HeadersTooLarge,
    RateLimited,
    TooLarge,
    Unauthenticated,
    problem,
)
from costweir.web.throttle import Buckets, Limits

COOKIE = "costweir_session"
MOST_BODY = 2 * 1024 * 1024
MOST_ADDRESS = 16 * 1024
MOST_HEADERS = 32 * 1024
_OPEN_PATHS = frozenset({"/health", "/ready", "/enter"})
#: The looks of the pages, which are the same for everybody.
_STATIC = re.compile(r"/static/[0-9a-f]{16}/[a-z-]+\.(css|js|json)")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_CALLER = "costweir_caller"
_LOG = logging.getLogger("costweir.web")

Role = Literal["ingest", "read", "finance", "admin"]
#: What each role may do includes what the ones before it may; ingest may send and read nothing.
_RANKS: dict[Role, int] = {"ingest": 0, "read": 1, "finance": 2, "admin": 3}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `actor` names them in the audit chain; `customer` is the only one they may see, empty for all.

    `known` is false for somebody on this machine who proved nothing and may read. `token` is true for a token of the
    API, and `name` is how the pages greet somebody who logged in at a provider.
    """

    actor: str
    role: Role
    customer: str = ""
    known: bool = True
    token: bool = False
    name: str = ""

    def may(self, role: Role) -> bool:
        """Whether they have at least this role."""
        return _RANKS[self.role] >= _RANKS[role]


_NOBODY = Caller("anonymous", "read", known=False)


def caller_of(request: Request) -> Caller:
    """Who sent the request; a request that came past no `Access` was sent by nobody."""
    found = request.scope.get(_CALLER)
    return found if isinstance(found, Caller) else _NOBODY


class Doorkeeper(Protocol):
    """The login at a provider."""

    @property
    def open_paths(self) -> frozenset[str]:
        """What somebody sees who has not logged in."""
        ...

    def visitor(self, request: Request) -> Caller | None:
        """Who the cookie says has logged in, or None."""
        ...

    def invitation(self, request: Request) -> str:
        """Where the visitor of a page has to go first."""
        ...


def is_admin(request: Request) -> bool:
    """True when the request proved that an admin sent it on purpose: by a token, or from a page of ours."""
    return caller_of(request).may("admin")


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


def _no_token(_: str) -> Token | None:
    return None


class Access:
    """ASGI middleware: says who asks, and turns away strangers, wrong tokens and what is too much or too large."""

    def __init__(
        self, app: ASGIApp, *, keys: Keys, open_reading: bool,
        tokens: Callable[[str], Token | None] = _no_token, limits: Limits | None = None,
        door: Doorkeeper | None = None,
    ) -> None:  # fmt: skip
        self._app = app
        self._door = door
        self._open_paths = _OPEN_PATHS | (door.open_paths if door else frozenset[str]())
        self._keys = keys
        self._open_reading = open_reading
        self._tokens = tokens
        chosen = limits or Limits()
        self._requests = Buckets(chosen.burst, 1 / chosen.rate)
        self._failures = Buckets(chosen.failures, chosen.failure_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or refuses it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            _check_size(scope, request)
            if request.url.path == "/enter":
                await self._enter(request)(scope, receive, send)
                return
            caller = await self._recognise(request)
            self._admit(request, caller)
        except Error as error:
            await self._refusal(request, error)(scope, receive, send)
            return
        scope[_CALLER] = caller
        await self._app(scope, _capped(receive), send)

    async def _recognise(self, request: Request) -> Caller:
        kind, _, value = request.headers.get("authorization", "").partition(" ")
        # A proxy may add its own kind of login before the pages; on the API nothing but a token counts.
        if kind.lower() == "bearer" or (kind and _is_api(request)):
            return await self._by_token(request, value.strip() if kind.lower() == "bearer" else "")
        if hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self._keys.session.encode()):
            # A cookie alone changes nothing: another site could make the browser send it.
            return Caller("browser", "admin" if request.method in _SAFE or is_from_us(request) else "read")
        visitor = self._door.visitor(request) if self._door else None
        if visitor is not None:
            # As above: what another site made the browser send may read and no more.
            return (
                visitor if request.method in _SAFE or is_from_us(request) else replace(visitor, role="read")
            )
        if self._open_reading or self._is_open(request):
            return _NOBODY
        raise Unauthenticated(
            "This Costweir needs a login.",
            hint="Open the link that it printed when it started, or send a token as Authorization: Bearer TOKEN.",
        )

    async def _by_token(self, request: Request, value: str) -> Caller:
        if hmac.compare_digest(value.encode(), self._keys.token.encode()):
            return Caller("admin", "admin")
        token = await run_in_threadpool(self._tokens, value)
        if token is not None:
            return Caller(token.id, token.scope, token.customer, token=True)
        note_authentication(request, "token", "refused")
        self._failed(request, "tokens")
        raise Unauthenticated(
            "This token is wrong, revoked or has ended.", hint="Make one with `costweir token create`."
        )

    def _is_open(self, request: Request) -> bool:
        return request.url.path in self._open_paths or _STATIC.fullmatch(request.url.path) is not None

    def _failed(self, request: Request, what: str) -> None:
        """Counts a failure of this address. Right tokens still pass, so nobody can lock others out."""
        wait = self._failures.take(_address(request))
        if wait:
            raise RateLimited(
                f"Too many wrong {what} from this address.", wait=wait, hint=f"Wait {wait} seconds."
            )

    def _admit(self, request: Request, caller: Caller) -> None:
        path = request.url.path
        if self._is_open(request):
            return
        if (
            caller.token
            and not _is_api(request)
            and (caller.customer or path != "/metrics" or not caller.may("read"))
        ):
            raise NotAllowed("This token is for /v1 only.", hint="Log in to see the pages.")
        if not _is_api(request):
            return
        wait = self._requests.take(caller.actor if caller.token else f"{caller.actor} {_address(request)}")
        if wait:
            raise RateLimited(
                "Too many requests.", wait=wait, hint=f"Wait {wait} s, and ask for less at once."
            )

    def _enter(self, request: Request) -> Response:
        if not self._keys.use_link(request.query_params.get("once", "")):
            note_authentication(request, "link", "refused")
            self._failed(request, "links")
            return PlainTextResponse(
                "This link was used already or is wrong. Restart Costweir for a new one.\n", 403
            )
        note_authentication(request, "link", "ok", actor="browser", role="admin")
        reply = RedirectResponse("/", 303)
        reply.set_cookie(
            COOKIE, self._keys.session, httponly=True, samesite="strict", max_age=30 * 86_400,
            secure=request.url.scheme == "https",
        )  # fmt: skip
        return reply

    def _refusal(self, request: Request, error: Error) -> Response:
        if _is_api(request):
            return problem(error)
        if self._door and isinstance(error, Unauthenticated) and _is_visit(request):
            return RedirectResponse(self._door.invitation(request), 303, {"Cache-Control": "no-store"})
        headers = {name: value for name, value in problem(error).headers.items() if name in _KEPT}
        return PlainTextResponse(f"{error.message} {error.hint}".strip() + "\n", error.http_status, headers)


def note_authentication(
    request: Request, method: str, outcome: str, *, actor: str = "", role: str = ""
) -> None:
    """The line of the log about somebody who came in or was turned away; never with what they showed."""
    told = {"method": method, "outcome": outcome, "actor": actor, "role": role, "client": _address(request)}
    level = logging.INFO if outcome == "ok" else logging.WARNING
    extra = {"event_type": "authentication", "fields": told}
    _LOG.log(level, "login %s, by %s", outcome, method, extra=extra)


def _is_api(request: Request) -> bool:
    return request.url.path == "/v1" or request.url.path.startswith("/v1/")


def _is_visit(request: Request) -> bool:
    """Whether a browser wants to show the page, and not a script or a program with a token of its own."""
    wanted = request.headers.get("accept", "")
    return request.method == "GET" and "text/html" in wanted and "authorization" not in request.headers


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def is_from_us(request: Request) -> bool:
    """Whether the browser says that a page of this very address sent the request; silence counts as no."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is not None:
        return urlsplit(origin).netloc == request.headers.get("host", "")
    return site == "same-origin"


def _check_size(scope: Scope, request: Request) -> None:
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MOST_ADDRESS:
        raise AddressTooLong("The address is too long.", hint=f"Keep it below {MOST_ADDRESS} bytes.")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_HEADERS:
        raise HeadersTooLarge("The headers are too large.", hint=f"Keep them below {MOST_HEADERS} bytes.")
    length = Headers(scope=scope).get("content-length", "")
    if length.isdigit() and int(length) > MOST_BODY:
        raise _too_large()


def _too_large() -> TooLarge:
    return TooLarge("The body is too large.", hint=f"Keep it below {MOST_BODY} bytes.")


def _capped(receive: Receive) -> Receive:
    """Ends a body that says no length, or a wrong one, when it gets too large."""
    seen = 0

    async def capped() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MOST_BODY:
            raise _too_large()
        return message

    return capped


_KEPT = frozenset({"www-authenticate", "retry-after", "cache-control"})
