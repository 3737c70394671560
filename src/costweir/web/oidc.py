"""OpenID Connect as its relying party: discovery, a code for an ID token, and every check of that token.

It asks the provider and believes nothing that is not signed for this client and this attempt; it knows no cookie.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote_plus, urlencode, urlsplit

from costweir.config.oidc import is_closed
from costweir.errors import ConfigError, NotAllowed, Unreachable
from costweir.sources.live.opener import opener

if TYPE_CHECKING:
    from jwt import PyJWK

    from costweir.config.oidc import Oidc

#: How much the clocks of the provider and of this machine may differ.
SKEW = timedelta(seconds=60)
#: What a token may be signed with: a key of the provider. A shared secret or no signature at all never counts.
ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
#: Metadata and keys are read again after this time; for a key that is not known, at most this often.
_KEPT_SECONDS = 3600
_KEY_PAUSE_SECONDS = 30
_TIMEOUT = 10
_LARGEST = 1 << 20
_LONGEST_NAME = 120
Claims = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Attempt:
    """The words of one login: `state` comes back by the browser, `nonce` in the token, `verifier` proves who began."""

    state: str
    nonce: str
    verifier: str

    @property
    def challenge(self) -> str:
        """What the provider is told of the verifier beforehand (RFC 7636, S256)."""
        return _base64(hashlib.sha256(self.verifier.encode()).digest())


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whom the provider logged in. `actor` cannot be chosen by them, `name` can."""

    actor: str
    name: str
    claims: Claims


@dataclass(slots=True)
class _Kept:
    """What was read from the provider, and when."""

    metadata: Mapping[str, object] = field(default_factory=dict[str, object])
    metadata_at: float = 0
    keys: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    keys_at: float = 0


class Provider:
    """One provider and this client of it. Safe to use from several threads.

    Every method raises Unreachable when the provider does not answer and ConfigError when it and the settings do not
    fit together.
    """

    def __init__(self, oidc: Oidc, secret: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._oidc = oidc
        self._secret = secret
        self._clock = clock
        self._kept = _Kept()
        self._lock = threading.Lock()
        _library()

    def address(self, attempt: Attempt) -> str:
        """Where the browser has to go to log in."""
        endpoint = self._endpoint("authorization_endpoint")
        query = {
            "response_type": "code", "client_id": self._oidc.client_id or "",
            "redirect_uri": self._oidc.redirect_uri, "scope": " ".join(self._oidc.scopes),
            "state": attempt.state, "nonce": attempt.nonce,
            "code_challenge": attempt.challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(query)}"

    def goodbye(self) -> str:
        """Where the provider's own session can be ended; empty where it does not say."""
        return self._endpoint("end_session_endpoint") if self._metadata().get("end_session_endpoint") else ""

    def check_sender(self, issuer: str) -> None:
        """Raises NotAllowed when a reply names another issuer than this one, or none where it has to (RFC 9207)."""
        needed = self._metadata().get("authorization_response_iss_parameter_supported") is True
        wrong = issuer != self._oidc.issuer if issuer else needed
        if wrong:
            raise NotAllowed("The reply comes from another provider.", hint="Begin the login again.")

    def person(self, code: str, attempt: Attempt) -> Person:
        """Who has logged in. Raises NotAllowed for a code or token that is not of this attempt."""
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": self._oidc.redirect_uri,
            "code_verifier": attempt.verifier,
        }  # fmt: skip
        headers: dict[str, str] = {}
        methods = self._metadata().get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if self._secret and isinstance(methods, list) and "client_secret_basic" in methods:
            pair = f"{quote_plus(self._oidc.client_id or '')}:{quote_plus(self._secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form["client_id"] = self._oidc.client_id or ""
            form |= {"client_secret": self._secret} if self._secret else {}
        reply = _read(self._endpoint("token_endpoint"), form, headers)
        token = reply.get("id_token")
        if not isinstance(token, str):
            raise ConfigError(
                "The login provider sent no ID token.", hint="Check that oidc.scopes has openid."
            )
        return _person(self._checked(token, attempt))

    def _checked(self, token: str, attempt: Attempt) -> Claims:
        """The claims of a token that holds in every respect (OpenID Connect Core 1.0, 3.1.3.7)."""
        import jwt

        try:
            key, algorithm = self._key(token)
            claims: dict[str, object] = jwt.decode(
                token, key=key, algorithms=[algorithm], audience=self._oidc.client_id, issuer=self._oidc.issuer,
                leeway=SKEW, options={"require": ["iss", "sub", "aud", "exp", "iat"],
                                      "enforce_minimum_key_length": True},
            )  # fmt: skip
        except jwt.PyJWTError as error:
            raise _invalid(error) from error
        audience, party = claims["aud"], claims.get("azp")
        many = isinstance(audience, list) and len(cast("list[object]", audience)) > 1
        foreign = party != self._oidc.client_id if party is not None else many
        if foreign:
            raise NotAllowed(
                "The login provider's token was made for another program.", hint="Check oidc.client_id."
            )
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), attempt.nonce.encode()):
            raise NotAllowed(
                "The login provider's token belongs to another login.", hint="Begin the login again."
            )
        return claims

    def _key(self, token: str) -> tuple[PyJWK, str]:
        """The provider's key for a token, bound to the algorithm that the token names."""
        import jwt

        header = jwt.get_unverified_header(token)
        algorithm, name = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            raise jwt.InvalidAlgorithmError("it is not signed with a key of the provider")
        for fresh in (False, True):
            found = [
                one
                for one in self._keys(fresh=fresh)
                if (name is None or one.get("kid") == name)
                and one.get("use", "sig") == "sig"
                and one.get("alg", algorithm) == algorithm
            ]
            if len(found) == 1:
                return jwt.PyJWK(dict(found[0]), algorithm), algorithm
        raise jwt.InvalidKeyError("the provider does not publish the key that it is signed with")

    def _keys(self, *, fresh: bool) -> list[Mapping[str, Any]]:
        address = self._endpoint("jwks_uri")
        with self._lock:
            age = self._clock() - self._kept.keys_at
            if self._kept.keys and age < (_KEY_PAUSE_SECONDS if fresh else _KEPT_SECONDS):
                return self._kept.keys
        keys = _read(address).get("keys")
        listed = cast("list[object]", keys) if isinstance(keys, list) else []
        with self._lock:
            self._kept.keys = [cast("dict[str, Any]", one) for one in listed if isinstance(one, dict)]
            self._kept.keys_at = self._clock()
            return self._kept.keys

    def _metadata(self) -> Mapping[str, object]:
        with self._lock:
            if self._kept.metadata and self._clock() - self._kept.metadata_at < _KEPT_SECONDS:
                return self._kept.metadata
        issuer = self._oidc.issuer or ""
        found = _read(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != issuer:
            said = " ".join(str(found.get("issuer")).split())[:200]
            raise ConfigError(
                f"The login provider calls itself {said}, and oidc.issuer is {issuer}.",
                hint="The two have to be the same to the letter, a slash at the end included.",
            )
        with self._lock:
            self._kept.metadata, self._kept.metadata_at = found, self._clock()
        return found

    def _endpoint(self, name: str) -> str:
        address = self._metadata().get(name)
        if not isinstance(address, str) or not is_closed(address):
            raise ConfigError(
                f"The login provider gives no {name} that starts with https://.", hint="Check oidc.issuer."
            )
        return address


def _library() -> None:
    try:
        import cryptography  # noqa: F401  # pyright: ignore[reportUnusedImport]
        import jwt  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise ConfigError(
            "A login at a provider needs the extra package PyJWT with cryptography.",
            hint="Install it: pip install 'costweir[oidc]'",
        ) from error


def _invalid(error: Exception) -> NotAllowed:
    """Why a token does not hold, in one sentence without anything of the token itself."""
    import jwt

    clocks = "If it happens again, the clock of this machine or of the provider is wrong."
    if isinstance(error, jwt.ExpiredSignatureError):
        return NotAllowed("The login provider's token has expired.", hint=clocks)
    if isinstance(error, jwt.ImmatureSignatureError):
        return NotAllowed("The login provider's token is from the future.", hint=clocks)
    reasons: dict[type[Exception], str] = {
        jwt.InvalidAudienceError: "it was made for another program",
        jwt.InvalidIssuerError: "it names another issuer",
        jwt.InvalidSignatureError: "its signature is wrong",
        jwt.InvalidAlgorithmError: "it is not signed with a key of the provider",
        jwt.InvalidKeyError: "the key that it is signed with is not published or too short",
    }
    why = next((text for kind, text in reasons.items() if isinstance(error, kind)), "it is not whole")
    return NotAllowed(
        f"The login provider's token is not valid: {why}.",
        hint="Begin the login again; if it stays, check the settings of oidc.",
    )


def _person(claims: Claims) -> Person:
    subject, email = str(claims["sub"]), claims.get("email")
    verified = isinstance(email, str) and claims.get("email_verified") in (True, "true")
    names = (claims.get("name"), claims.get("preferred_username"), email, subject)
    shown = next(one for one in names if isinstance(one, str) and one.strip())
    return Person(f"login:{_line(str(email) if verified else subject)}", _line(shown), claims)


def _line(text: str) -> str:
    return "".join(one for one in text if one.isprintable()).strip()[:_LONGEST_NAME] or "somebody"


def values_of(claims: Claims, name: str) -> frozenset[str]:
    """The texts of a claim; a name with dots leads into claims of claims, unless a claim has that very name.

    An e-mail address is in small letters, and counts only when the provider has verified it.
    """
    found: object = claims.get(name)
    if found is None:
        found = dict(claims)
        for part in name.split("."):
            found = _part(found, part)
    listed = cast("list[object]", found) if isinstance(found, list) else [found]
    texts = frozenset(one for one in listed if isinstance(one, str))
    if name != "email":
        return texts
    return (
        frozenset(one.lower() for one in texts)
        if claims.get("email_verified") in (True, "true")
        else frozenset()
    )


def _part(claim: object, name: str) -> object:
    return cast("dict[str, object]", claim).get(name) if isinstance(claim, dict) else None


def _read(
    url: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> Mapping[str, object]:
    """The JSON object that the provider answers; a form is posted."""
    body = urlencode(form).encode() if form is not None else None
    request = urllib.request.Request(url, body, {"Accept": "application/json", **(headers or {})})  # noqa: S310
    try:
        with opener().open(request, timeout=_TIMEOUT) as answer:
            found = _object(answer.read(_LARGEST + 1))
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(error) from None
    except (urllib.error.URLError, HTTPException, OSError) as error:
        raise Unreachable("The login provider does not answer.", hint="Try again in a moment.") from error
    if found is None:
        raise Unreachable(
            f"The login provider answered {urlsplit(url).path} with something that is no JSON object.",
            hint="A proxy on the way may have answered; check oidc.issuer.",
        )
    return found


def _object(raw: bytes) -> Mapping[str, object] | None:
    try:
        found = cast("object", json.loads(raw)) if len(raw) <= _LARGEST else None
    except (ValueError, RecursionError):
        return None
    return cast("Mapping[str, object]", found) if isinstance(found, dict) else None


def _refused(error: urllib.error.HTTPError) -> Exception:
    path = urlsplit(error.url).path
    if error.code == 429 or error.code >= 500:
        return Unreachable(
            f"The login provider is too busy or down (status {error.code}).", hint="Try again in a moment."
        )
    try:
        said = (_object(error.read(_LARGEST)) or {}).get("error")
    except (OSError, HTTPException):
        said = None
    if said == "invalid_grant":
        return NotAllowed(
            "The login provider does not accept the code of this login.", hint="Begin the login again."
        )
    if said in ("invalid_client", "unauthorized_client") or error.code == 401:
        return ConfigError(
            "The login provider does not accept this client.", hint="Check oidc.client_id and the secret."
        )
    return ConfigError(
        f"The login provider refuses {path} (status {error.code}).",
        hint="Check oidc.issuer, oidc.public_url and what the provider allows this client.",
    )


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
