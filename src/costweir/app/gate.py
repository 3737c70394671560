"""Tokens and the audit chain for the command line: through the server that runs on the data directory, else on the
control file itself."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from costweir.app.locks import running_server
from costweir.app.remote import RemoteDesk
from costweir.control import Control
from costweir.control.audit import Change
from costweir.web.api.bodies import TokenWish, read_body
from costweir.web.api.table import Reply
from costweir.web.api.writing import end_token, make_token, wish_of

if TYPE_CHECKING:
    from costweir.config import Settings

Record = Mapping[str, object]
#: Who changes something without a server: the user who owns the data directory.
ACTOR = "cli"


class Gate(Protocol):
    """Who may come in, and who changed what."""

    def create_token(self, wish: Mapping[str, Any]) -> Record:
        """Makes a token from `scope`, `customer`, `name` and `expires`; the record has its text in `token`, once."""
        ...

    def tokens(self) -> Sequence[Record]:
        """Every token, newest first."""
        ...

    def revoke_token(self, name: str) -> Record:
        """Ends a token by its id or prefix. Raises NotFound."""
        ...

    def audit(self, *, limit: int) -> Sequence[Record]:
        """The newest changes first."""
        ...

    def verify_audit(self) -> Record:
        """Whether the chain holds: `ok, count, head_hash, broken_at, reason`."""
        ...


@contextmanager
def open_gate(settings: Settings) -> Generator[Gate]:
    """The gate of the running server, or one on the control file."""
    server = running_server(settings.data_dir)
    if server is not None:
        yield _RemoteGate(RemoteDesk(server, settings))
        return
    with Control.open(settings.control_path) as control:
        yield _LocalGate(control)


class _LocalGate:
    def __init__(self, control: Control) -> None:
        self._control = control

    def create_token(self, wish: Mapping[str, Any]) -> Record:
        wanted = wish_of(read_body(TokenWish, wish))
        return self._change(lambda control: make_token(control, wanted, by=ACTOR))

    def tokens(self) -> Sequence[Record]:
        return [token.to_json() for token in self._control.tokens.listed()]

    def revoke_token(self, name: str) -> Record:
        return self._change(lambda control: end_token(control, name, by=ACTOR))

    def audit(self, *, limit: int) -> Sequence[Record]:
        return [row.to_json() for row in self._control.audit.listed(limit=limit)]

    def verify_audit(self) -> Record:
        return self._control.audit.verify().to_json()

    def _change(self, change: Callable[[Control], tuple[Reply, Change | None]]) -> Record:
        with self._control.transaction():
            reply, entry = change(self._control)
            if entry is not None:
                self._control.audit.add(entry)
        return plain(reply.body)


class _RemoteGate:
    def __init__(self, server: RemoteDesk) -> None:
        self._server = server

    def create_token(self, wish: Mapping[str, Any]) -> Record:
        return plain(self._server.call("POST", "/v1/tokens", wish))

    def tokens(self) -> Sequence[Record]:
        return self._server.call("GET", "/v1/tokens")["rows"]

    def revoke_token(self, name: str) -> Record:
        return plain(self._server.call("DELETE", f"/v1/tokens/{quote(name, safe='')}"))

    def audit(self, *, limit: int) -> Sequence[Record]:
        return self._server.call("GET", f"/v1/audit?limit={limit}")["rows"]

    def verify_audit(self) -> Record:
        return plain(self._server.call("GET", "/v1/audit/verification"))


def plain(record: Record) -> Record:
    """Without `schema`, which whoever prints it adds."""
    return {name: value for name, value in record.items() if name != "schema"}
