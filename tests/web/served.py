"""The pages over a desk behind a real server, for fixtures and for tests that need one of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fake_desk import FakeDesk

from costweir.prices.book import Book
from costweir.web.app import create_app


@contextmanager
def serving(desk: FakeDesk, book: Callable[[], Book] = Book.load) -> Iterator[str]:
    """The app over `desk` behind a real server; gives its address."""
    config = uvicorn.Config(
        create_app(desk, book=book, office=desk.office, ledger=desk.office.ledger),
        port=0,
        log_level="critical",
        lifespan="off",
        access_log=False,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started:
        if time.monotonic() > deadline:
            raise RuntimeError("the test server did not start")
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(5)
        desk.office.close()
