"""What the gateway says no to, before or instead of a provider."""

from __future__ import annotations

from costweir.guard.codes import STATUSES, DoorCode
from costweir.guard.ledger import Ask, Refusal, Subject

Code = DoorCode


class Turned(Exception):
    """A call that is not forwarded, or whose provider gave no reply that could be passed on.

    `message` and `hint` are for the caller, `detail` is for the operator: what it names of the network or the
    configuration is no business of a caller. `retry_after` is in seconds, where waiting helps.
    """

    def __init__(
        self, code: Code, message: str, *, hint: str = "", detail: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.code: Code = code
        self.message = message
        self.hint = hint
        self.detail = detail
        self.retry_after = retry_after
        #: For whom the call was, as far as that was known by then.
        self.subject = Subject()
        #: True when the ledger has an attempt of the call, which tells what happened.
        self.attempted = False

    @property
    def status(self) -> int:
        """Its HTTP status."""
        return STATUSES[self.code]

    def kept(self, request_id: str) -> tuple[Ask, Refusal]:
        """What the ledger keeps of it for `why`."""
        message = " ".join(filter(None, (self.message, self.detail)))
        refusal = Refusal(self.code, request_id, message, retry_after=self.retry_after)
        return Ask(request_id, self.subject, ()), refusal
