"""The checks of `costweir doctor`. None of them changes anything but a file that it removes again."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, cast

from costweir import __version__
from costweir.cli.frame import flags
from costweir.cli.session import overrides
from costweir.errors import Error

if TYPE_CHECKING:
    from costweir.config import Settings

LOW_SPACE = 1_000_000_000
OLDEST_PYTHON = (3, 11)
EXTRAS = {
    "aws": "boto3", "azure": "azure.identity", "channels": "apprise", "gcp": "google.cloud.bigquery",
    "objects": "obstore", "oidc": "jwt", "postgres": "psycopg", "tokenizers": "bpe_openai",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report."""

    check: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    hint: str = ""

    def to_json(self) -> dict[str, object]:
        """All fields."""
        return asdict(self)


class Bench:
    """What one check finds out for the next: the settings, and whether a server runs."""

    def __init__(self) -> None:
        self.settings: Settings | None = None
        self.server: str = ""


def python(_bench: Bench) -> Sequence[Check]:
    """The interpreter."""
    version = f"{platform.python_version()}, Costweir {__version__}"
    if sys.version_info[:2] < OLDEST_PYTHON:
        return [Check("python", "fail", version, "Costweir needs Python 3.11 or newer.")]
    return [Check("python", "ok", version)]


def configuration(bench: Bench) -> Sequence[Check]:
    """The settings, and what they warn of."""
    from costweir.config import check, load

    problems = check(path=flags().config, overrides=overrides())
    if problems:
        return [Check("configuration", "fail", item.sentence, item.hint) for item in problems]
    bench.settings = load(path=flags().config, overrides=overrides())
    said = str(bench.settings.file) if bench.settings.file else "no file, defaults"
    warned = [Check("configuration", "warn", text) for text in bench.settings.warnings]
    return [Check("configuration", "ok", said), *warned]


def data_directory(bench: Bench) -> Sequence[Check]:
    """Whether the data directory can be written, and how much space it has."""
    if bench.settings is None:
        return []
    wanted = bench.settings.data_dir
    existing = next(path for path in (wanted, *wanted.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        return [
            Check(
                "data directory",
                "fail",
                f"{wanted} cannot be written: {error.strerror}.",
                "Check who owns it, or use another --data-dir.",
            )
        ]
    free = shutil.disk_usage(existing).free
    detail = f"{wanted}, {free / 1e9:.1f} GB free" + ("" if wanted.exists() else ", made at the first use")
    if free < LOW_SPACE:
        return [Check("data directory", "warn", detail, "Less than 1 GB is free; a large bill may not fit.")]
    return [Check("data directory", "ok", detail)]


def server(bench: Bench) -> Sequence[Check]:
    """Whether a server runs on the data directory."""
    if bench.settings is None:
        return []
    from costweir.app.locks import running_server

    try:
        found = running_server(bench.settings.data_dir)
    except Error as error:
        return [Check("server", "fail", error.message, error.hint)]
    if found is None:
        return [Check("server", "ok", "none runs on this data directory")]
    bench.server = found.url
    return [Check("server", "ok", f"runs at {found.url}, process {found.pid}")]


def store(bench: Bench) -> Sequence[Check]:
    """Whether the facts can be asked, and what they hold."""
    if bench.settings is None:
        return []
    from costweir.app import open_desk
    from costweir.app.engines import look_at_server

    path = bench.settings.store_path
    try:
        seen = look_at_server(bench.settings)
        if (path is not None and not path.exists() and not bench.server) or (seen and seen.new):
            where = f"; {seen.text}" if seen else ""
            hint = "`costweir demo` loads a sample world."
            return [Check("store", "ok", f"nothing was loaded yet{where}", hint)]
        with open_desk(bench.settings, read_only=True) as desk:
            held = desk.status()
    except Error as error:
        return [Check("store", "fail", error.message, error.hint)]
    months = cast("list[str]", held["months"])
    kind = " of sample data" if held.get("sample") else " of calls, no bill" if held.get("metered") else ""
    where = f"; {seen.text}" if seen else ""
    return [Check("store", "ok", f"opens, {len(months)} months{kind}{where}")]


def control(bench: Bench) -> Sequence[Check]:
    """The schema version of the control database."""
    if bench.settings is None or not bench.settings.control_path.exists():
        return []
    from costweir.control import Control

    try:
        with Control.open(bench.settings.control_path, read_only=True) as opened:
            return [Check("control database", "ok", f"schema version {opened.schema_version}")]
    except Error as error:
        return [Check("control database", "fail", error.message, error.hint)]


def extras(_bench: Bench) -> Sequence[Check]:
    """The optional parts."""
    found = [name for name, module in EXTRAS.items() if _installed(module)]
    missing = [name for name in EXTRAS if name not in found]
    hint = f"Install with pip install 'costweir[{','.join(missing)}]' when you need them." if missing else ""
    detail = f"installed: {', '.join(found) or 'none'}; not installed: {', '.join(missing) or 'none'}"
    return [Check("extras", "ok", detail, hint)]


def _installed(module: str) -> bool:
    """True when the module can be imported; the parent of a dotted name may be missing altogether."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def clock(bench: Bench) -> Sequence[Check]:
    """Whether the clock runs behind what was written already."""
    now = datetime.now(UTC)
    detail = f"{now:%Y-%m-%d %H:%M} UTC"
    files = list(bench.settings.data_dir.glob("*.d*b")) if bench.settings is not None else []
    newest = max((file.stat().st_mtime for file in files), default=0)
    if newest > now.timestamp() + 60:
        return [
            Check(
                "clock",
                "fail",
                f"{detail}, earlier than the newest data file",
                "Set the clock of this machine.",
            )
        ]
    return [Check("clock", "ok", detail)]


def charts(_bench: Bench) -> Sequence[Check]:
    """Whether the browser's chart library was built in."""
    from importlib.resources import files

    if (files("costweir.web") / "static" / "vega.js").is_file():
        return [Check("charts", "ok", "the chart library is built in")]
    return [
        Check(
            "charts",
            "warn",
            "the chart library is missing; tables still show",
            "Install Costweir from a wheel.",
        )
    ]


def ports(bench: Bench) -> Sequence[Check]:
    """Whether the port of the pages is free."""
    if bench.settings is None or bench.server:
        return []
    host, port = bench.settings.host, bench.settings.web.port
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            hint = "Start with --web-port 0, or stop what uses it."
            return [Check("port", "warn", f"{port} on {host} cannot be taken", hint)]
    return [Check("port", "ok", f"{port} on {host} is free")]


CHECKS: tuple[Callable[[Bench], Sequence[Check]], ...] = (
    python,
    configuration,
    data_directory,
    server,
    store,
    control,
    extras,
    clock,
    charts,
    ports,
)
