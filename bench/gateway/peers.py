"""The gateways that Costweir is measured beside: how each is installed into a folder of its own, and started.

None of them is a dependency. Every one gets its leanest documented configuration, telemetry off, one process.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

LITELLM, TENSORZERO, PORTKEY = "1.109.1", "2026.6.0", "1.15.2"
MASTER_KEY = "sk-8f2c6e0d41b97a35d2f0c1e9b7a64d88"
MODEL = "gpt-4o-mini"
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Peer:
    """A gateway under test. `command(folder, port, upstream)` writes what it needs and says how it is started."""

    name: str
    version: Callable[[Path], str]
    install: Callable[[Path], None]
    command: Callable[[Path, int, int], list[str]]
    path: str = "/v1/chat/completions"
    model: str = MODEL
    headers: Callable[[int], dict[str, str]] = lambda upstream: {"Authorization": "Bearer sk-bench"}
    environment: dict[str, str] = field(default_factory=dict)
    #: A file that tells the port, for a server that chooses its own.
    tells_port: bool = False


def run(*command: str, folder: Path | None = None) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def venv(folder: Path, name: str, *wanted: str, overrides: tuple[str, ...] = ()) -> None:
    """A virtual environment with some packages. With `overrides`, pins that the index lacks are replaced, visibly."""
    home = folder / name
    if (home / "ready").exists():
        return
    uv = shutil.which("uv") or "uv"
    run(
        uv,
        "venv",
        "--quiet",
        "--clear",
        "-p",
        f"{sys.version_info.major}.{sys.version_info.minor}",
        str(home),
    )
    install = [uv, "pip", "install", "--quiet", "--python", str(home / "bin/python"), *wanted]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode and overrides:
        pins = folder / f"{name}-overrides.txt"
        pins.write_text("\n".join(overrides))
        print(
            f"  the index lacks what {wanted[0]} pins; installing with {', '.join(overrides)} instead",
            file=sys.stderr,
            flush=True,
        )
        done = subprocess.run(
            [*install, "--override", str(pins)], capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise SystemExit(f"{name} cannot be installed:\n{done.stderr[-2000:]}")
    (home / "ready").touch()


def version_in(name: str, package: str) -> Callable[[Path], str]:
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return lambda folder: run(str(folder / name / "bin/python"), "-c", code).strip()


# nginx


def find_nginx(folder: Path) -> None:
    if shutil.which("nginx") is None:
        raise SystemExit("nginx is not installed: apt install nginx-light")


def nginx_version(folder: Path) -> str:
    return (
        subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=False)
        .stderr.strip()
        .rpartition("/")[2]
    )


def nginx(folder: Path, port: int, upstream: int) -> list[str]:
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    conf = folder / "nginx.conf"
    conf.write_text(f"""
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log stderr crit; events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; {paths}
  upstream provider {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection "";
                  proxy_set_header Authorization "Bearer sk-up"; proxy_buffering off; }}
  }}
}}
""")
    return ["nginx", "-p", str(folder), "-c", str(conf)]


# LiteLLM


def install_litellm(folder: Path) -> None:
    venv(
        folder, "litellm", f"litellm[proxy]=={LITELLM}",
        overrides=("litellm-proxy-extras==0.4.108", "certifi==2026.10.18"),
    )  # fmt: skip


def litellm_yaml(upstream: int, *, general: str = "", settings: str = "") -> str:
    return f"""
model_list:
  - model_name: {MODEL}
    litellm_params:
      model: openai/{MODEL}
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: sk-up
      input_cost_per_token: 0.00000015
      output_cost_per_token: 0.0000006
litellm_settings:
  telemetry: false
  num_retries: 0
{settings}
general_settings:
  master_key: {MASTER_KEY}
{general}
"""


def litellm(folder: Path, port: int, upstream: int) -> list[str]:
    conf = folder / "litellm.yaml"
    conf.write_text(litellm_yaml(upstream))
    return [
        str(folder / "litellm/bin/litellm"),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--config",
        str(conf),
    ]


#: LiteLLM keeps keys and spend in a database whose engine is downloaded at run time. Without it, a key with a budget
#: can come from its custom_auth hook, and its own accounting callback can be registered by hand: then its hold (reserve
#: before, reconcile after) runs in memory as with a database. This is more than its quick start enforces.
LITELLM_HOOK = """
from litellm.proxy._types import UserAPIKeyAuth, hash_token
from litellm.proxy.hooks.proxy_track_cost_callback import ProxyDBLogger

accounting = ProxyDBLogger()


async def check(request, api_key):
    return UserAPIKeyAuth(api_key=api_key, token=hash_token(api_key), max_budget={budget}, spend=0.0)
"""


def litellm_budget(
    folder: Path,
    port: int,
    upstream: int,
    *,
    budget: str = "1000000",
    fail_closed: bool = True,
    model: str = "",
) -> list[str]:
    home = folder / f"litellm-budget-{port}"
    home.mkdir(exist_ok=True)
    (home / "bench_hook.py").write_text(LITELLM_HOOK.format(budget=budget))
    general = "  custom_auth: bench_hook.check\n  custom_auth_run_common_checks: true\n"
    general += f"  fail_closed_budget_enforcement: {str(fail_closed).lower()}\n"
    text = model or litellm_yaml(upstream, general=general, settings="  callbacks: bench_hook.accounting")
    (home / "litellm.yaml").write_text(text)
    conf = str(home / "litellm.yaml")
    return [str(folder / "litellm/bin/litellm"), "--host", "127.0.0.1", "--port", str(port), "--config", conf]


# Portkey


#: With the server library that npm takes by itself (1.19), Portkey answers every stream with 500: it adds to headers
#: that cannot be added to ("TypeError: immutable"). This older one is within the range that Portkey states.
PORTKEY_PACKAGE = {
    "dependencies": {"@portkey-ai/gateway": PORTKEY}, "overrides": {"@hono/node-server": "1.12.2"},
}  # fmt: skip


def install_portkey(folder: Path) -> None:
    home, wanted = folder / "portkey", json.dumps(PORTKEY_PACKAGE)
    package = home / "package.json"
    started = home / "node_modules/@portkey-ai/gateway/build/start-server.js"
    if not (started.exists() and package.exists() and package.read_text() == wanted):
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        package.write_text(wanted)
        run("npm", "install", "--no-fund", "--no-audit", "--silent", folder=home)
        # npm writes the file anew in its own style.
        package.write_text(wanted)


def portkey_version(folder: Path) -> str:
    described = folder / "portkey/node_modules/@portkey-ai/gateway/package.json"
    return str(json.loads(described.read_text())["version"])


def portkey(folder: Path, port: int, upstream: int) -> list[str]:
    start = folder / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"
    return ["node", str(start), "--headless", f"--port={port}"]


def portkey_headers(upstream: int) -> dict[str, str]:
    return {
        "Authorization": "Bearer sk-up",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1",
    }


# TensorZero


def tensorzero(folder: Path, port: int, upstream: int) -> list[str]:
    (folder / "tensorzero.toml").write_text(f"""
[gateway]
observability.enabled = false
disable_pseudonymous_usage_analytics = true
[models."{MODEL}"]
routing = ["provider"]
[models."{MODEL}".providers.provider]
type = "openai"
model_name = "{MODEL}"
api_base = "http://127.0.0.1:{upstream}/v1"
api_key_location = "none"
""")
    return [str(folder / "tensorzero/bin/python"), str(HERE / "tensorzero_embedded.py"), str(folder)]


# Our own stack without the guard


def bare(folder: Path, port: int, upstream: int) -> list[str]:
    return [sys.executable, str(HERE / "bare.py"), str(port), str(upstream)]


def own_version(folder: Path) -> str:
    from costweir import __version__

    return __version__


_LITELLM_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "CRITICAL",
}

PEERS = {
    peer.name: peer
    for peer in (
        Peer("nginx", nginx_version, find_nginx, nginx),
        Peer("bare", own_version, lambda folder: None, bare),
        Peer("litellm", version_in("litellm", "litellm"), install_litellm, litellm,
             headers=lambda upstream: {"Authorization": f"Bearer {MASTER_KEY}"}, environment=_LITELLM_ENVIRONMENT),
        Peer("litellm-budget", version_in("litellm", "litellm"), install_litellm, litellm_budget,
             environment=_LITELLM_ENVIRONMENT),
        Peer("portkey", portkey_version, install_portkey, portkey, headers=portkey_headers,
             environment={"NODE_ENV": "production"}),
        Peer("tensorzero", version_in("tensorzero", "tensorzero"),
             lambda folder: venv(folder, "tensorzero", f"tensorzero=={TENSORZERO}"), tensorzero,
             path="/openai/v1/chat/completions", model=f"tensorzero::model_name::{MODEL}", tells_port=True),
    )
}  # fmt: skip


def environment(peer: Peer) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/tmp"),
        "LANG": "C.UTF-8",
        **peer.environment,
    }
