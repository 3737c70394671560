"""Where alerts go: the list of channels, and which of them hear of what. A credential is never written into the file:
`..._env` names the environment variable that holds it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import time
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from costweir.config.connections import Name, check_options
from costweir.config.fields import EnvironmentName, HttpUrl, Port, Section, Timezone

ChannelKind = Literal["webhook", "slack", "email", "pagerduty", "apprise"]
Severity = Literal["critical", "warning", "info"]
Address = Annotated[str, StringConstraints(pattern=r"^[^\s@,;<>]+@[^\s@,;<>]+$")]
EventName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Hours = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")]

_SHARED = frozenset({"id", "kind", "events", "quiet", "timezone"})
#: The options that each kind of channel takes besides those of every channel; the first ones are required.
_OPTIONS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "webhook": (("url_env", "secret_env"), ()),
    "slack": ((), ("url_env", "token_env", "channel", "base_url")),
    "email": (("host", "to", "sender"), ("port", "tls", "user", "password_env", "ca_file")),
    "pagerduty": (("key_env",), ("base_url",)),
    "apprise": (("url_env",), ()),
}


class Channel(Section):
    """Where alerts go."""

    id: Name
    """Name of the channel: small letters, digits, dots, dashes and underscores."""
    kind: ChannelKind
    """`webhook` is signed JSON, `slack` an app or an incoming webhook, `email` a message over SMTP, `pagerduty` Events
    API v2, `apprise` any address that the library of this name knows."""
    events: tuple[EventName, ...] = ()
    """What is sent; empty means everything."""
    quiet: Hours | None = None
    """Hours in which only what is critical is sent, such as `22:00-07:00`; the rest waits for their end."""
    timezone: Timezone = "UTC"
    """Time zone of `quiet`."""
    url_env: EnvironmentName | None = None
    """Variable with the address that is posted to. Whoever knows it can post, so it is a secret."""
    secret_env: EnvironmentName | None = None
    """Variable with the secret that signs the messages of a webhook."""
    token_env: EnvironmentName | None = None
    """Variable with the bot token of a Slack app, which answers in threads; it needs `chat:write`."""
    channel: str | None = Field(default=None, pattern=r"^[#@]?[^\s#@]{1,80}$")
    """Slack channel that the app posts to, such as `#llm-cost-alerts`."""
    key_env: EnvironmentName | None = None
    """Variable with the integration key of a PagerDuty service (Events API v2)."""
    base_url: HttpUrl | None = None
    """Address of Slack's or PagerDuty's API instead of the usual one, such as `https://events.eu.pagerduty.com`."""
    host: str | None = None
    """SMTP server."""
    port: Port = 587
    """SMTP port."""
    tls: Literal["starttls", "tls", "none"] = "starttls"
    """`starttls` upgrades a plain connection, `tls` is encrypted from the start, `none` is for this machine only."""
    ca_file: str | None = None
    """Certificates that the server's own is checked against, in PEM; empty means those of the system."""
    user: str | None = None
    """SMTP user; empty means no login."""
    password_env: EnvironmentName | None = None
    """Variable with the SMTP password."""
    sender: Address | None = Field(default=None, alias="from")
    """Address the message comes from."""
    to: tuple[Address, ...] | None = None
    """Addresses the message goes to."""

    @property
    def secret_names(self) -> tuple[str, ...]:
        """The environment variables that this channel reads."""
        return tuple(value for name, value in self if name.endswith("_env") and value)

    @property
    def quiet_hours(self) -> tuple[time, time] | None:
        """The first minute of the quiet hours and the first after them, in the channel's time zone."""
        if self.quiet is None:
            return None
        begin, end = self.quiet.split("-")
        return time.fromisoformat(begin), time.fromisoformat(end)

    @model_validator(mode="after")
    def _options_fit_the_kind(self) -> Self:
        required, optional = _OPTIONS[self.kind]
        check_options(self, self.kind, required=required, allowed={*required, *optional, *_SHARED})
        if self.kind == "slack" and bool(self.url_env) == bool(self.token_env):
            raise ValueError("slack needs either url_env, or token_env and channel")
        if bool(self.token_env) != bool(self.channel):
            raise ValueError("token_env and channel come together")
        if bool(self.user) != bool(self.password_env):
            raise ValueError("user and password_env come together")
        if self.tls == "none" and (self.user or self.host not in ("127.0.0.1", "localhost", "::1")):
            raise ValueError('tls = "none" is for a server on this machine without a login')
        return self


class Route(Section):
    """Which channels hear of what. A matter goes to the channels of every route that it fits."""

    severities: tuple[Severity, ...] = ()
    """`critical`, `warning`, `info`; empty means any."""
    teams: tuple[str, ...] = ()
    """Teams whose matters it is for; empty means any."""
    events: tuple[EventName, ...] = ()
    """Events that it is for; empty means any."""
    channels: tuple[Name, ...] = Field(min_length=1)
    """Ids of channels."""


class Routing(Section):
    """Who is told of what, and how often."""

    routes: tuple[Route, ...] = ()
    """Which channels hear of what. Without any, what is critical goes everywhere, a warning everywhere but to a pager,
    and info to e-mail and webhooks."""
    default: tuple[Name, ...] = ()
    """Ids of channels for what no route fits; empty means all channels."""
    quiet_minutes: int = Field(default=5, ge=0, le=1440)
    """How long something has to be well before that is told; when it comes back sooner, nobody is told again."""
    storm: int = Field(default=10, ge=2, le=1000)
    """With more new messages than this for one channel at once, it gets one summary."""
    public_url: HttpUrl | None = None
    """Address of the pages as people reach them, for links in messages; empty means `oidc.public_url`, and without one
    this machine's."""

    @property
    def named(self) -> tuple[str, ...]:
        """Every channel that a route or the default names."""
        return (*(name for route in self.routes for name in route.channels), *self.default)
