"""Which paths the gateway serves, as data. What is not in the table is refused by name, because what is not metered
cannot be held at a budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Form = Literal["openai.chat", "openai.embeddings", "anthropic.messages"]
Family = Literal["openai", "anthropic"]


@dataclass(frozen=True, slots=True)
class Route:
    """One metered path. `upstream` is its path below a provider's root; `streams` says that a reply may be a stream.

    `billed` False means that the provider charges nothing for it, so no room is held.
    """

    path: bytes
    form: Form
    family: Family
    operation: str
    upstream: str
    streams: bool = True
    billed: bool = True


ROUTES: tuple[Route, ...] = (
    Route(b"/v1/chat/completions", "openai.chat", "openai", "chat", "/chat/completions"),
    Route(b"/v1/embeddings", "openai.embeddings", "openai", "embeddings", "/embeddings", streams=False),
    Route(b"/v1/messages", "anthropic.messages", "anthropic", "chat", "/messages"),
    Route(
        b"/v1/messages/count_tokens", "anthropic.messages", "anthropic", "count_tokens", "/messages/count_tokens",
        streams=False, billed=False,
    ),
)  # fmt: skip
#: By path, for the one look-up of a request.
METERED = {route.path: route for route in ROUTES}

#: Which kinds of provider speak a family's wire format.
SPEAKERS: dict[Family, frozenset[str]] = {
    "openai": frozenset({"openai", "mock"}),
    "anthropic": frozenset({"anthropic", "mock"}),
}


def family_of(path: str) -> Family:
    """Whose wire format a refusal on this path is written in."""
    return "anthropic" if path.startswith(("/v1/messages", "/v1/complete", "/v1/organizations")) else "openai"
