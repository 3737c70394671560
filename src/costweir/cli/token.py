"""`costweir token`: who may ask over the API. A token is shown once, when it is made."""

from __future__ import annotations

import re

import click

from costweir.cli.frame import Group, flags
from costweir.cli.output import columns, note, show_record, show_rows
from costweir.cli.session import settings

_EXPIRES = re.compile(r"[1-9][0-9]{0,4}[mhd]")
_SCOPES = ("read", "finance", "ingest", "admin")
_SHOWN = columns(
    "id", "prefix", "scope", "customer", "name", ("created_at", "created"), ("expires_at", "expires"),
    ("revoked_at", "revoked"), ("last_used_at", "last used"),
)  # fmt: skip


def _lifetime(_: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not _EXPIRES.fullmatch(value):
        raise click.BadParameter(f"{value!r} is not a time; write it as 30d, 12h or 90m", param=parameter)
    return value


@click.group(cls=Group)
def token() -> None:
    """Make, list and revoke tokens of the API."""


@token.command()
@click.option(
    "--scope",
    type=click.Choice(_SCOPES),
    default="read",
    show_default=True,
    help="read answers and lists; finance also sets customers and plans; ingest only sends; admin may do all.",
)
@click.option("--customer", default="", metavar="ID", help="See this customer only.")
@click.option("--name", default="", metavar="TEXT", help="What it is for.")
@click.option(
    "--expires", callback=_lifetime, metavar="TIME", help="How long it lives, such as 30d, 12h or 90m."
)
def create(*, scope: str, customer: str, name: str, expires: str | None) -> None:
    """Make a token and show it, once."""
    from costweir.app.gate import open_gate

    with open_gate(settings()) as gate:
        made = gate.create_token(
            {"scope": scope, "customer": customer or None, "name": name, "expires": expires}
        )
    show_record("token", made)
    if not flags().json:
        note("Keep the token now: it is not shown again.")


@token.command("list")
def list_() -> None:
    """List the tokens that were made; the tokens themselves are not kept."""
    from costweir.app.gate import open_gate

    with open_gate(settings()) as gate:
        rows = gate.tokens()
    show_rows("tokens", rows, _SHOWN, empty="No token was made yet. Try `costweir token create`.")


@token.command()
@click.argument("token_id", metavar="ID")
def revoke(token_id: str) -> None:
    """End a token at once, by its id or prefix."""
    from costweir.app.gate import open_gate

    with open_gate(settings()) as gate:
        ended = gate.revoke_token(token_id)
    show_record("token", ended)
