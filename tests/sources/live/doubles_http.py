"""A server on loopback that a double answers for, one thread, with every request kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from costweir.sources.live.retry import Retry


@dataclass(frozen=True)
class Asked:
    """One request as it came in."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Reply:
    """What goes back. `cut` sends that many bytes less than promised; `status` 0 closes the connection."""

    body: bytes = b"{}"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0


@contextmanager
def serving(answer: Callable[[Asked], Reply]) -> Iterator[str]:
    """The address of a server that answers with `answer`."""

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            path, _, query = self.path.partition("?")
            length = int(self.headers.get("content-length") or 0)
            asked = Asked(self.command, path, query, {k.lower(): v for k, v in self.headers.items()},
                          self.rfile.read(length))  # fmt: skip
            reply = answer(asked)
            self.close_connection = True
            if reply.status == 0:
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) - reply.cut])

        do_GET = do_POST = do_PUT = do_HEAD = handle_any  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Waits:
    """A retry policy that does not wait and says how long it would have."""

    def __init__(self, attempts: int = 7) -> None:
        self.slept: list[timedelta] = []
        self.policy = Retry(attempts=attempts, sleep=self.slept.append, spread=lambda wait: wait)
