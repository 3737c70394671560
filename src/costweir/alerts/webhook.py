"""A webhook: the message as JSON, signed so that the receiver can tell who sent it and when."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from costweir.alerts.message import Message
from costweir.alerts.posting import post

SIGNATURE = "x-costweir-signature"
#: The same however often a message is sent.
DELIVERY = "x-costweir-delivery"


def signature(secret: str, at: int, body: bytes) -> str:
    """`t=UNIX_SECONDS,v1=HEX`: HMAC-SHA256 over the time, a dot and the body, with the secret as key."""
    signed = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={signed}"


@dataclass(frozen=True, slots=True)
class Webhook:
    """Posts to `url`."""

    id: str
    url: str = field(repr=False)
    secret: str = field(repr=False)
    clock: Callable[[], float] = time.time

    def send(self, message: Message, thread: str = "") -> str:
        """Sends one message. Raises NotAllowed and Unreachable."""
        body = json.dumps(message.to_json(), ensure_ascii=False, separators=(",", ":")).encode()
        # The body says its own key too; the header spares a receiver the parsing of what it has already.
        headers = {SIGNATURE: signature(self.secret, int(self.clock()), body), DELIVERY: message.delivery}
        post(self.url, body, headers, who=f"Webhook {self.id}")
        return ""
