"""`costweir up`: the server, until it is told to stop."""

from __future__ import annotations

import click

from costweir.cli.frame import Command, flags
from costweir.cli.session import settings

_PORT = click.IntRange(0, 65_535)


@click.command(cls=Command)
@click.option("--host", metavar="H", help="Address to listen on. Any but this machine's own needs a login.")
@click.option(
    "--web-port", type=_PORT, metavar="N", help="Port of the pages and the read API; 0 for any free one."
)
@click.option("--gateway-port", type=_PORT, metavar="N", help="Port of the gateway.")
@click.option("--mcp-port", type=_PORT, metavar="N", help="Port of the tools for agents.")
@click.option("--otlp-port", type=_PORT, metavar="N", help="Port of the receiver of traces.")
@click.option("--workers", type=click.IntRange(1, 64), metavar="N", help="Processes of the gateway.")
def up(**given: str | int | None) -> None:
    """Serve the pages, the API and the gateway until interrupted."""
    serve_until_stopped(given)


def serve_until_stopped(given: dict[str, str | int | None]) -> None:
    """Serves with what the flags of `up` say; the settings fill the rest."""
    keys = {
        "host": "host", "web_port": "web.port", "gateway_port": "gateway.port", "mcp_port": "mcp.port",
        "otlp_port": "otlp.port", "workers": "workers",
    }  # fmt: skip
    held = settings({keys[name]: str(value) for name, value in given.items() if value is not None})
    from costweir.app.server import Faces, Ports, serve

    ports = Ports(web=held.web.port, gateway=held.gateway.port, mcp=held.mcp.port, otlp=held.otlp.port)
    serve(held, Faces(host=held.host, ports=ports, quiet=flags().quiet))
