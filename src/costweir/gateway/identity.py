"""Who a request is for: what its key says, and what the key may assert in headers. Nothing else counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from costweir.gateway.turned import Turned
from costweir.guard.ledger import Subject

#: Header to field of the subject. The first three count only when the key may assert them.
_ASSERTED = {b"x-costweir-customer": "customer", b"x-costweir-session": "session", b"x-costweir-user": "user"}
_LABELS = {
    b"x-costweir-feature": "feature", b"x-costweir-project": "project", b"x-costweir-environment": "environment",
}  # fmt: skip
_QUERY_TYPE = b"x-costweir-query-type"
_NO_DEGRADE = b"x-costweir-no-degrade"
_PREFIX = b"x-costweir-"
#: The ledger keeps what a subject meets; the very subject of an earlier call is found there without comparing names.
_subject = lru_cache(maxsize=4096)(Subject)
#: Characters that an id or a label may have.
MOST_LETTERS = 200


class Key(Protocol):
    """What is known of a virtual key."""

    @property
    def id(self) -> str:
        """Its id, never its text."""
        ...

    @property
    def customer(self) -> str:
        """Whom it is for."""
        ...

    @property
    def models(self) -> Sequence[str]:
        """The models it may use; empty means every one."""
        ...

    @property
    def may_assert(self) -> AbstractSet[str] | Sequence[str]:
        """Which of customer, session and user its holder may name."""
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """For whom, and what the caller says about the call besides."""

    subject: Subject
    query_type: str = ""
    no_degrade: bool = False


def identify(key: Key, headers: Sequence[tuple[bytes, bytes]], *, plan_of: Mapping[str, str]) -> Identity:
    """The identity of one request; `plan_of` gives each customer's plan.

    Raises Turned for a header that the key may not set, or that is no id.
    """
    own = [pair for pair in headers if pair[0].startswith(_PREFIX)]
    if not own:
        return _plain(key.id, key.customer, plan_of.get(key.customer, ""))
    found: dict[str, str] = {}
    query_type, no_degrade = "", False
    for name, value in own:
        if name == _NO_DEGRADE:
            no_degrade = value.strip().lower() not in (b"", b"0", b"false", b"no")
        elif name == _QUERY_TYPE:
            query_type = _word(name, value)
        elif name in _LABELS:
            found[_LABELS[name]] = _word(name, value)
        elif name in _ASSERTED:
            kind = _ASSERTED[name]
            word = _word(name, value)
            if kind == "customer" and key.customer and word == key.customer:
                continue
            if kind not in key.may_assert:
                raise Turned(
                    "scope_not_allowed", f"This key may not say which {kind} a call is for.",
                    hint=f"Leave {name.decode()} out, or make a key with --may-assert {kind}.",
                )  # fmt: skip
            found[kind] = word
    customer = found.pop("customer", key.customer)
    subject = _subject(customer=customer, plan=plan_of.get(customer, ""), key=key.id, **found)
    return Identity(subject, query_type, no_degrade)


@lru_cache(maxsize=4096)
def _plain(key: str, customer: str, plan: str) -> Identity:
    """The identity of a request that says nothing about itself, which most do not."""
    return Identity(Subject(customer=customer, plan=plan, key=key))


def _word(name: bytes, value: bytes) -> str:
    try:
        word = value.decode().strip()
    except UnicodeDecodeError:
        word = ""
    if not word or len(word) > MOST_LETTERS or not word.isprintable():
        raise Turned(
            "invalid_request", f"{name.decode()} is not an id or a label.",
            hint=f"Send up to {MOST_LETTERS} printable characters in UTF-8, or leave it out.",
        )  # fmt: skip
    return word


def text_of_key(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """The key that a request carries, as the OpenAI or the Anthropic SDK sends it; empty without one."""
    for name, value in headers:
        if name == b"authorization":
            kind, _, text = value.partition(b" ")
            if kind.lower() == b"bearer":
                return text.strip().decode("latin-1")
        elif name == b"x-api-key":
            return value.strip().decode("latin-1")
    return ""
