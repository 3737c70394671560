"""From a request to a call: whose key it is, for whom it is, which model it wants, and what it can cost at most."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from time import perf_counter
from typing import Protocol

from costweir.errors import UsageError
from costweir.gateway.call import Call
from costweir.gateway.exchange import Exchange
from costweir.gateway.identity import Key, identify, text_of_key
from costweir.gateway.names import request_id
from costweir.gateway.roster import Roster, Served
from costweir.gateway.splice import NotAnObject, cut
from costweir.gateway.turned import Turned
from costweir.guard.bounds import Shape, read
from costweir.guard.ledger import Subject


class KeyRing(Protocol):
    """The virtual keys."""

    def find(self, text: str, /) -> Key | None:
        """The key of this text when it may be used now."""
        ...


@dataclass(slots=True)
class Door:
    """What admission looks things up in. `plan_of` gives each customer's plan, `approved` the models that each
    customer with a list may use, as patterns; all of it is replaced as a whole when it changes."""

    roster: Roster
    keys: KeyRing
    plan_of: dict[str, str] = field(default_factory=dict[str, str])
    approved: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def key_of(self, headers: list[tuple[bytes, bytes]]) -> Key:
        """The key of a request. Raises Turned."""
        text = text_of_key(headers)
        key = self.keys.find(text) if text else None
        if key is None:
            raise Turned(
                "key_invalid",
                "This key is wrong, revoked or has ended." if text else "The request carries no key.",
                hint="Make one with `costweir key create --customer ID` and send it as the API key.",
            )
        return key

    def admit(self, exchange: Exchange) -> Call:
        """Reads one request. Raises Turned for whatever it may not be."""
        began = perf_counter()
        key = self.key_of(exchange.headers)
        raw = exchange.body
        route = exchange.route
        try:
            pieces = cut(raw)
            shape = self._shape(exchange, raw)
            identity = identify(key, exchange.headers, plan_of=self.plan_of)
            asked = self.model(shape.model, key, identity.subject.customer)
            if not asked.speaks(route.family):
                raise Turned(
                    "model_not_allowed", f"Model {asked.id} is not served in this wire format.",
                    hint="Call it with " + ("/v1/messages." if route.family == "openai" else "/v1/chat/completions."),
                )  # fmt: skip
        except NotAnObject:
            turned = Turned(
                "invalid_request", "The body is not a JSON object.", hint="Send the request as JSON."
            )
            turned.subject = self.holder(key)
            raise turned from None
        except Turned as turned:
            turned.subject = self.holder(key)
            raise
        return Call(request_id(), exchange, pieces, shape, asked, key, identity, began)

    def holder(self, key: Key) -> Subject:
        """Whom a key is for, when nothing else is known."""
        return Subject(customer=key.customer, plan=self.plan_of.get(key.customer, ""), key=key.id)

    def model(self, name: str, key: Key, customer: str) -> Served:
        """The model of this name. Raises Turned when there is none, or the key or its customer may not use it."""
        found = self.roster.find(name)
        if name in self.roster.absent and self.may_use(name, key, customer):
            raise Turned(
                "upstream_unavailable", f"Model {name!r} cannot be served.",
                hint="Whoever runs this gateway has to set its provider up.", detail=self.roster.absent[name],
            )  # fmt: skip
        if found is None:
            raise Turned(
                "model_not_allowed", f"There is no model {name[:100]!r} here.",
                hint="GET /v1/models lists those that this key may use.",
            )  # fmt: skip
        if not self.may_use(name, key, customer):
            raise Turned(
                "model_not_allowed", f"This key may not use model {name!r}.",
                hint="GET /v1/models lists those that it may use.",
            )  # fmt: skip
        return found

    def may_use(self, name: str, key: Key, customer: str) -> bool:
        """Whether a key may use a model for a customer."""
        if key.models and name not in key.models:
            return False
        patterns = self.approved.get(customer)
        return patterns is None or any(fnmatchcase(name, pattern) for pattern in patterns)

    def stand_ins(self, call: Call, names: tuple[str, ...]) -> list[Served]:
        """The declared models among `names` that may serve a call in place of the one asked for, and can."""
        if not names:
            return []
        key, customer = call.key, call.subject.customer
        return [
            model
            for model in self.roster.stand_ins(names, call.exchange.route.family)
            if model is not call.asked and model.suits(call.shape) and self.may_use(model.id, key, customer)
        ]

    def _shape(self, exchange: Exchange, raw: bytes) -> Shape:
        betas = (
            []
            if exchange.route.family == "openai"
            else [
                word.strip().decode("latin-1")
                for name, value in exchange.headers
                if name == b"anthropic-beta"
                for word in value.split(b",")
            ]
        )
        try:
            return read(exchange.route.form, raw, betas=betas)
        except UsageError as error:
            raise Turned("invalid_request", error.message, hint=error.hint) from None
