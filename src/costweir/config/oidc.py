"""The login of the pages at an OpenID Connect provider: off until an issuer is named.

The client's secret is never written into the file: it is named as an environment variable or lies in a file of its own.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from costweir.config.fields import EnvironmentName, HttpUrl, Section
from costweir.errors import ConfigError

PersonRole = Literal["viewer", "finance", "admin"]
CALLBACK = "/oidc/callback"


def is_closed(url: str) -> bool:
    """Whether nobody on the way can read along: https, or http that stays on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)))


def _closed(value: str) -> str:
    if not is_closed(value):
        raise ValueError("it starts with https://; http:// is only for this machine")
    parts = urlsplit(value)
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("it has no user, query or fragment")
    return value


def _origin(value: str) -> str:
    if urlsplit(value).path not in ("", "/"):
        raise ValueError("it has no path, such as https://costs.example.com")
    return value.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


ClosedUrl = Annotated[HttpUrl, AfterValidator(_closed)]
Origin = Annotated[ClosedUrl, AfterValidator(_origin)]
Word = Annotated[str, StringConstraints(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]{1,200}$")]


class Oidc(Section):
    """Login of the pages at an OpenID Connect provider, besides the link for the admin. Off without `issuer`."""

    issuer: ClosedUrl | None = None
    """Issuer of the provider, to the letter as its discovery document says it."""
    client_id: str | None = Field(default=None, min_length=1, max_length=500)
    """Id of this client at the provider."""
    client_secret_env: EnvironmentName | None = None
    """Variable with the client's secret; a public client has none."""
    client_secret_file: str | None = None
    """File with the client's secret, in place of a variable."""
    public_url: Origin | None = None
    """Address of these pages as browsers see it; the provider has to allow it with `/oidc/callback` behind."""
    scopes: tuple[Word, ...] = ("openid", "profile", "email")
    """What is asked for; some providers need one more for groups."""
    role_claim: str = Field(default="groups", min_length=1, max_length=200)
    """Claim of the ID token that decides the role, dots for a claim in a claim. `email` counts only when verified."""
    roles: Mapping[str, PersonRole] = Field(default_factory=dict[str, PersonRole])
    """Role of each value of the claim: `viewer`, `finance` or `admin`. The highest counts."""
    default_role: PersonRole | None = None
    """Role of everybody else that the provider logs in; empty means that they are turned away."""
    session_hours: int = Field(default=8, ge=1, le=168)
    """A login ends after so many hours; a changed role counts from the next one."""

    @property
    def redirect_uri(self) -> str:
        """Where the provider sends the browser back to."""
        return f"{self.public_url}{CALLBACK}"

    @property
    def secure(self) -> bool:
        """Whether browsers reach the pages over https."""
        return (self.public_url or "").startswith("https://")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.issuer is None:
            if self.model_fields_set:
                raise ValueError("issuer is missing, so nobody could log in")
            return self
        for name in ("client_id", "public_url"):
            if getattr(self, name) is None:
                raise ValueError(f"a login needs {name}")
        if "openid" not in self.scopes:
            raise ValueError("scopes has to contain openid")
        if not self.roles and self.default_role is None:
            raise ValueError("nobody would have a role; set roles or default_role")
        if self.client_secret_env and self.client_secret_file:
            raise ValueError("the secret is in client_secret_env or in client_secret_file, not in both")
        return self


def client_secret(oidc: Oidc, *, named: Callable[[str], str | None], folder: Path) -> str:
    """The client's secret, empty for a public client; a file is relative to `folder`, a variable is asked of `named`.

    Raises ConfigError when it is named and not there.
    """
    if oidc.client_secret_env:
        found = named(oidc.client_secret_env)
        if found is None:
            raise ConfigError(
                f"oidc.client_secret_env names {oidc.client_secret_env}, which is not set.",
                hint="Put the client's secret into it, or remove the setting for a public client.",
            )
        return found
    if not oidc.client_secret_file:
        return ""
    file = folder / Path(oidc.client_secret_file).expanduser()
    try:
        found = file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"oidc.client_secret_file {file} cannot be read.",
            hint="Check that it exists and who may read it.",
        ) from error
    if not found:
        raise ConfigError(
            f"oidc.client_secret_file {file} is empty.", hint="Put the client's secret into it."
        )
    return found
