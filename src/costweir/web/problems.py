"""Errors of the API as RFC 9457 problem documents: one shape for whatever goes wrong under `/v1`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.responses import JSONResponse

from costweir.errors import Error

MEDIA_TYPE = "application/problem+json"
#: Seconds that a caller is asked to wait when a store does not answer.
_PATIENCE = "2"


class Unauthenticated(Error):
    """Nobody proved who asks, or the token is wrong, ended or revoked."""

    code = "unauthenticated"
    http_status = 401


class MethodNotAllowed(Error):
    """The path exists and does not take this method."""

    code = "method_not_allowed"
    http_status = 405


class TooLarge(Error):
    """The body is larger than any request needs."""

    code = "too_large"
    http_status = 413


class AddressTooLong(Error):
    """The path and query are longer than any request needs."""

    code = "address_too_long"
    http_status = 414


class WrongMedia(Error):
    """The body is not JSON."""

    code = "unsupported_media_type"
    http_status = 415


class HeadersTooLarge(Error):
    """The headers are larger than any request needs."""

    code = "headers_too_large"
    http_status = 431


class Internal(Error):
    """A defect of our own."""

    code = "internal"
    http_status = 500


class Invalid(Error):
    """The body is JSON and not what the operation takes. `errors` has a JSON pointer and a sentence for each fault."""

    code = "invalid"
    http_status = 422

    def __init__(self, message: str, *, errors: Sequence[Mapping[str, str]] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.errors = tuple(errors)


class RateLimited(Error):
    """More requests than are allowed. `wait` is in seconds."""

    code = "rate_limited"
    http_status = 429
    transient = True

    def __init__(self, message: str, *, wait: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.wait = wait


def problem(error: Error, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The RFC 9457 document of an error, with our `code`, `hint` and `transient`, and `errors` for a faulty body."""
    body: dict[str, object] = {
        "type": f"urn:costweir:error:{error.code}", "title": error.code.replace("_", " "), "status": error.http_status,
        "detail": error.message, "hint": error.hint, "code": error.code, "transient": error.transient,
    }  # fmt: skip
    sent = {"Cache-Control": "no-store", **(headers or {})}
    if isinstance(error, Invalid):
        body["errors"] = [dict(item) for item in error.errors]
    if isinstance(error, RateLimited):
        sent["Retry-After"] = str(error.wait)
    elif error.transient:
        sent["Retry-After"] = _PATIENCE
    if isinstance(error, Unauthenticated):
        sent["WWW-Authenticate"] = 'Bearer realm="costweir"'
    return JSONResponse(body, error.http_status, sent, media_type=MEDIA_TYPE)
