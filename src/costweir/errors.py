"""The error tree. Each error is one sentence with a hint, and maps once to exit code, HTTP status and transience.

Error                     understood, and failed                        exit 1   HTTP 422
├── UsageError            the request itself is wrong                   exit 2   HTTP 400
│   └── ConfigError       a setting is wrong                            exit 2   HTTP 400
├── NotFound              the named thing does not exist                exit 1   HTTP 404
├── Conflict              somebody else holds it, or it exists already  exit 1   HTTP 409
├── NotAllowed            the caller may not                            exit 1   HTTP 403
├── SourceRejected        a bill cannot be read as what it claims       exit 1   HTTP 422
├── Unreachable           a store, source or provider does not answer   exit 3   HTTP 503  transient
│   └── StoreLocked       another process holds the store               exit 3   HTTP 503  transient
├── DataIncomplete        answered, but late, quarantined or unpriced   exit 4   HTTP 200
├── CheckFailed           a check did not hold                          exit 5   HTTP 422
└── BudgetExceeded        refused before the money was spent            exit 5   HTTP 402
"""

from __future__ import annotations

from typing import ClassVar


class Error(Exception):
    """Base of every error that Costweir raises on purpose.

    `message` is one sentence that says what happened; `hint` is one sentence that says what to do next.
    """

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 422
    transient: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def to_json(self) -> dict[str, object]:
        """The error object of the contract: `code, message, hint, transient`."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "transient": self.transient}


class UsageError(Error):
    """The request cannot be understood: wrong argument, dimension, date or file pattern."""

    code = "usage"
    exit_code = 2
    http_status = 400


class ConfigError(UsageError):
    """A setting is missing, misspelt or out of range."""

    code = "config"


class NotFound(Error):
    """The named run, question, customer or file does not exist."""

    code = "not_found"
    http_status = 404


class Conflict(Error):
    """Another holder has it already, for example a second server on one data directory."""

    code = "conflict"
    http_status = 409


class NotAllowed(Error):
    """The caller is known and may not do this."""

    code = "not_allowed"
    http_status = 403


class SourceRejected(Error):
    """A bill is unreadable or is not of the format it was given as. Nothing of it was loaded."""

    code = "source_rejected"


class Unreachable(Error):
    """A store, source or provider does not answer now. Trying again may help."""

    code = "unreachable"
    exit_code = 3
    http_status = 503
    transient = True


class StoreLocked(Unreachable):
    """Another process holds the store file."""

    code = "store_locked"


class DataIncomplete(Error):
    """The answer stands, but a source is late, or rows are quarantined or unpriced."""

    code = "incomplete"
    exit_code = 4
    http_status = 200


class CheckFailed(Error):
    """A check that was asked for does not hold: drift, a failed validation, a stale file."""

    code = "check_failed"
    exit_code = 5


class BudgetExceeded(Error):
    """A call was refused because a budget would have been exceeded."""

    code = "budget_exceeded"
    exit_code = 5
    http_status = 402
