"""Asks one address and goes nowhere else: a key, a code or a message is for the host that was given, so that no
redirect is followed. The login and the channels of alerts ask by it too."""

from __future__ import annotations

from http.client import HTTPMessage
from typing import IO
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener


class _Stay(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """No second request; the answer is an HTTPError with the status of the redirect."""


def opener() -> OpenerDirector:
    """Opens addresses; a redirect is an HTTPError."""
    return build_opener(_Stay)
