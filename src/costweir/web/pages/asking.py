"""All questions of a page at once: each is answered in its own thread, and one that fails does not take
the page down."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from costweir.domain.answer import Answer
from costweir.errors import Error, Unreachable
from costweir.queries.request import Request
from costweir.web.desk import Desk

#: Seconds after which a card gives up; the page is sent without it.
DEADLINE = 20.0


@dataclass(frozen=True, slots=True)
class Answers:
    """What came back: an Answer or an Error for each name."""

    found: Mapping[str, Answer | Error]

    def need(self, name: str) -> Answer:
        """The answer without which the page has no meaning. Raises its Error."""
        answer = self.found[name]
        if isinstance(answer, Error):
            raise answer
        return answer

    def maybe(self, name: str) -> Answer | None:
        """The answer of a card that may be missing."""
        answer = self.found.get(name)
        return None if isinstance(answer, Error) else answer

    @property
    def problems(self) -> tuple[Error, ...]:
        """Every error once, for the banners."""
        by_text = {error.message: error for error in self.found.values() if isinstance(error, Error)}
        return tuple(by_text.values())


class Asking:
    """Asks in parallel; the desk is safe to call from several threads."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="ask")

    def __call__(self, requests: Mapping[str, Request]) -> Answers:
        """Answers or errors, by the names of `requests`."""
        started = {name: self._pool.submit(self._desk.ask, request) for name, request in requests.items()}
        return Answers({name: _result(future) for name, future in started.items()})


def _result(future: Future[Answer]) -> Answer | Error:
    try:
        return future.result(timeout=DEADLINE)
    except Error as error:
        return error
    except TimeoutError:
        return Unreachable(
            f"A question took longer than {DEADLINE:.0f} seconds.",
            hint="Choose fewer days, or reload the page.",
        )
