"""Refuses a configuration file that holds a secret: files are copied, committed and shown, so a secret belongs into an
environment variable or a file of its own. What was found is never repeated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast
from urllib.parse import urlsplit

Place = tuple[int | str, ...]

#: Names under which people write secrets where none is to be.
_NAMES = re.compile(r"(^|_)(key|secret|password|passwd|passphrase|token|credentials?)$", re.IGNORECASE)
#: What well-known keys look like, whatever they stand under.
_KEYS = re.compile(
    r"(?<![\w-])(sk-[\w-]{16,}|sk_live_\w{16,}|AIza[\w-]{30,}|(AKIA|ASIA)[A-Z0-9]{16}(?!\w)|gh[pousr]_\w{30,}"
    r"|xox[abp]-[\w-]{10,}|hf_\w{30,}|gsk_\w{30,}|xai-\w{30,}|cw-[0-9a-f]{8}-[\w-]{40,}|cwt_[0-9a-f]{8}_[\w-]{40,})"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----|hooks\.slack\.com/services/\w"
)
#: What to do instead, for a provider's key and for any other secret.
KEY_WAY = (
    "Set api_key_env to the name of an environment variable, or api_key_file to a file that holds the key."
)
OWN_KEY_WAY = "Set key_env to the name of an environment variable, or key_file to a file that holds the key."
WAY = "Set it in the environment: docs/configuration.md names the variable of every setting."


def named_secret(name: str) -> bool:
    """Whether people write secrets under this name."""
    return _NAMES.search(name) is not None


def way_of(name: str) -> str:
    """What to do instead of writing the secret of this name."""
    return {"api_key": KEY_WAY, "key": OWN_KEY_WAY}.get(name, WAY)


def plain_secrets(values: Mapping[str, Any], secret: frozenset[str]) -> Iterator[tuple[Place, str]]:
    """What of a file's content is a secret: where it stands, and what it is. `secret` are the dotted settings that hold
    one."""
    for place, value in _texts(values, ()):
        if ".".join(map(str, place)) in secret:
            yield place, "is a secret, which is not kept in this file"
        elif _KEYS.search(value):
            yield place, "looks like a key, which is not kept in this file"
        elif _has_password(value):
            yield place, "has a password in it, which is not kept in this file"


def _texts(value: object, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(value, Mapping):
        for name, inner in cast("Mapping[str, object]", value).items():
            yield from _texts(inner, (*place, name))
    elif isinstance(value, list):
        for number, inner in enumerate(cast("list[object]", value)):
            yield from _texts(inner, (*place, number))
    elif isinstance(value, str) and value:
        yield place, value


def _has_password(value: str) -> bool:
    try:
        return "://" in value and bool(urlsplit(value).password)
    except ValueError:
        return False
