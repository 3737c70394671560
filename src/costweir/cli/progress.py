"""A progress bar on stderr, for whatever takes longer than a second, and only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from costweir.cli.frame import flags

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

#: Takes what is being done, how much of it is done, and how much there is (0 while unknown).
Report = Callable[[str, int, int], None]
_PATIENCE = 1


@contextmanager
def progress() -> Generator[Report]:
    """Gives a function that draws the bar once a second has passed; off a terminal it draws nothing."""
    if flags().quiet or not sys.stderr.isatty():
        yield lambda _what, _done, _total: None
        return
    bar = _Bar()
    try:
        yield bar.report
    finally:
        bar.stop()


class _Bar:
    def __init__(self) -> None:
        self._started = monotonic()
        self._drawn: Progress | None = None
        self._task: TaskID | None = None

    def report(self, what: str, done: int, total: int) -> None:
        if self._drawn is None and monotonic() - self._started >= _PATIENCE:
            self._drawn = self._start()
            self._task = self._drawn.add_task("")
        if self._drawn is not None and self._task is not None:
            self._drawn.update(self._task, description=what, completed=done, total=total or None)

    def stop(self) -> None:
        if self._drawn is not None:
            self._drawn.stop()

    def _start(self) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

        text = TextColumn("{task.description}", markup=False)
        shown = (text, BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        drawn = Progress(*shown, console=Console(stderr=True), transient=True)
        drawn.start()
        return drawn
