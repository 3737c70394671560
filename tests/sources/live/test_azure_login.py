"""Azure's own login library gives the token, or one sentence says why there is none."""

from __future__ import annotations

import builtins
import json
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.sources.live.azure_double import AzureDouble, Use, serving

from costweir.errors import ConfigError, NotAllowed, Unreachable
from costweir.sources.live.azure_login import Principal, login
from costweir.sources.live.azure_query import AzureQuery
from costweir.sources.live.source import Window

identity = pytest.importorskip("azure.identity")

TENANT = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, list[str]]]]:
    """The identity endpoint that Azure gives a container or function, at a port of this machine."""
    asked: list[dict[str, list[str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(parse_qs(urlsplit(self.path).query))
            known = self.headers["X-IDENTITY-HEADER"] == "its-header"
            found = {"access_token": "of-the-machine", "expires_on": "4102444800", "token_type": "Bearer"}
            raw = json.dumps(found if known else {"error": "invalid_request", "message": "no"}).encode()
            self.send_response(200 if known else 400)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{server.server_port}/token")
    monkeypatch.setenv("IDENTITY_HEADER", "its-header")
    yield asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_managed_identity_pulls_without_any_secret(
    machine: list[dict[str, list[str]]], tmp_path: Path
) -> None:
    from decimal import Decimal

    use = Use(
        date(2026, 10, 3), "Azure OpenAI GPT5", "5.4 opt Dz 1M Tokens", "1M", Decimal(1), Decimal("2.5")
    )
    with serving(AzureDouble([use], token="of-the-machine")) as azure:
        source = AzureQuery(
            "azure", "/subscriptions/x", login(Principal(client_id="of-three")), endpoint=azure.url,
            today=lambda: date(2026, 11, 1),
        )  # fmt: skip
        window = Window(date(2026, 10, 1), date(2026, 11, 1))
        fetched = source.fetch(window, into=tmp_path, report=lambda *_: None)
    assert fetched.provider_total == Decimal("2.5")
    assert {one["client_id"][0] for one in machine} == {"of-three"}
    assert {one["resource"][0] for one in machine} == {"https://management.azure.com"}


def test_a_machine_without_identity_is_told_to_use_a_principal(
    machine: list[dict[str, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_HEADER", "another")
    with pytest.raises(NotAllowed, match="managed identity"):
        login(Principal())()


def test_a_service_principal_is_taken_when_there_is_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Any, ...]] = []

    class Token:
        token = "of-the-principal"

    def give(_self: object, *scopes: str) -> Token:
        seen.append(scopes)
        return Token()

    monkeypatch.setattr(identity.ClientSecretCredential, "get_token", give)
    assert login(Principal(TENANT, "c", "s"))() == "of-the-principal"
    assert login(Principal(TENANT, "c", "s"), endpoint="https://management.usgovcloudapi.net")()
    assert seen == [
        ("https://management.azure.com/.default",),
        ("https://management.usgovcloudapi.net/.default",),
    ]


def test_an_expired_secret_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from azure.core.exceptions import ClientAuthenticationError

    def refuse(*_: object) -> None:
        raise ClientAuthenticationError("AADSTS7000222: The provided client secret keys are expired.")

    monkeypatch.setattr(identity.ClientSecretCredential, "get_token", refuse)
    with pytest.raises(NotAllowed, match="does not accept the service principal") as told:
        login(Principal(TENANT, "c", "s"))()
    assert "AADSTS7000222" in told.value.hint


def test_a_login_that_does_not_answer_is_transient(monkeypatch: pytest.MonkeyPatch) -> None:
    from azure.core.exceptions import ServiceRequestError

    def fail(*_: object) -> None:
        raise ServiceRequestError("no route to host")

    monkeypatch.setattr(identity.ClientSecretCredential, "get_token", fail)
    with pytest.raises(Unreachable, match="login does not answer"):
        login(Principal(TENANT, "c", "s"))()


def test_a_principal_that_is_not_complete_is_named() -> None:
    with pytest.raises(ConfigError, match="no tenant_id or no client_id"):
        login(Principal(client_secret="x"))


def test_a_principal_comes_from_the_names_that_azures_tools_use() -> None:
    environ = {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "s"}
    assert Principal.from_environment(environ) == Principal("t", "c", "s")


def test_a_missing_library_gives_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith(("azure", "google.cloud", "google.api_core")):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError) as told:
        login(Principal(TENANT, "c", "s"))
    assert "pip install 'costweir[azure]'" in told.value.hint
    from costweir.sources.live.gcp_client import BigQuery
    from costweir.sources.live.gcp_table import TableName

    with pytest.raises(ConfigError) as told:
        BigQuery("p", 1).table(TableName.parse("shop-prod.billing.t"))
    assert "pip install 'costweir[gcp]'" in told.value.hint
