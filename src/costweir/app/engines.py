"""Opens the warehouse that `store.url` names. A password never stands in an error: it comes from the environment, a
file or the variables of the database's own library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from costweir.errors import ConfigError

if TYPE_CHECKING:
    from costweir.config import Settings
    from costweir.store.engines.postgres import PostgresWarehouse
    from costweir.store.warehouse import Warehouse

_POSTGRES = "postgresql://"


def open_warehouse(settings: Settings, *, read_only: bool = False) -> Warehouse:
    """The warehouse, open and not migrated.

    Raises ConfigError for an engine that this version cannot run on or whose library is not installed, and what its
    `open` raises.
    """
    path = settings.store_path
    if path is not None:
        from costweir.store.engines.duckdb import DuckDBWarehouse

        return DuckDBWarehouse.open(path, read_only=read_only)
    return _postgres(settings, read_only=read_only)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a database server says before anything is changed in it: one line for people, and whether it holds no store
    yet."""

    text: str
    new: bool


def look_at_server(settings: Settings) -> Seen | None:
    """Asks the database server of the settings what it is; None where the store is a file.

    Raises what `open_warehouse` raises.
    """
    if settings.store_path is not None:
        return None
    warehouse = _postgres(settings, read_only=True)
    try:
        return Seen(*warehouse.about())
    finally:
        warehouse.close()


def _postgres(settings: Settings, *, read_only: bool) -> PostgresWarehouse:
    kind = settings.store.url.partition(":")[0]
    if kind != "postgresql":
        raise ConfigError(
            f"This version keeps its facts in DuckDB or PostgreSQL; store.url names {kind!r}.",
            hint='Set store = { url = "postgresql://HOST/NAME" }, or leave it out.',
        )
    try:
        from costweir.store.engines.postgres import PostgresWarehouse
    except ImportError:
        raise ConfigError(
            "store.url names PostgreSQL, whose library is not installed.",
            hint="Install it with: pip install 'costweir[postgres]'.",
        ) from None
    url, password = server_of(settings)
    return PostgresWarehouse.open(
        url, password=password, read_only=read_only, reader=settings.store.reader_role or ""
    )


def mark_of(settings: Settings) -> str:
    """Tells one store from another in what is remembered about it; empty for the file that is there by default. Holds
    no password."""
    url = settings.store.url
    if settings.store_path is not None:
        return "" if url == type(settings.store)().url else f"@{url}"
    parts = urlsplit(server_of(settings)[0])
    return f"@{parts.netloc.rpartition('@')[2]}{parts.path}"


def server_of(settings: Settings) -> tuple[str, str | None]:
    """The address of the database server and its password, which is None where the address or the environment of the
    library says it.

    `postgresql://` alone stands for the server of `database`; an address that names the same host may leave out its
    user and password. Raises ConfigError where neither says enough.
    """
    url, password, known = settings.store.url, settings.store_password(), settings.database
    known_password = known.password.get_secret_value() if known.password else None
    if url != _POSTGRES:
        same = known.host is not None and _host(url) == known.host
        return url, password or (known_password if same else None)
    if known.url is not None:
        whole = known.url.get_secret_value()
        if not whole.startswith((_POSTGRES, "postgres://")):
            raise ConfigError(
                "database.url is not the address of a PostgreSQL database.",
                hint="Write it as postgresql://USER@HOST:PORT/NAME.",
            )
        return whole, password
    user = f"{quote(known.user, safe='')}@" if known.user else ""
    name = quote(known.name or "", safe="")
    return f"{_POSTGRES}{user}{known.host or ''}/{name}", password or known_password


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
