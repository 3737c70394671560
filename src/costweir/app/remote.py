"""The desk of a server that is already running: the same questions, asked over its loopback port."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import ProxyHandler, build_opener
from urllib.request import Request as HttpRequest

from costweir import errors
from costweir.app.locks import RunningServer
from costweir.app.staged import export_job, move_export
from costweir.domain.answer import Answer, Excluded
from costweir.domain.period import Period
from costweir.queries.request import Request

if TYPE_CHECKING:
    from costweir.config import Settings

Record = Mapping[str, object]
Report = Callable[[str, int, int], None]

#: A server on this machine is never behind the proxy that the environment may name.
_OPENER = build_opener(ProxyHandler({}))
_BY_CODE = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.Error)
}


class RemoteDesk:
    """Implements `web.desk.Desk` and `load` through the HTTP API of the server that owns the data directory."""

    def __init__(self, server: RunningServer, settings: Settings) -> None:
        self._server = server
        self._settings = settings

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to release."""

    def questions(self) -> Sequence[Record]:
        """The catalogue."""
        return self._rows("/v1/questions")

    def ask(self, request: Request) -> Answer:
        """Answers one question."""
        query: list[tuple[str, str]] = [("by", name) for name in request.by]
        query += [("where", f"{name}={value}") for name, values in request.where.items() for value in values]
        for name in ("since", "until", "limit", "basis", "currency"):
            value = getattr(request, name)
            if value:
                query.append((name, str(value)))
        return _answer(self._call("GET", f"/v1/answers/{quote(request.question)}?{urlencode(query)}"))

    def runs(self, *, limit: int = 100) -> Sequence[Record]:
        """The newest runs first."""
        return self._rows(f"/v1/runs?limit={limit}")

    def quarantine(self, *, run_id: str = "", limit: int = 100) -> Sequence[Record]:
        """Lines that could not be read."""
        return self._rows(f"/v1/quarantine?{urlencode({'run_id': run_id, 'limit': limit})}")

    def customers(self) -> Sequence[Record]:
        """Known customers."""
        return self._rows("/v1/customers")

    def plans(self) -> Sequence[Record]:
        """Known plans."""
        return self._rows("/v1/plans")

    def budgets(self) -> Sequence[Record]:
        """Known budgets."""
        return self._rows("/v1/budgets")

    def connections(self) -> Sequence[Record]:
        """Configured live sources."""
        return self._rows("/settings/sources.json")

    def views(self) -> Sequence[Record]:
        """Saved views."""
        return self._rows("/explore/views.json")

    def status(self) -> Record:
        """What the store holds."""
        return self._call("GET", "/v1/status")

    def adopt(self, sample: Mapping[str, object]) -> None:
        """Makes the sample world's customers, plans and budgets known; see `LocalDesk.adopt`."""
        self._call("POST", "/v1/sample", sample)

    def export_focus(
        self, out: Path, *, since: date | None = None, until: date | None = None, provider: str = ""
    ) -> Path:
        """Lets the server write, and moves the file; see `LocalDesk.export_focus`."""
        written = self._call("POST", "/v1/exports", export_job(out, since, until, provider))["path"]
        return move_export(written, out)

    def load(self, staged: Mapping[str, object]) -> Sequence[Record]:
        """Hands staged slots to the server, which stores them; see `LocalDesk.load`."""
        return self._call("POST", "/v1/loads", staged)["rows"]

    def pull_files(
        self, paths: Sequence[str], *, source: str = "auto", all_services: bool = False, dry_run: bool = False,
        progress: Report | None = None, sample: bool = False,
    ) -> Sequence[Record]:  # fmt: skip
        """Reads bills here and lets the server store them; see `LocalDesk.pull_files`."""
        from costweir.app.pull import Pull, pull_files

        wanted = Pull(tuple(paths), source=source, all_services=all_services, dry_run=dry_run, sample=sample)
        return pull_files(self._settings, wanted, load=self.load, progress=progress)

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        """One request to the server, answered by a JSON object. Raises the error that the server gave."""
        return self._call(method, path, body)

    def _rows(self, path: str) -> Sequence[Record]:
        return self._call("GET", path)["rows"]

    def _call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._server.token}", "Content-Type": "application/json"}
        request = HttpRequest(  # noqa: S310 - the address is the server's own, read from its file
            self._server.url.rstrip("/") + path, data=data, method=method, headers=headers
        )
        try:
            with _OPENER.open(request, timeout=600) as reply:
                return json.load(reply)
        except HTTPError as reply:
            raise _error(reply.read()) from None
        except (URLError, ConnectionError, TimeoutError):
            raise errors.Unreachable(
                f"The server with process id {self._server.pid} holds the data directory but does not answer.",
                hint="Wait for it to finish starting, or stop it and try again.",
            ) from None


def _error(body: bytes) -> errors.Error:
    try:
        problem: dict[str, str] = json.loads(body)
    except ValueError:
        problem = {}
    kind = _BY_CODE.get(problem.get("code", ""), errors.Error)
    return kind(problem.get("detail", "The server could not answer."), hint=problem.get("hint", ""))


def _answer(value: dict[str, Any]) -> Answer:
    days = {side: date.fromisoformat(text) if text else None for side, text in value["period"].items()}
    return Answer(
        query_id=value["query_id"], question=value["question"], basis=value["basis"], currency=value["currency"],
        period=Period(days["since"], days["until"]), rows=tuple(value["rows"]), total=value["total"],
        other=value["other"], excluded=tuple(Excluded(**item) for item in value["excluded"]), as_of=value["as_of"],
        complete_to=value["complete_to"], complete=value["complete"], notes=tuple(value["notes"]), link=value["link"],
    )  # fmt: skip
