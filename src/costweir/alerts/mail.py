"""E-mail over SMTP: plain text, encrypted unless the server is on this machine."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Literal

from costweir.alerts.message import Message
from costweir.alerts.posting import TIMEOUT_SECONDS
from costweir.errors import ConfigError, Error, NotAllowed, Unreachable


@dataclass(frozen=True, slots=True)
class Mail:
    """Sends to `to` by the server at `host`."""

    id: str
    host: str
    port: int
    tls: Literal["starttls", "tls", "none"]
    sender: str
    to: tuple[str, ...]
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: str | None = None

    def send(self, message: Message, thread: str = "") -> str:
        """Sends one message, as an answer when `thread` is the id of an earlier one, and gives its id else. Raises
        NotAllowed when the server refuses, and Unreachable for what may pass."""
        mail = self._mail(message, thread)
        who = f"Mail server {self.host} of {self.id}"
        try:
            with self._connected() as server:
                if self.user:
                    server.login(self.user, self.password)
                server.send_message(mail)
        except smtplib.SMTPAuthenticationError:
            raise NotAllowed(f"{who} refused the login.", hint="Check user and password_env.") from None
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused):
            raise NotAllowed(f"{who} refused an address.", hint="Check from and to.") from None
        except smtplib.SMTPNotSupportedError:
            raise Error(
                f"{who} does not offer what is needed.", hint='Use tls = "tls" and its port.'
            ) from None
        except ssl.SSLError as error:
            why = getattr(error, "verify_message", "") or error.reason or "the handshake failed"
            hint = "Name its certificates in ca_file, or check tls and port."
            raise NotAllowed(f"{who} is not trusted: {why}.", hint=hint) from None
        except UnicodeError:
            raise NotAllowed(f"{who} takes no such login or address.", hint="Use plain letters.") from None
        except (smtplib.SMTPException, OSError) as error:
            raise Unreachable(
                f"{who} does not answer: {_line(error)}.", hint="It is tried again later."
            ) from None
        return "" if thread else str(mail["Message-ID"])

    def _connected(self) -> smtplib.SMTP:
        if self.tls == "none":
            return smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_SECONDS)
        try:
            trust = ssl.create_default_context(cafile=self.ca_file)
        except FileNotFoundError:
            raise ConfigError(
                f"There is no file {self.ca_file}.", hint="Correct ca_file of the channel."
            ) from None
        if self.tls == "tls":
            return smtplib.SMTP_SSL(self.host, self.port, timeout=TIMEOUT_SECONDS, context=trust)
        server = smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_SECONDS)
        try:
            server.starttls(context=trust)
        except BaseException:
            server.close()
            raise
        return server

    def _mail(self, message: Message, thread: str) -> EmailMessage:
        mail = EmailMessage()
        # A name from a bill must not begin a header of its own.
        mail["Subject"] = " ".join(message.title.split())[:200]
        mail["From"] = self.sender
        mail["To"] = ", ".join(self.to)
        mail["Date"] = format_datetime(datetime.now(UTC))
        # The same however often it is sent, so that a mailbox keeps one.
        mail["Message-ID"] = f"<{message.delivery}@{self.sender.rpartition('@')[2]}>"
        if thread:
            mail["In-Reply-To"] = thread
            mail["References"] = thread
        if message.severity == "critical" and message.state in ("open", "escalated", "reopened"):
            mail["Importance"] = "high"
        mail["Auto-Submitted"] = "auto-generated"
        mail["X-Costweir-Event"] = message.event
        mail.set_content(f"{message.body}\n\nIncident {message.id}, {message.instance}\n")
        return mail


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
