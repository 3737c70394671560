"""How the mock misbehaves. A fault is drawn from the seed and the request's number, so a run can be repeated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from zlib import crc32

from costweir.errors import UsageError

#: Every fault, with what the mock does. The bill counts the call unless the text says otherwise.
FAULTS = {
    "omits_usage": "answers without saying what was used",
    "hangs_up": "closes the connection in the middle of the answer",
    "client_aborts": "nothing here: the test's own clients hang up",
    "bills_then_5xx": "bills the call and answers 500",
    "slow": "waits before the first byte and between the chunks",
    "ignores_max_tokens": "generates up to three times what was allowed",
    "doubles_usage": "reports and bills twice of everything",
    "rate_limits": "answers 429 and bills nothing",
    "fails": "answers 500 and bills nothing",
    "html": "answers 502 with a page of HTML and bills nothing",
    "malformed": "answers with half a JSON object",
    "truncates": "ends a stream before its last events",
}
#: Faults that break an assumption the ledger publishes: the output cap holds, and usage is counted once.
BREAKING = frozenset({"ignores_max_tokens", "doubles_usage"})
_MARK = b"[[mock:"


@dataclass(frozen=True, slots=True)
class Faults:
    """Which faults are on, for how many requests out of a hundred, and the seed they are drawn from.

    UsageError for an unknown name or a share beyond 0 to 100.
    """

    names: tuple[str, ...] = ()
    percent: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        _known(self.names)
        if not 0 <= self.percent <= 100:
            raise UsageError(
                f"{self.percent} is not a share of requests.", hint="Give a number from 0 to 100."
            )

    def of(self, number: int, body: bytes) -> tuple[str, ...]:
        """The faults of one request: what its text asks for with `[[mock: name, name]]`, else one that is drawn."""
        asked = _asked(body) if _MARK in body else ()
        if asked or not self.names:
            return asked
        drawn = crc32(b"%d:%d" % (self.seed, number))
        if drawn % 100 >= self.percent:
            return ()
        return (self.names[drawn // 100 % len(self.names)],)


def _asked(body: bytes) -> tuple[str, ...]:
    text = body.partition(_MARK)[2].partition(b"]]")[0].decode("ascii", "replace")
    return tuple(name for part in text.split(",") if (name := part.strip()) in FAULTS)


def _known(names: Iterable[str]) -> None:
    from difflib import get_close_matches

    for name in names:
        if name not in FAULTS:
            near = get_close_matches(name, FAULTS, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(FAULTS)}."
            raise UsageError(f"{name!r} is not a fault of the mock provider.", hint=hint)
