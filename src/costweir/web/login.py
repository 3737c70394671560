"""The login at a provider as a browser meets it: `/oidc/login`, the way back, and the logout.

What a login is about travels in a signed cookie, so that visitors who never come back leave nothing in memory; a
session lives in this process only and ends with it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from costweir.config.oidc import CALLBACK
from costweir.errors import Error, NotAllowed
from costweir.web.access import Caller, Role, is_from_us, note_authentication
from costweir.web.oidc import Attempt, Person, Provider, values_of
from costweir.web.pages.assets import Assets
from costweir.web.problems import RateLimited
from costweir.web.throttle import Buckets

if TYPE_CHECKING:
    from costweir.config.oidc import Oidc, PersonRole

LOGIN, LOGOUT, LEFT = "/oidc/login", "/oidc/logout", "/oidc/out"
#: So long may somebody take to log in.
PATIENCE = timedelta(minutes=10)
#: Sessions that are held at once; the one that began first goes first.
MOST_SESSIONS = 10_000
_LONGEST_PATH = 2000
_ROLES: dict[PersonRole, Role] = {"viewer": "read", "finance": "finance", "admin": "admin"}
_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")
_CODE = re.compile(r"[a-z_]{1,40}")


@dataclass(slots=True)
class Sessions:
    """Who is logged in. What is kept is a hash of the cookie, so that memory that leaks lets nobody in."""

    hours: int
    clock: Callable[[], float] = time.monotonic
    _held: OrderedDict[str, tuple[Caller, float]] = field(
        default_factory=OrderedDict[str, "tuple[Caller, float]"], init=False
    )
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def begin(self, caller: Caller) -> str:
        """The word of a new session, which nobody can guess."""
        word = secrets.token_urlsafe(32)
        with self._lock:
            self._held[_hash(word)] = (caller, self.clock() + self.hours * 3600)
            if len(self._held) > MOST_SESSIONS:
                self._held.popitem(last=False)
        return word

    def find(self, word: str) -> Caller | None:
        """Whose session it is, or None when there is none or it has ended."""
        with self._lock:
            caller, ends = self._held.get(_hash(word), (None, 0))
            if caller is not None and self.clock() >= ends:
                del self._held[_hash(word)]
                return None
        return caller

    def end(self, word: str) -> None:
        """Ends a session at once."""
        with self._lock:
            self._held.pop(_hash(word), None)


class Login:
    """Lets people in whom the provider knows and whose claims have a role; implements `access.Doorkeeper`."""

    open_paths = frozenset({LOGIN, CALLBACK, LOGOUT, LEFT})

    def __init__(self, oidc: Oidc, provider: Provider, *, sessions: Sessions | None = None) -> None:
        self._oidc = oidc
        self._provider = provider
        self._sessions = sessions or Sessions(oidc.session_hours)
        self._key = secrets.token_bytes(32)
        self._asked = Buckets(30, 1)
        self._assets = Assets()
        # A cookie with this prefix cannot be planted by a neighbouring host.
        self._prefix = "__Host-costweir" if oidc.secure else "costweir"
        self._pages = Environment(
            loader=PackageLoader("costweir.web"), autoescape=select_autoescape(default=True),
            undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip

    def routes(self) -> list[BaseRoute]:
        """The four addresses."""
        return [
            Route(LOGIN, self._told(self._begin)),
            Route(CALLBACK, self._told(self._finish)),
            Route(LOGOUT, self._told(self._leave), methods=["POST"]),
            Route(LEFT, self._told(self._left)),
        ]

    def visitor(self, request: Request) -> Caller | None:
        """Who the cookie says has logged in, or None."""
        return self._sessions.find(request.cookies.get(f"{self._prefix}_login", ""))

    def invitation(self, request: Request) -> str:
        """The login that leads back to this page."""
        query = f"?{request.url.query}" if request.url.query else ""
        return f"{LOGIN}?to={quote(request.url.path + query, safe='')}"

    def _begin(self, request: Request) -> Response:
        self._throttle(request)
        word = secrets.token_urlsafe(24)
        attempt = self._attempt(word)
        reply = RedirectResponse(self._provider.address(attempt), 303)
        self._keep(reply, self._pending(attempt.state), self._signed(word, _safe(request)), PATIENCE)
        return reply

    def _finish(self, request: Request) -> Response:
        self._throttle(request)
        query = request.query_params
        state = query.get("state", "")
        name = self._pending(state)
        word, to = self._read(request.cookies.get(name, ""))
        attempt = self._attempt(word)
        if not word or not hmac.compare_digest(state.encode(), attempt.state.encode()):
            raise NotAllowed(
                "This login was not begun in this browser, was finished before, or took over ten minutes.",
                hint="Begin it again.",
            )
        self._provider.check_sender(query.get("iss", ""))
        if "error" in query:
            code = query["error"] if _CODE.fullmatch(query["error"]) else "an unknown reason"
            raise NotAllowed(
                f"The login provider did not log you in: {code}.", hint="Begin it again, or ask who runs it."
            )
        person = self._provider.person(query.get("code", ""), attempt)
        caller = Caller(person.actor, self._role(person), name=person.name)
        note_authentication(request, "oidc", "ok", actor=caller.actor, role=caller.role)
        reply = RedirectResponse(to, 303)
        reply.delete_cookie(name, secure=self._oidc.secure, httponly=True)
        self._sessions.end(request.cookies.get(f"{self._prefix}_login", ""))
        lasts = timedelta(hours=self._oidc.session_hours)
        self._keep(reply, f"{self._prefix}_login", self._sessions.begin(caller), lasts)
        return reply

    def _leave(self, request: Request) -> Response:
        if not is_from_us(request):
            raise NotAllowed("Another site sent this logout.", hint="Use the button of the page.")
        self._sessions.end(request.cookies.get(f"{self._prefix}_login", ""))
        reply = RedirectResponse(LEFT, 303)
        reply.delete_cookie(f"{self._prefix}_login", secure=self._oidc.secure, httponly=True)
        return reply

    def _left(self, _: Request) -> Response:
        try:
            elsewhere = self._provider.goodbye()
        except Error:
            elsewhere = ""
        return self._page("You are logged out of Costweir.", elsewhere=elsewhere)

    def _role(self, person: Person) -> Role:
        values = values_of(person.claims, self._oidc.role_claim)
        mapped = self._oidc.roles
        if self._oidc.role_claim == "email":
            mapped = {name.lower(): role for name, role in mapped.items()}
        found = {mapped[value] for value in values & mapped.keys()} or {self._oidc.default_role}
        for role in ("admin", "finance", "viewer"):
            if role in found:
                return _ROLES[role]
        raise NotAllowed(
            f"{person.name} is known to the login provider and has no role in this Costweir.",
            hint=f"An admin can give one in oidc.roles, by the claim {self._oidc.role_claim}.",
        )

    def _attempt(self, word: str) -> Attempt:
        """The words of an attempt, each from the one in the cookie by a key that never leaves this process."""

        def derived(purpose: str) -> str:
            return hmac.new(self._key, f"{purpose} {word}".encode(), hashlib.sha256).hexdigest()

        return Attempt(derived("state"), derived("nonce"), derived("verifier"))

    def _pending(self, state: str) -> str:
        """The cookie of an attempt; several windows may log in at once."""
        return f"{self._prefix}_attempt_{re.sub('[^0-9a-f]', '', state)[:8]}"

    def _signed(self, word: str, to: str) -> str:
        import jwt

        claims: dict[str, Any] = {"word": word, "to": to, "exp": datetime.now(UTC) + PATIENCE}
        return jwt.encode(claims, self._key, "HS256")

    def _read(self, signed: str) -> tuple[str, str]:
        """The word and the page of a cookie of ours; nothing for one that was changed or is too old."""
        import jwt

        try:
            claims = jwt.decode(signed, self._key, ["HS256"], options={"require": ["exp"]})
        except jwt.PyJWTError:
            return "", "/"
        return str(claims["word"]), str(claims["to"])

    def _keep(self, reply: Response, name: str, value: str, lasts: timedelta) -> None:
        # Lax and not strict: the browser comes back from the provider, which is another site.
        reply.set_cookie(
            name, value, max_age=int(lasts.total_seconds()), path="/", httponly=True, samesite="lax",
            secure=self._oidc.secure,
        )  # fmt: skip

    def _throttle(self, request: Request) -> None:
        wait = self._asked.take(request.client.host if request.client else "")
        if wait:
            raise RateLimited("Too many logins from this address.", wait=wait, hint=f"Wait {wait} seconds.")

    def _told(self, handle: Callable[[Request], Response]) -> Callable[[Request], Response]:
        """An endpoint whose Error is a page of its own: the frame of the others shows what only visitors may see."""

        def handled(request: Request) -> Response:
            try:
                reply = handle(request)
            except Error as error:
                if request.url.path == CALLBACK:
                    note_authentication(request, "oidc", "failed")
                reply = self._page(error.message, hint=error.hint, status=error.http_status)
                if isinstance(error, RateLimited):
                    reply.headers["Retry-After"] = str(error.wait)
            reply.headers["Cache-Control"] = "no-store"
            # The address of the way back has the code in it.
            reply.headers["Referrer-Policy"] = "no-referrer"
            return reply

        return handled

    def _page(self, text: str, *, hint: str = "", status: int = 200, elsewhere: str = "") -> Response:
        html = self._pages.get_template("login.html").render(
            text=text,
            hint=hint,
            elsewhere=elsewhere,
            failed=status >= 400,
            login=LOGIN,
            asset=self._assets.url,
        )
        return Response(html, status, media_type="text/html; charset=utf-8")


def _safe(request: Request) -> str:
    """The page to go to after the login: a path of ours and nothing else, or the overview."""
    to = request.query_params.get("to", "")
    ours = _PATH.fullmatch(to) and len(to) <= _LONGEST_PATH and not to.startswith("/oidc/")
    return to if ours else "/"


def _hash(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()
